"""`ctc_loss`: the loss of a sequence of labels whose places in a longer sequence of inputs nobody knows.

In: log-probabilities of the classes at each step, the labels, lengths. Out: the loss. One `scan` over the steps, in
logarithms; its chain rule is the backward recursion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.nn import ctc_expressions as expressions
from thalweg.nn.applying import apply_loss
from thalweg.nn.loss_expressions import check_reduction
from thalweg.nn.recurrent_expressions import valid_entries
from thalweg.tensor.core import Tensor
from thalweg.tensor.lifting import as_tensor, lift
from thalweg.tensor.loop import scan
from thalweg.tensor.modes import modes

_with_blanks, _may_skip, _emissions = (
    lift(expressions.with_blanks), lift(expressions.may_skip), lift(expressions.emissions),
)  # fmt: skip
_start, _step, _valid_entries = lift(expressions.before_the_first_step), lift(expressions.step), lift(valid_entries)


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log p(labels | inputs), where p sums over all ways to place the labels. Graves et al., ICML 2006.

    A way names a class at every step; labels are what is left of it when repetitions are merged and blanks taken out.

    Shapes: log_probs (T, N, C), logarithms of probabilities (from `log_softmax`), or (T, C) for one sequence; targets
    (N, S), or the labels of all sequences one after the other; input_lengths and target_lengths (N,).

    Args:
        blank: the class that stands for no label. Default 0.
        reduction: "mean" (default: each loss divided by the length of its target, then the mean), "sum" or "none".
        zero_infinity: a loss is infinite where the input is too short for its labels; True makes it, and its gradient,
            0. Default False.

    Behind its length a sequence counts for nothing. The gradient is that of this formula; PyTorch's presupposes a
    log_softmax before it, through which both are the same.
    Raises ShapeError and DTypeError for what does not fit, ArgumentError for lengths out of range, IndexRangeError for
    labels that are no classes when values are computed.

    >>> import thalweg as tw
    >>> even = tw.tensor([[0.5, 0.5], [0.5, 0.5]]).log()
    >>> ctc_loss(even, tw.tensor([1]), (2,), (1,)).exp()    # 1 / probability: blank 1, 1 blank and 1 1 of four ways
    tensor(1.3333)
    """
    check_reduction("ctc_loss", reduction)
    lp: Any = as_tensor(log_probs)
    is_single = lp.ndim == 2
    lp = lp.unsqueeze(1) if is_single else lp
    steps, sizes = (_lengths(each) for each in (input_lengths, target_lengths))
    labels = _rows(as_tensor(targets), sizes, lp)
    expressions.check(lp.node, labels.node, (steps.node, sizes.node), blank)
    if modes.trace is None:
        _check_extents(steps, lp.shape[0], "input_lengths")
        _check_extents(sizes, labels.shape[1], "target_lengths")
    alpha = _alpha(lp, _with_blanks(labels, sizes, blank), steps, blank)
    loss = apply_loss(
        expressions.loss_at_the_end, alpha, sizes, reduction=reduction, zero_infinity=zero_infinity
    )  # fmt: skip
    return loss.squeeze(0) if is_single and reduction == "none" else loss


def _alpha(log_probs: Any, labels: Any, lengths: Any, blank: int) -> Any:
    """The forward variables after the last step of each sequence."""
    can_skip = _may_skip(labels, blank)
    entries = (_emissions(log_probs, labels), _valid_entries(lengths, log_probs.shape[0]))
    last, _ = scan(lambda alpha, now: (_step(alpha, *now, can_skip), None), _start(labels, log_probs), entries)
    return last


def _lengths(given: Any) -> Any:
    tensor: Any = as_tensor(np.asarray(given, np.int64) if isinstance(given, (list, tuple)) else given)
    return tensor.long() if tensor.dtype.name in ("int32", "uint8") else tensor if tensor.ndim else tensor.unsqueeze(0)


def _rows(targets: Any, sizes: Any, log_probs: Any) -> Any:
    """Targets as (N, S); labels that come one after the other are laid out in rows."""
    if targets.ndim != 1:
        return targets
    if log_probs.shape[1] == 1:
        return targets.unsqueeze(0)
    if modes.trace is not None:
        raise ShapeError(
            explain("ctc_loss: in a compiled step the shape of targets must tell the longest one",
                    received=f"targets {targets.shape}", expected="(N, S), padded", remedy="pad the targets to rows")
        )  # fmt: skip
    lengths = sizes._array()
    if lengths.sum() != targets.shape[0] or (lengths < 0).any():
        raise ArgumentError(
            explain("ctc_loss: target_lengths do not add up to the labels", received=f"a sum of {lengths.sum()}",
                    expected=f"{targets.shape[0]}, the number of labels")
        )  # fmt: skip
    rows = np.zeros((len(lengths), max(lengths.max(initial=0), 0)), np.int64)
    rows[np.arange(rows.shape[1]) < lengths[:, None]] = targets._array()
    return as_tensor(rows)


def _check_extents(lengths: Any, limit: int, what: str) -> None:
    values = lengths._array()
    if values.size and not (values.min() >= 0 and values.max() <= limit):
        raise ArgumentError(
            explain(f"ctc_loss: {what} out of range", received=values.tolist(), expected=f"0 to {limit}")
        )
