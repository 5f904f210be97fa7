"""What the losses compute, as expressions on nodes, with PyTorch's exact semantics.

In: nodes of predictions, targets and weights, and `reduction`. Out: the node of the loss. Every loss checks what it is
given, because a shape that broadcasts by accident trains on the wrong numbers without a sign.
"""

from __future__ import annotations

from thalweg import ops
from thalweg.dtype import BOOL, int64
from thalweg.errors import ArgumentError, DTypeError, ShapeError, explain
from thalweg.graph import Node, size_of
from thalweg.nn.expressions import need_floating
from thalweg.tensor import reductions
from thalweg.tensor.arithmetic import (
    absolute,
    add,
    broadcast_shapes,
    convert,
    divide,
    equal,
    expand_to,
    less,
    log,
    log1p,
    multiply,
    negative,
    not_equal,
    square,
    subtract,
    where,
)
from thalweg.tensor.core import refuse_unknown
from thalweg.tensor.shaping import axis_of, reshape

REDUCTIONS = ("none", "mean", "sum")
LABEL = "class label"

# --- shared ----------------------------------------------------------------------------------------------------------


def reduce(loss: Node, reduction: str) -> Node:
    if reduction == "none":
        return loss
    return reductions.mean(loss) if reduction == "mean" else reductions.sum_(loss)


def check_reduction(name: str, reduction: str) -> None:
    refuse_unknown(f"{name}: reduction", REDUCTIONS, reduction)


def floating_pair(name: str, input: Node, target: Node, reduction: str) -> tuple[Node, Node]:
    """Predictions and targets of one shape, both floating."""
    check_reduction(name, reduction)
    need_floating(name, input)
    if input.shape != target.shape:
        raise ShapeError(
            explain(
                f"{name}: input and target have different shapes",
                received=f"input {input.shape}, target {target.shape}",
                expected="equal shapes: broadcasting would compare every prediction with every target",
                remedy=_shape_remedy(input.shape, target.shape),
            )
        )
    return input, target if target.dtype.is_floating_point else convert(target, input.dtype)


def _shape_remedy(input: tuple[int, ...], target: tuple[int, ...]) -> str:
    if input == (*target, 1):
        return "use input.squeeze(-1) or target.unsqueeze(-1)"
    if target == (*input, 1):
        return "use target.squeeze(-1)"
    return "reshape one of them"


# --- regression ------------------------------------------------------------------------------------------------------


def mse_loss(input: Node, target: Node, reduction: str) -> Node:
    a, b = floating_pair("mse_loss", input, target, reduction)
    return reduce(square(subtract(a, b)), reduction)


def l1_loss(input: Node, target: Node, reduction: str) -> Node:
    a, b = floating_pair("l1_loss", input, target, reduction)
    return reduce(absolute(subtract(a, b)), reduction)


def huber_loss(input: Node, target: Node, reduction: str, delta: float) -> Node:
    a, b = floating_pair("huber_loss", input, target, reduction)
    if delta <= 0:
        raise ArgumentError(explain("huber_loss: delta must be positive", received=delta, expected="delta > 0"))
    error = subtract(a, b)
    size = absolute(error)
    near, far = multiply(square(error), 0.5), multiply(subtract(size, 0.5 * delta), delta)
    return reduce(where(less(size, delta), near, far), reduction)


def smooth_l1_loss(input: Node, target: Node, reduction: str, beta: float) -> Node:
    a, b = floating_pair("smooth_l1_loss", input, target, reduction)
    if beta < 0:
        raise ArgumentError(explain("smooth_l1_loss: beta must not be negative", received=beta, expected="beta >= 0"))
    error = subtract(a, b)
    size = absolute(error)
    if beta == 0:
        return reduce(size, reduction)
    near, far = multiply(square(error), 0.5 / beta), subtract(size, 0.5 * beta)
    return reduce(where(less(size, beta), near, far), reduction)


# --- two classes -----------------------------------------------------------------------------------------------------


def binary_cross_entropy(input: Node, target: Node, weight: Node | None, reduction: str) -> Node:
    p, t = floating_pair("binary_cross_entropy", input, target, reduction)
    of_one, of_zero = _at_least(log(p), -100.0), _at_least(log1p(negative(p)), -100.0)
    loss = subtract(multiply(subtract(t, 1.0), of_zero), multiply(t, of_one))
    return reduce(_weighted("binary_cross_entropy", loss, weight), reduction)


def _at_least(logarithm: Node, limit: float) -> Node:
    """As in PyTorch: a probability of exactly 0 costs much, but not infinity."""
    return where(less(logarithm, limit), limit, logarithm)


def binary_cross_entropy_with_logits(
    input: Node, target: Node, weight: Node | None, pos_weight: Node | None, reduction: str
) -> Node:
    name = "binary_cross_entropy_with_logits"
    x, t = floating_pair(name, input, target, reduction)
    # -log(1 - s(x)) = x + softplus(-x) and -log s(x) = softplus(-x), so neither tail overflows.
    cost = ops.softplus(negative(x))
    if pos_weight is not None:
        _need_broadcast(name, "pos_weight", pos_weight, x)
        cost = multiply(cost, add(multiply(subtract(pos_weight, 1.0), t), 1.0))
    loss = add(multiply(subtract(1.0, t), x), cost)
    return reduce(_weighted(name, loss, weight), reduction)


def _weighted(name: str, loss: Node, weight: Node | None) -> Node:
    if weight is None:
        return loss
    _need_broadcast(name, "weight", weight, loss)
    return multiply(loss, weight)


def _need_broadcast(name: str, what: str, node: Node, like: Node) -> None:
    if broadcast_shapes(node.shape, like.shape, name=f"{name} ({what})") != like.shape:
        raise ShapeError(
            explain(
                f"{name}: {what} does not fit", received=node.shape, expected=f"a shape that expands to {like.shape}"
            )
        )


# --- many classes ----------------------------------------------------------------------------------------------------


def nll_loss(input: Node, target: Node, weight: Node | None, ignore_index: int, reduction: str) -> Node:
    check_reduction("nll_loss", reduction)
    axis = _class_axis("nll_loss", input)
    _check_labels("nll_loss", input, target, axis)
    _check_class_weight("nll_loss", weight, input, axis)
    return _nll(input, target, weight, axis, ignore_index, reduction)


def cross_entropy(
    input: Node, target: Node, weight: Node | None, ignore_index: int, reduction: str, label_smoothing: float
) -> Node:
    check_reduction("cross_entropy", reduction)
    axis = _class_axis("cross_entropy", input)
    _check_class_weight("cross_entropy", weight, input, axis)
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(
            explain("cross_entropy: label_smoothing out of range", received=label_smoothing, expected="0 <= it <= 1")
        )
    if target.dtype.is_floating_point and target.shape == input.shape:
        return _soft_cross_entropy(input, target, weight, axis, ignore_index, reduction, label_smoothing)
    _check_labels("cross_entropy", input, target, axis)
    logarithms = reductions.log_softmax(input, axis)
    hard = _nll(logarithms, target, weight, axis, ignore_index, reduction)
    if not label_smoothing:
        return hard
    spread = _uniform_nll(logarithms, target, weight, axis, ignore_index, reduction)
    share = label_smoothing / max(1, input.shape[axis])
    return add(multiply(hard, 1 - label_smoothing), multiply(spread, share))


def _nll(logarithms: Node, target: Node, weight: Node | None, axis: int, ignore_index: int, reduction: str) -> Node:
    """-w_y log p_y; the mean is over the weights of the labels that count."""
    label, counts = counted_labels(target, ignore_index)
    factor = _factor(logarithms, label, counts, weight)
    picked = ops.gather(logarithms, *_grid(label, axis), role=LABEL)
    loss = where(counts, multiply(negative(picked), factor), 0)
    return _mean_by(loss, factor, reduction)


def _uniform_nll(
    logarithms: Node, target: Node, weight: Node | None, axis: int, ignore_index: int, reduction: str
) -> Node:
    """The loss against all classes alike, which label smoothing mixes in: -sum_c w_c log p_c."""
    label, counts = counted_labels(target, ignore_index)
    terms = logarithms if weight is None else multiply(logarithms, _along(weight, logarithms, axis))
    loss = where(counts, negative(reductions.sum_(terms, axis)), 0)
    return _mean_by(loss, _factor(logarithms, label, counts, weight), reduction)


def _mean_by(loss: Node, factor: Node, reduction: str) -> Node:
    return divide(reductions.sum_(loss), reductions.sum_(factor)) if reduction == "mean" else reduce(loss, reduction)


def counted_labels(target: Node, ignore_index: int) -> tuple[Node, Node]:
    """The labels, with 0 in place of those to ignore, and which ones count."""
    label = convert(target, int64)
    counts = not_equal(label, ignore_index)
    return where(counts, label, 0), counts


def _factor(logarithms: Node, label: Node, counts: Node, weight: Node | None) -> Node:
    """The weight of each label: that of its class, 0 where it is to be ignored."""
    if weight is None:
        return convert(counts, logarithms.dtype)
    return where(counts, ops.gather(convert(weight, logarithms.dtype), label, role=LABEL), 0)


def _grid(label: Node, axis: int) -> list[Node]:
    """The index of each axis of the input: the label on the class axis, its own place on the others."""
    grid = [ops.iota(shape=label.shape, axis=i, dtype="int64") for i in range(label.ndim)]
    return [*grid[:axis], label, *grid[axis:]]


def _soft_cross_entropy(
    input: Node, target: Node, weight: Node | None, axis: int, ignore_index: int, reduction: str, label_smoothing: float
) -> Node:
    """-sum_c w_c t_c log p_c for probabilities t; the mean is over the rows."""
    if ignore_index >= 0:
        raise ArgumentError(
            explain(
                "cross_entropy: ignore_index has no meaning for class probabilities",
                received=f"ignore_index={ignore_index}",
                expected="labels, or no ignore_index",
                remedy="give the rows to ignore probabilities of 0",
            )
        )
    if label_smoothing:
        target = add(multiply(target, 1 - label_smoothing), label_smoothing / input.shape[axis])
    terms = multiply(reductions.log_softmax(input, axis), target)
    terms = terms if weight is None else multiply(terms, _along(weight, input, axis))
    loss = negative(reductions.sum_(terms, axis))
    if reduction == "mean":
        return divide(reductions.sum_(loss), float(size_of(loss.shape)))
    return reduce(loss, reduction)


def _along(weight: Node, input: Node, axis: int) -> Node:
    shape = tuple(extent if i == axis else 1 for i, extent in enumerate(input.shape))
    return expand_to(reshape(convert(weight, input.dtype), shape), input.shape)


def _class_axis(name: str, input: Node) -> int:
    need_floating(name, input)
    if not input.ndim:
        raise ShapeError(
            explain(
                f"{name}: the input has no class axis", received="a 0-d tensor", expected="(C,), (N, C) or (N, C, ...)"
            )
        )
    return min(1, input.ndim - 1)


def _check_labels(name: str, input: Node, target: Node, axis: int) -> None:
    expected = (*input.shape[:axis], *input.shape[axis + 1 :])
    if target.dtype.category == BOOL or target.dtype.is_floating_point:
        is_row = target.shape != input.shape
        raise DTypeError(
            explain(
                f"{name}: class labels must be integers",
                received=f"{target.dtype.name} target of shape {target.shape}",
                expected=f"int64 labels of shape {expected}"
                + (f", or probabilities of shape {input.shape}" if name == "cross_entropy" else ""),
                remedy="convert the labels with .long()" + ("" if is_row else ", or probabilities with .float()"),
            )
        )
    if target.shape != expected:
        raise ShapeError(
            explain(
                f"{name}: the labels do not fit the input",
                received=f"input {input.shape}, target {target.shape}",
                expected=f"one label for each row: target of shape {expected}",
                remedy=_label_remedy(input.shape, target.shape, expected, axis),
            )
        )


def _label_remedy(input: tuple[int, ...], target: tuple[int, ...], expected: tuple[int, ...], axis: int) -> str:
    if target == input:
        return f"turn one-hot rows into labels with target.argmax({axis}), or make them probabilities with .float()"
    if size_of(target) == size_of(expected):
        return f"reshape the labels to {expected}, for example with target.squeeze()"
    return "check that input and target come from the same batch"


def _check_class_weight(name: str, weight: Node | None, input: Node, axis: int) -> None:
    if weight is not None and weight.shape != (input.shape[axis],):
        raise ShapeError(
            explain(
                f"{name}: weight must have one entry for each class",
                received=f"shape {weight.shape}",
                expected=f"({input.shape[axis]},)",
            )
        )


# --- distributions ---------------------------------------------------------------------------------------------------


def kl_div(input: Node, target: Node, reduction: str, log_target: bool) -> Node:
    """t (log t - input), where 0 log 0 is 0; "batchmean" divides the sum by the rows, as the definition asks."""
    refuse_unknown("kl_div: reduction", (*REDUCTIONS, "batchmean"), reduction)
    x, t = floating_pair("kl_div", input, target, "none")
    if log_target:
        loss = multiply(ops.exp(t), subtract(t, x))
    else:
        is_zero = equal(t, 0)
        loss = subtract(where(is_zero, 0, multiply(t, log(where(is_zero, 1, t)))), multiply(t, x))
    if reduction == "batchmean":
        rows = x.shape[axis_of(0, x.ndim)] if x.ndim else 1
        return divide(reductions.sum_(loss), float(rows))
    return reduce(loss, reduction)
