"""Expressions that combine along axes: sums, means, variances, extremes, norms, softmax, sorting.

In: nodes, `dim` as PyTorch writes it (None, an int, several), `keepdim`. Out: nodes of the reduce primitives, which
keep their axes, reshaped when the user does not. Softmax and log-sum-exp subtract the maximum, so they never overflow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from thalweg import ops
from thalweg.dtype import BOOL, INTEGER, as_dtype, bool_, int64
from thalweg.errors import ArgumentError, DTypeError, ShapeError, explain
from thalweg.graph import Node, Primitive, Shape, full, size_of
from thalweg.tensor.arithmetic import (
    absolute,
    add,
    convert,
    divide,
    equal,
    exp,
    floating,
    isinf,
    log,
    multiply,
    not_equal,
    power,
    sqrt,
    square,
    subtract,
    truth,
    where,
)
from thalweg.tensor.shaping import axes_of, axis_of, reshape, take_range

Dims = int | Sequence[int] | None


class ValuesAndIndices(NamedTuple):
    """What `max`, `min`, `sort`, `topk` and `median` along an axis return: the entries, and where they stood."""

    values: Any
    indices: Any


def _drop(kept: Node, axes: tuple[int, ...], keepdim: bool) -> Node:
    if keepdim:
        return kept
    return reshape(kept, tuple(extent for axis, extent in enumerate(kept.shape) if axis not in axes))


def _reduce(primitive: Primitive, x: Node, dim: Dims, keepdim: bool) -> Node:
    axes = axes_of(dim, x.ndim)
    return _drop(primitive(x, axes=axes), axes, keepdim) if axes else x


def _countable(x: Node, dtype: object) -> Node:
    """As PyTorch sums: bool and small integers in int64."""
    if dtype is not None:
        return convert(x, as_dtype(dtype))
    return convert(x, int64) if x.dtype.category in (BOOL, INTEGER) else x


def sum_(x: Node, dim: Dims = None, keepdim: bool = False, dtype: object = None) -> Node:
    """The sum, over all entries or along `dim` (an axis or several). Integers and booleans are summed as int64."""
    return _reduce(ops.sum_, _countable(x, dtype), dim, keepdim)


def sum_to(x: Node, size: Shape) -> Node:
    """Summed over the axes along which a tensor of that shape would be repeated to become one of x's."""
    size, lead = tuple(size), x.ndim - len(size)
    if lead < 0 or any(to not in (1, extent) for extent, to in zip(x.shape[lead:], size, strict=True)):
        raise ShapeError(explain("sum_to_size: the shape does not broadcast to the tensor's", received=size,
                                 expected=f"a shape that broadcasts to {x.shape}"))  # fmt: skip
    repeated = [i + lead for i, (extent, to) in enumerate(zip(x.shape[lead:], size, strict=True)) if extent != to]
    axes = (*range(lead), *repeated)
    return reshape(ops.sum_(x, axes=axes), size) if axes else x


def count_of(shape: Shape, dim: Dims) -> int:
    return size_of(tuple(shape[axis] for axis in axes_of(dim, len(shape))))


def mean(x: Node, dim: Dims = None, keepdim: bool = False, dtype: object = None) -> Node:
    """The mean, over all entries or along `dim` (an axis or several), in `dtype` if one is given."""
    if dtype is not None:
        x = convert(x, as_dtype(dtype))
    _need_floating("mean", x)
    return divide(sum_(x, dim, keepdim), float(count_of(x.shape, dim)))


def _need_floating(name: str, x: Node) -> None:
    if not x.dtype.is_floating_point:
        raise DTypeError(
            explain(
                f"{name} is defined for floating-point tensors",
                received=x.dtype.name,
                expected="float32 or float64",
                remedy="convert first with .float()",
            )
        )


def var(
    x: Node, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, correction: float | None = None
) -> Node:
    """The variance about the mean, divided by N - correction (1 by default, Bessel's)."""
    _need_floating("var", x)
    if isinstance(dim, bool):  # x.var(False)
        unbiased, dim = dim, None
    count = count_of(x.shape, dim)
    less_by = correction if correction is not None else (1 if unbiased else 0)
    deviation = subtract(x, mean(x, dim, keepdim=True))
    total = sum_(square(deviation), dim, keepdim)
    return divide(total, float(max(0, count - less_by)))


def std(
    x: Node, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, correction: float | None = None
) -> Node:
    """The standard deviation, the root of `var`: divided by n - correction, by default n - 1."""
    variance = var(x, dim, unbiased, keepdim, correction)
    # The root has no derivative at 0, where all entries are equal: take it of 1 there, and select 0.
    is_zero = equal(variance, 0)
    return where(is_zero, 0, sqrt(where(is_zero, 1, variance)))


def amax(x: Node, dim: Dims = None, keepdim: bool = False) -> Node:
    """The largest entry, over all of them or along `dim`; equal ones share the gradient."""
    return _reduce(ops.amax, x, dim, keepdim)


def amin(x: Node, dim: Dims = None, keepdim: bool = False) -> Node:
    """The smallest entry, over all of them or along `dim`; equal ones share the gradient."""
    return _reduce(ops.amin, x, dim, keepdim)


def any_(x: Node, dim: Dims = None, keepdim: bool = False) -> Node:
    """Whether some entry is not 0, over all of them or along `dim`."""
    return _logical(ops.amax, x, dim, keepdim, empty=False)


def all_(x: Node, dim: Dims = None, keepdim: bool = False) -> Node:
    """Whether no entry is 0, over all of them or along `dim`."""
    return _logical(ops.amin, x, dim, keepdim, empty=True)


def _logical(primitive: Primitive, x: Node, dim: Dims, keepdim: bool, empty: bool) -> Node:
    axes = axes_of(dim, x.ndim)
    if any(x.shape[axis] == 0 for axis in axes):
        shape = tuple(1 if axis in axes else extent for axis, extent in enumerate(x.shape))
        return _drop(full(shape, empty, bool_), axes, keepdim)
    return _reduce(primitive, truth(x), dim, keepdim)


def _arg(primitive: Primitive, x: Node, dim: int | None, keepdim: bool) -> Node:
    if dim is None:
        found = primitive(reshape(x, -1), axis=0)
        return reshape(found, (1,) * x.ndim if keepdim else ())
    if not x.ndim:
        return reshape(primitive(reshape(x, 1), axis=0), ())
    axis = axis_of(dim, x.ndim)
    return _drop(primitive(x, axis=axis), (axis,), keepdim)


def argmax(x: Node, dim: int | None = None, keepdim: bool = False) -> Node:
    """The position of the largest entry, the first of equal ones: of the flattened tensor, or along `dim`."""
    return _arg(ops.argmax, x, dim, keepdim)


def argmin(x: Node, dim: int | None = None, keepdim: bool = False) -> Node:
    """The position of the smallest entry, the first of equal ones: of the flattened tensor, or along `dim`."""
    return _arg(ops.argmin, x, dim, keepdim)


def pick(x: Node, index: Node, axis: int) -> Node:
    """Entries of `x` at `index` along one axis, the other axes alike (NumPy's take_along_axis)."""
    positions = [
        index if i == axis else ops.iota(shape=index.shape, axis=i, dtype=index.dtype.name) for i in range(x.ndim)
    ]
    return ops.gather(x, *positions, role="index")


def _extreme_with_position(primitive: Primitive, x: Node, dim: int, keepdim: bool) -> ValuesAndIndices:
    axis = axis_of(dim, x.ndim)
    if not x.ndim:
        return ValuesAndIndices(x, full((), 0, int64))
    position = primitive(x, axis=axis)
    return ValuesAndIndices(_drop(pick(x, position, axis), (axis,), keepdim), _drop(position, (axis,), keepdim))


def max_with_position(x: Node, dim: int, keepdim: bool = False) -> ValuesAndIndices:
    return _extreme_with_position(ops.argmax, x, dim, keepdim)


def min_with_position(x: Node, dim: int, keepdim: bool = False) -> ValuesAndIndices:
    return _extreme_with_position(ops.argmin, x, dim, keepdim)


def prod(x: Node, dim: int | None = None, keepdim: bool = False, dtype: object = None) -> Node:
    """The product, by halving: a tree of multiplications, whose derivatives are exact also where factors are 0."""
    x = _countable(x, dtype)
    if dim is None:
        flat = prod(reshape(x, -1), 0)
        return reshape(flat, (1,) * x.ndim) if keepdim else flat
    axis = axis_of(dim, x.ndim)
    if not x.ndim:
        return x
    if x.shape[axis] == 0:
        return _drop(add(ops.sum_(x, axes=(axis,)), 1), (axis,), keepdim)
    while x.shape[axis] > 1:
        half, rest = divmod(x.shape[axis], 2)
        pairs = multiply(take_range(x, axis, 0, half), take_range(x, axis, half, 2 * half))
        x = ops.concatenate(pairs, take_range(x, axis, 2 * half, 2 * half + 1), axis=axis) if rest else pairs
    return _drop(x, (axis,), keepdim)


def cumsum(x: Node, dim: int, dtype: object = None) -> Node:
    """Sums of the entries up to each along `dim`."""
    axis, x = axis_of(dim, x.ndim), _countable(x, dtype)
    return ops.cumsum(x, axis=axis, reverse=False) if x.ndim else x


def logsumexp(x: Node, dim: Dims, keepdim: bool = False) -> Node:
    """log of the sum of e^x along `dim`, without overflow."""
    x = floating(x)
    axes = axes_of(dim, x.ndim)
    peak = _finite_peak(x, axes)
    total = log(sum_(exp(subtract(x, peak)), axes, keepdim=True))
    return _drop(add(total, peak), axes, keepdim)


def _finite_peak(x: Node, axes: tuple[int, ...]) -> Node:
    """The maximum, through which no gradient need flow, and 0 where it is infinite (so that inf - inf never arises)."""
    peak = ops.detach(ops.amax(x, axes=axes))
    return where(isinf(peak), 0, peak)


def softmax(x: Node, dim: int, dtype: object = None) -> Node:
    """e^x_i / sum_j e^x_j along `dim`; with `dtype` computed in that."""
    x = floating(x) if dtype is None else convert(x, as_dtype(dtype))
    if not x.ndim:
        return reshape(softmax(reshape(x, 1), dim), ())
    axis = axis_of(dim, x.ndim)
    if x.size == 0:
        return x
    powers = exp(subtract(x, ops.detach(ops.amax(x, axes=(axis,)))))
    return divide(powers, ops.sum_(powers, axes=(axis,)))


def log_softmax(x: Node, dim: int, dtype: object = None) -> Node:
    """x_i - log sum_j e^x_j along `dim`; with `dtype` computed in that."""
    x = floating(x) if dtype is None else convert(x, as_dtype(dtype))
    if not x.ndim:
        return reshape(log_softmax(reshape(x, 1), dim), ())
    axis = axis_of(dim, x.ndim)
    if x.size == 0:
        return x
    shifted = subtract(x, ops.detach(ops.amax(x, axes=(axis,))))
    return subtract(shifted, log(ops.sum_(exp(shifted), axes=(axis,))))


def norm(x: Node, p: float | str = 2.0, dim: Dims = None, keepdim: bool = False) -> Node:
    """The p-norm (sum |x|^p)^(1/p); at the zero vector its gradient is taken as 0, as in PyTorch."""
    _need_floating("norm", x)
    p = 2.0 if p == "fro" else p
    if isinstance(p, Node):
        raise ArgumentError(
            explain("norm: p decides what is computed, so it is a number", received=f"a tensor of shape {p.shape}",
                    expected="a number or 'fro'", remedy="in a compiled step, close over p: a float argument is traced")
        )  # fmt: skip
    if isinstance(p, str):
        raise ArgumentError(explain("unknown norm", received=p, expected="a number or 'fro'"))
    if p == math.inf:
        return amax(absolute(x), dim, keepdim)
    if p == -math.inf:
        return amin(absolute(x), dim, keepdim)
    if p == 0:
        return sum_(convert(not_equal(x, 0), x.dtype), dim, keepdim)
    if p == 1:
        return sum_(absolute(x), dim, keepdim)
    total = sum_(square(x) if p == 2 else power(absolute(x), p), dim, keepdim)
    # The root has no derivative at 0: take it of 1 there, and select 0.
    is_zero = equal(total, 0)
    return where(is_zero, 0, power(where(is_zero, 1, total), 1 / p))


# --- order -----------------------------------------------------------------------------------------------------------


def argsort(x: Node, dim: int = -1, descending: bool = False, stable: bool = True) -> Node:
    """The positions that sort; equal entries keep their order."""
    if not x.ndim:
        return full((), 0, int64)
    return ops.argsort(x, axis=axis_of(dim, x.ndim), descending=descending)


def sort(x: Node, dim: int = -1, descending: bool = False, stable: bool = True) -> ValuesAndIndices:
    """The entries in order along `dim`, and where each was. Equal ones keep their order."""
    order = argsort(x, dim, descending)
    return ValuesAndIndices(pick(x, order, axis_of(dim, x.ndim)) if x.ndim else x, order)


def topk(x: Node, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesAndIndices:
    """The k largest (or smallest) entries along `dim`, in order, and their positions."""
    axis = axis_of(dim, x.ndim)
    extent = x.shape[axis] if x.ndim else 1
    if not 0 <= k <= extent:
        raise ShapeError(explain("topk: k is out of range", received=f"k={k}", expected=f"0 <= k <= {extent}"))
    if not x.ndim:
        picked = topk(reshape(x, 1), k, 0, largest)
        return ValuesAndIndices(*(reshape(each, () if k else (0,)) for each in picked))
    order = take_range(argsort(x, axis, descending=largest), axis, 0, k)
    return ValuesAndIndices(pick(x, order, axis), order)


def median(x: Node, dim: int | None = None, keepdim: bool = False) -> Node | ValuesAndIndices:
    """The lower of the two middle entries, as in PyTorch; along `dim` also where it stands."""
    if dim is None:
        return median(reshape(x, -1), 0).values  # type: ignore[no-any-return,union-attr]
    axis = axis_of(dim, x.ndim)
    if not x.ndim:
        return ValuesAndIndices(x, full((), 0, int64))
    if x.shape[axis] == 0:
        raise ShapeError(
            explain("median over an axis of size 0 has no value", received=f"shape {x.shape}",
                    expected="at least one entry")
        )  # fmt: skip
    middle = (x.shape[axis] - 1) // 2
    return ValuesAndIndices(
        *(_drop(take_range(each, axis, middle, middle + 1), (axis,), keepdim) for each in sort(x, axis))
    )
