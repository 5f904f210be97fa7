"""The rarer activations as expressions on nodes: shrinking, hard, smooth, gated, with learned or drawn slopes.

In: nodes, and the settings. Out: nodes of the same shape (half of one axis for `glu`). At a kink the derivative is the
one that PyTorch takes, which is why some are chains of `where` instead of limits.
"""

from __future__ import annotations

from thalweg import ops
from thalweg.errors import ShapeError, explain
from thalweg.graph import Node
from thalweg.nn.expressions import hardtanh, need_dtype_of, need_floating
from thalweg.tensor import reductions, shaping
from thalweg.tensor.arithmetic import (
    absolute,
    add,
    divide,
    expm1,
    less,
    less_equal,
    logical_and,
    multiply,
    negative,
    subtract,
    tanh,
    where,
)
from thalweg.tensor.indexing import one_hot
from thalweg.tensor.random import uniform_node
from thalweg.tensor.shaping import axis_of, take_range


def hardshrink(x: Node, lambd: float) -> Node:
    return where(logical_and(less_equal(-lambd, x), less_equal(x, lambd)), 0, x)


def softshrink(x: Node, lambd: float) -> Node:
    inner = where(less(x, -lambd), add(x, lambd), multiply(x, 0.0))  # NaN stays NaN
    return where(less(lambd, x), subtract(x, lambd), inner)


def tanhshrink(x: Node) -> Node:
    return subtract(x, tanh(x))


def hardsigmoid(x: Node) -> Node:
    return divide(hardtanh(add(x, 3.0), 0.0, 6.0), 6.0)


def hardswish(x: Node) -> Node:
    return where(less_equal(x, -3.0), 0, where(less(x, 3.0), divide(multiply(x, add(x, 3.0)), 6.0), x))


def threshold(x: Node, threshold: float, value: float) -> Node:
    return where(less_equal(x, threshold), value, x)


def celu(x: Node, alpha: float) -> Node:
    is_positive = less(0, x)
    return where(is_positive, x, multiply(expm1(divide(where(is_positive, 0, x), alpha)), alpha))


def mish(x: Node) -> Node:
    need_floating("mish", x)
    return multiply(x, tanh(ops.softplus(x)))


def softsign(x: Node) -> Node:
    return divide(x, add(absolute(x), 1.0))


def softmin(x: Node, dim: int) -> Node:
    need_floating("softmin", x)
    return reductions.softmax(negative(x), dim)


def glu(x: Node, dim: int) -> Node:
    """The first half along an axis, as far as the sigmoid of the second lets it through."""
    need_floating("glu", x)
    axis = axis_of(dim, x.ndim)
    extent = x.shape[axis] if x.ndim else 1
    if extent % 2:
        raise ShapeError(
            explain("glu halves an axis", received=f"extent {extent} on axis {axis} of shape {x.shape}",
                    expected="an even extent")
        )  # fmt: skip
    half = extent // 2
    return multiply(take_range(x, axis, 0, half), ops.sigmoid(take_range(x, axis, half, extent)))


def prelu(x: Node, weight: Node) -> Node:
    """A learned slope below 0, one for all entries or one a channel."""
    need_floating("prelu", x)
    need_dtype_of("prelu", x, weight)
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.ndim > 1 or weight.size not in (1, channels):
        raise ShapeError(
            explain("prelu: the weight does not fit the channels", received=f"weight {weight.shape}, input {x.shape}",
                    expected=f"one slope, or {channels}", remedy="set num_parameters to the extent of axis 1")
        )  # fmt: skip
    shape = (1, channels, *(1,) * (x.ndim - 2)) if weight.size > 1 else (1,) * x.ndim
    return where(less(0, x), x, multiply(x, shaping.reshape(weight, shape)))


def rrelu(x: Node, lower: float, upper: float) -> Node:
    """A slope below 0 drawn for each entry."""
    need_floating("rrelu", x)
    slope = add(multiply(uniform_node(x.shape, x.dtype), upper - lower), lower)
    return where(less_equal(x, 0), multiply(x, slope), x)


def gumbel_softmax(logits: Node, tau: float, hard: bool, dim: int) -> Node:
    """softmax((logits + g) / tau) with Gumbel noise g = -log(-log u); `hard`: its largest entry as 1, straight through.

    u lies in (0, 1], and -log u is kept above 0, so that g is finite.
    """
    need_floating("gumbel_softmax", logits)
    uniform = subtract(1.0, uniform_node(logits.shape, logits.dtype))
    exponential = add(negative(ops.log(uniform)), 1e-10)
    soft = reductions.softmax(divide(subtract(logits, ops.log(exponential)), tau), dim)
    if not hard:
        return soft
    axis = axis_of(dim, logits.ndim)
    chosen = one_hot(reductions.argmax(soft, axis), logits.shape[axis])
    row = shaping.movedim(ops.cast(chosen, dtype=soft.dtype.name), -1, axis)
    return add(subtract(row, ops.detach(soft)), soft)
