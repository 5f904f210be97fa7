"""Connectionist temporal classification as expressions on nodes: labels with blanks, one step, the end.

In: log-probabilities (T, N, C), labels (N, S), lengths (N,). Out: for each path of labels with blanks between them, of
2 S + 1 places, the log of the probability of having come to a place after t steps; and the loss.
"""

from __future__ import annotations

import math

from thalweg import ops
from thalweg.dtype import int64
from thalweg.errors import DTypeError, ShapeError, explain
from thalweg.graph import Node, full
from thalweg.nn.expressions import need_floating
from thalweg.nn.loss_expressions import reduce
from thalweg.tensor import indexing, reductions, shaping
from thalweg.tensor.arithmetic import (
    add,
    clamp,
    convert,
    divide,
    equal,
    exp,
    expand_to,
    isinf,
    less,
    log,
    logical_and,
    maximum,
    multiply,
    negative,
    not_equal,
    subtract,
    where,
)


def with_blanks(targets: Node, target_lengths: Node, blank: int) -> Node:
    """(N, 2 S + 1): blank, label, blank, ..., label, blank. What stands behind the length of a target is ignored."""
    count, size = targets.shape
    position = ops.iota(shape=(count, size), axis=1, dtype="int64")
    labels = where(less(position, shaping.unsqueeze(target_lengths, 1)), convert(targets, int64), blank)
    pairs = shaping.stack([full(labels.shape, blank, int64), labels], 2)
    return shaping.cat([shaping.reshape(pairs, (count, 2 * size)), full((count, 1), blank, int64)], 1)


def may_skip(labels: Node, blank: int) -> Node:
    """Where the blank before a label may be left out: between two labels that differ."""
    size = labels.shape[1]
    before = shaping.pad(shaping.take_range(labels, 1, 0, max(size - 2, 0)), (min(2, size), 0), blank)
    return logical_and(not_equal(labels, blank), not_equal(labels, before))


def emissions(log_probs: Node, labels: Node) -> Node:
    """(T, N, 2 S + 1): the log-probability of the label of each place at each step."""
    return indexing.gather(log_probs, 2, expand_to(shaping.unsqueeze(labels, 0), (log_probs.shape[0], *labels.shape)))


def before_the_first_step(labels: Node, like: Node) -> Node:
    """As if the path stood in the first place: after one step it has stayed, at the blank, or come to the label."""
    is_first = equal(ops.iota(shape=labels.shape, axis=1, dtype="int64"), 0)
    return where(is_first, full((), 0, like.dtype), -math.inf)


def step(alpha: Node, emission: Node, is_valid: Node, can_skip: Node) -> Node:
    """Stay, come from the place before, or from the one before that; a sequence that has ended stays as it is."""
    stepped, skipped = _moved(alpha, 1), where(can_skip, _moved(alpha, 2), -math.inf)
    return where(is_valid, add(log_of_sum(alpha, stepped, skipped), emission), alpha)


def _moved(alpha: Node, places: int) -> Node:
    size = alpha.shape[1]
    return shaping.pad(shaping.take_range(alpha, 1, 0, max(size - places, 0)), (min(places, size), 0), -math.inf)


def log_of_sum(*terms: Node) -> Node:
    """log(e^a + e^b + ...), where any may be minus infinity."""
    peak = terms[0]
    for each in terms[1:]:
        peak = maximum(peak, each)
    peak = ops.detach(peak)
    peak = where(isinf(peak), 0.0, peak)
    total = exp(subtract(terms[0], peak))
    for each in terms[1:]:
        total = add(total, exp(subtract(each, peak)))
    return add(log(total), peak)


def loss_at_the_end(alpha: Node, target_lengths: Node, reduction: str, zero_infinity: bool) -> Node:
    """-log of the probability of standing at the last label or the last blank."""
    last = shaping.unsqueeze(multiply(target_lengths, 2), 1)
    at_blank = shaping.squeeze(reductions.pick(alpha, last, 1), 1)
    at_label = shaping.squeeze(reductions.pick(alpha, clamp(subtract(last, 1), 0), 1), 1)
    at_label = where(less(0, target_lengths), at_label, -math.inf)
    loss = negative(log_of_sum(at_blank, at_label))
    loss = where(isinf(loss), 0.0, loss) if zero_infinity else loss
    if reduction == "mean":
        loss = divide(loss, convert(clamp(target_lengths, 1), loss.dtype))
    return reduce(loss, reduction)


# --- checks ----------------------------------------------------------------------------------------------------------


def check(log_probs: Node, targets: Node, lengths: tuple[Node, Node], blank: int) -> None:
    need_floating("ctc_loss", log_probs)
    if log_probs.ndim != 3 or targets.ndim != 2 or targets.shape[0] != log_probs.shape[1]:
        raise ShapeError(
            explain("ctc_loss: log_probs and targets do not fit",
                    received=f"log_probs {log_probs.shape}, targets {targets.shape}",
                    expected="(T, N, C) and (N, S), or the targets of all sequences one after the other")
        )  # fmt: skip
    for what, node in (("input_lengths", lengths[0]), ("target_lengths", lengths[1]), ("targets", targets)):
        if node.dtype.is_floating_point or node.dtype.name == "bool":
            raise DTypeError(explain(f"ctc_loss: {what} are whole numbers", received=node.dtype.name, expected="int64"))
        if what != "targets" and node.shape != (log_probs.shape[1],):
            raise ShapeError(
                explain(f"ctc_loss: {what} needs one number a sequence", received=f"shape {node.shape}",
                        expected=f"({log_probs.shape[1]},)")
            )  # fmt: skip
    if not 0 <= blank < log_probs.shape[2]:
        raise ShapeError(
            explain("ctc_loss: blank is no class", received=blank, expected=f"0 <= blank < {log_probs.shape[2]}")
        )
