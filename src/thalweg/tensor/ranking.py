"""Expressions of order: running extremes, the value that comes most often, quantiles.

In: nodes, and axes as users count them. Out: nodes, or pairs of values and places. Everything is sorting, counting and
picking, so shapes are known beforehand and gradients go to the entries that were picked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thalweg import ops
from thalweg.dtype import int64
from thalweg.errors import ArgumentError, DTypeError, ShapeError, explain
from thalweg.graph import Node, full
from thalweg.tensor.arithmetic import (
    add,
    as_node,
    bitwise_or,
    ceil,
    clamp,
    convert,
    equal,
    floor,
    isnan,
    less,
    less_equal,
    multiply,
    not_equal,
    round_,
    subtract,
    where,
)
from thalweg.tensor.reductions import ValuesAndIndices, argmax, pick, sort, sum_
from thalweg.tensor.shaping import axis_of, movedim, reshape, squeeze, take_range

WAYS = ("linear", "lower", "higher", "nearest", "midpoint")


# --- running extremes ------------------------------------------------------------------------------------------------


def cummax(x: Node, dim: int) -> ValuesAndIndices:
    """The largest entry up to each along an axis, and where it stands: of equal ones the last. A NaN stays."""
    return _running(x, dim, lambda new, old: less_equal(old, new))


def cummin(x: Node, dim: int) -> ValuesAndIndices:
    """The smallest entry up to each along an axis, and where it stands: of equal ones the last. A NaN stays."""
    return _running(x, dim, lambda new, old: less_equal(new, old))


def _running(x: Node, dim: int, is_better: Callable[[Node, Node], Node]) -> ValuesAndIndices:
    axis = axis_of(dim, x.ndim)
    if not x.ndim:
        return ValuesAndIndices(x, full((), 0, int64))
    values, extent, step = ops.detach(x), x.shape[axis], 1
    places = ops.iota(shape=x.shape, axis=axis, dtype="int64")
    while step < extent:
        new, old = take_range(values, axis, step, extent), take_range(values, axis, 0, extent - step)
        is_new = is_better(new, old)
        if x.dtype.is_floating_point:
            is_new = bitwise_or(isnan(new), is_new)
        joined = []
        for each in (values, places):
            chosen = where(is_new, take_range(each, axis, step, extent), take_range(each, axis, 0, extent - step))
            joined.append(ops.concatenate(take_range(each, axis, 0, step), chosen, axis=axis))
        values, places = joined
        step *= 2
    return ValuesAndIndices(pick(x, places, axis), places)


def mode(x: Node, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """The entry that comes most often along an axis, of several the smallest, and the last place at which it stands."""
    axis = axis_of(dim, x.ndim)
    if not x.ndim:
        return ValuesAndIndices(x, full((), 0, int64))
    extent = x.shape[axis]
    if not extent:
        raise ShapeError(
            explain("mode over an axis of size 0 has no value", received=f"shape {x.shape}",
                    expected="at least one entry")
        )  # fmt: skip
    ordered, order = sort(ops.detach(x), axis)
    place = ops.iota(shape=x.shape, axis=axis, dtype="int64")
    after, before = take_range(ordered, axis, 1, extent), take_range(ordered, axis, 0, extent - 1)
    starts = where(not_equal(after, before), take_range(place, axis, 1, extent), 0)
    first = cummax(ops.concatenate(take_range(place, axis, 0, 1), starts, axis=axis), axis).values
    best = argmax(subtract(place, first), axis, keepdim=True)  # of equally long runs the first, whose value is smallest
    index = pick(order, best, axis)
    found = ValuesAndIndices(pick(x, index, axis), index)
    return found if keepdim else ValuesAndIndices(*(squeeze(each, axis) for each in found))


# --- quantiles -------------------------------------------------------------------------------------------------------


def quantile(x: Node, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear") -> Node:
    """The entries below which the parts `q` of an axis (or of all) lie; a vector `q` adds an axis in front.

    Between two entries `interpolation` decides: "linear", "lower", "higher", "nearest" or "midpoint". A NaN among the
    entries is the result.
    """
    return _quantiles("quantile", x, q, dim, keepdim, interpolation, ignores_nan=False)


def nanquantile(
    x: Node, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Node:
    """`quantile` of the entries that are no NaN; NaN where there are none."""
    return _quantiles("nanquantile", x, q, dim, keepdim, interpolation, ignores_nan=True)


def _quantiles(
    name: str, x: Node, q: Any, dim: int | None, keepdim: bool, interpolation: str, ignores_nan: bool
) -> Node:
    parts = _parts(name, x, q)
    if interpolation not in WAYS:
        raise ArgumentError(
            explain(f"{name}: unknown interpolation", received=repr(interpolation), expected=", ".join(map(repr, WAYS)))
        )
    rows, shape = _rows(x, dim, keepdim)
    extent = rows.shape[-1]
    if not extent:
        raise ShapeError(explain(f"{name} of nothing", received=f"shape {x.shape}", expected="at least one entry"))
    ordered = sort(rows, -1).values  # NaN last
    valid = sum_(convert(equal(rows, rows), int64), -1, keepdim=True)
    last = clamp(subtract(valid, 1), min=0) if ignores_nan else full(valid.shape, extent - 1, int64)
    rank = multiply(reshape(parts, -1), convert(last, parts.dtype))
    if not ignores_nan:
        rank = where(less(valid, extent), convert(last, rank.dtype), rank)
    found = _between(ordered, rank, interpolation)
    if not parts.ndim:
        return reshape(found, shape)
    return reshape(movedim(found, -1, 0), (parts.size, *shape))


def _between(ordered: Node, rank: Node, interpolation: str) -> Node:
    """The entries at ranks that need not be whole."""
    axis = ordered.ndim - 1
    if interpolation == "nearest":
        return pick(ordered, convert(round_(rank), int64), axis)
    low, high = (convert(each(rank), int64) for each in (floor, ceil))
    if interpolation in ("lower", "higher"):
        return pick(ordered, low if interpolation == "lower" else high, axis)
    weight = convert(subtract(rank, floor(rank)), ordered.dtype)
    if interpolation == "midpoint":
        weight = where(equal(weight, 0), 0.0, add(multiply(weight, 0.0), 0.5))
    start, end = pick(ordered, low, axis), pick(ordered, high, axis)
    # From the nearer end, so that both ends are met exactly; equal entries may be infinite.
    step = where(equal(start, end), 0, subtract(end, start))
    return where(less(weight, 0.5), add(start, multiply(step, weight)),
                 subtract(end, multiply(step, subtract(1.0, weight))))  # fmt: skip


def _parts(name: str, x: Node, q: Any) -> Node:
    if not x.dtype.is_floating_point:
        raise DTypeError(
            explain(f"{name} is defined for floating-point tensors", received=x.dtype.name,
                    expected="float32 or float64", remedy="convert first with .float()")
        )  # fmt: skip
    if not isinstance(q, Node):
        if not 0 <= q <= 1:
            raise ArgumentError(explain(f"{name}: q is a part of the whole", received=q, expected="0 <= q <= 1"))
        return as_node(float(q), x.dtype)
    if q.dtype is not x.dtype or q.ndim > 1:
        raise DTypeError(
            explain(f"{name}: q is a number, or a vector of the tensor's dtype",
                    received=f"{q.dtype.name} of shape {q.shape}", expected=f"{x.dtype.name} of shape (Q,)")
        )  # fmt: skip
    return clamp(q, 0.0, 1.0)


def _rows(x: Node, dim: int | None, keepdim: bool) -> tuple[Node, tuple[int, ...]]:
    """What is to be ordered as the last axis, and the shape of one entry for each row."""
    if dim is None or not x.ndim:
        return reshape(x, (1, x.size)), (1,) * x.ndim if keepdim else ()
    axis = axis_of(dim, x.ndim)
    kept = tuple(1 if i == axis else extent for i, extent in enumerate(x.shape))
    return movedim(x, axis, -1), kept if keepdim else x.shape[:axis] + x.shape[axis + 1 :]


def nanmedian(x: Node, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower of the two middle entries that are no NaN; along `dim` also where it stands."""
    if dim is None:
        return nanmedian(reshape(x, -1), 0).values
    axis = axis_of(dim, x.ndim)
    if not x.ndim:
        return ValuesAndIndices(x, full((), 0, int64))
    if not x.shape[axis]:
        raise ShapeError(
            explain("nanmedian over an axis of size 0 has no value", received=f"shape {x.shape}",
                    expected="at least one entry")
        )  # fmt: skip
    values, order = sort(x, axis)
    valid = sum_(convert(equal(x, x), int64), axis, keepdim=True)
    middle = ops.floor_divide(clamp(subtract(valid, 1), min=0), full(valid.shape, 2, int64))
    found = ValuesAndIndices(pick(values, middle, axis), pick(order, middle, axis))
    return found if keepdim else ValuesAndIndices(*(squeeze(each, axis) for each in found))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "cummax": cummax, "cummin": cummin, "mode": mode, "quantile": quantile, "nanquantile": nanquantile,
    "nanmedian": nanmedian,
}  # fmt: skip
