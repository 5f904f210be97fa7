"""Expressions that put entries at places which data name: where several meet at one place, they are combined.

In: nodes of entries and of places. Out: nodes. Sums and means are scattered; products and extremes are first sorted by
their places (a stable sort, so that the order of equal places is that of the entries), combined in runs and then put.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from thalweg import ops
from thalweg.dtype import bool_, int64
from thalweg.errors import ArgumentError, DTypeError, ShapeError, explain
from thalweg.graph import Node, full
from thalweg.tensor.arithmetic import (
    add,
    broadcast_shapes,
    convert,
    divide,
    equal,
    expand_to,
    floor_divide,
    less,
    maximum,
    minimum,
    multiply,
    not_equal,
    subtract,
    where,
)
from thalweg.tensor.reductions import cumsum
from thalweg.tensor.shaping import axis_of, reshape, take_range

WAYS = ("sum", "prod", "mean", "amax", "amin")


def scatter_reduce(x: Node, dim: int, index: Node, src: Node, reduce: str, *, include_self: bool = True) -> Node:
    """x with the entries of `src` combined into the places `index` along an axis.

    `reduce` is "sum", "prod", "mean", "amax" or "amin". Without `include_self` the entries of x at places that are
    named do not take part. The gradient of an extreme goes in equal parts to the entries that are equal to it.
    """
    _check_way("scatter_reduce", reduce, WAYS)
    given, places, entries = (reshape(each, 1) if not each.ndim else each for each in (x, index, src))
    _check_entries(given, places, entries, axis_of(dim, x.ndim))
    if entries.shape != places.shape:
        entries = ops.slice_(entries, start=(0,) * entries.ndim, stop=places.shape, step=(1,) * entries.ndim)
    flat = _flat_places(convert(places, int64), axis_of(dim, given.ndim), given.shape)
    return reshape(_combined(given, flat, entries, reduce, include_self), x.shape)


def index_reduce(x: Node, dim: int, index: Node, source: Node, reduce: str, *, include_self: bool = True) -> Node:
    """x with the slices of `source` combined into the places `index`, a vector, of an axis.

    `reduce` is "prod", "mean", "amax" or "amin"; the rest is as in `scatter_reduce`.
    """
    _check_way("index_reduce", reduce, WAYS[1:])
    given, entries = (reshape(each, 1) if not each.ndim else each for each in (x, source))
    axis = axis_of(dim, given.ndim)
    vector = reshape(index, -1)
    expected = tuple(vector.size if i == axis else extent for i, extent in enumerate(given.shape))
    if entries.shape != expected or index.ndim > 1:
        raise ShapeError(
            explain("index_reduce: the source does not fit", received=f"index {index.shape}, source {source.shape}",
                    expected=f"a vector of places, and a source of shape {expected}")
        )  # fmt: skip
    shape = tuple(vector.size if i == axis else 1 for i in range(given.ndim))
    places = expand_to(reshape(convert(vector, int64), shape), expected)
    flat = _flat_places(places, axis, given.shape)
    return reshape(_combined(given, flat, entries, reduce, include_self), x.shape)


def put(x: Node, index: Node, source: Node, accumulate: bool = False) -> Node:
    """x with the entries of `source` written, or with `accumulate` added, at places of the flattened tensor."""
    if index.size != source.size:
        raise ShapeError(
            explain("put: there must be as many entries as places", received=f"{source.shape} for places {index.shape}")
        )
    places = reshape(convert(index, int64), -1)
    places = where(less(places, 0), add(places, x.size), places)
    entries, flat = reshape(convert(source, x.dtype), -1), reshape(x, -1)
    if accumulate:
        return reshape(add(flat, ops.scatter_add(entries, places, shape=flat.shape, role="index")), x.shape)
    return reshape(ops.index_put(flat, entries, places, role="index"), x.shape)


def masked_scatter(x: Node, mask: Node, source: Node) -> Node:
    """x with the entries of `source`, one after the other, where the mask is True; x and the mask broadcast."""
    if mask.dtype is not bool_ or source.dtype is not x.dtype:
        raise DTypeError(
            explain("masked_scatter takes a bool mask, and a source of the tensor's dtype",
                    received=f"{mask.dtype.name} and {source.dtype.name}", expected=f"bool and {x.dtype.name}")
        )  # fmt: skip
    shape = broadcast_shapes(x.shape, mask.shape, name="masked_scatter")
    x, is_taken = expand_to(x, shape), reshape(expand_to(mask, shape), -1)
    number = subtract(cumsum(is_taken, 0), 1)
    if not source.size:
        source = full((1,), 0, x.dtype)  # which nothing may take
        number = where(is_taken, 1, number)
    taken = ops.gather(reshape(source, -1), where(is_taken, number, 0), role="entry of source")
    return reshape(where(is_taken, taken, reshape(x, -1)), x.shape)


def _check_way(name: str, reduce: str, ways: Sequence[str]) -> None:
    if reduce not in ways:
        raise ArgumentError(
            explain(f"{name}: unknown way of combining", received=repr(reduce), expected=", ".join(map(repr, ways)))
        )


def _check_entries(x: Node, index: Node, src: Node, axis: int) -> None:
    if src.dtype is not x.dtype:
        raise DTypeError(
            explain("scatter_reduce: src has another dtype than the tensor", received=src.dtype.name,
                    expected=x.dtype.name, remedy="convert it with .to(dtype)")
        )  # fmt: skip
    is_one_rank = index.ndim == x.ndim == src.ndim
    if not is_one_rank or any(
        of > min(there, from_) if i != axis else of > from_
        for i, (of, there, from_) in enumerate(zip(index.shape, x.shape, src.shape, strict=True))
    ):
        raise ShapeError(
            explain("scatter_reduce: index, src and the tensor do not fit",
                    received=f"index {index.shape}, src {src.shape} for {x.shape}",
                    expected="as many axes, and no extent of index above those of src and, but on the axis, the tensor")
        )  # fmt: skip


def _flat_places(index: Node, axis: int, shape: tuple[int, ...]) -> Node:
    """Places along an axis as places in the flattened tensor; picked from a list, so that a wrong one raises."""
    index = ops.gather(ops.iota(shape=(shape[axis],), axis=0, dtype="int64"), index, role="index")
    flat = None
    for i, each in enumerate(shape):
        along = index if i == axis else ops.iota(shape=index.shape, axis=i, dtype="int64")
        flat = along if flat is None else add(multiply(flat, each), along)
    assert flat is not None
    return reshape(flat, -1)


def _combined(x: Node, places: Node, src: Node, reduce: str, include_self: bool) -> Node:
    """The tensor with the entries combined into it; places are those of the flattened one."""
    flat, entries = reshape(x, -1), reshape(src, -1)
    if reduce in ("sum", "mean"):
        new = _averaged(flat, places, entries, reduce == "mean", include_self)
    elif reduce == "prod":
        new = _in_runs(flat, places, entries, multiply, include_self)
    else:
        new = _extreme(flat, places, entries, reduce, include_self)
    return reshape(new, x.shape)


def _count(places: Node, size: int) -> Node:
    """How often each place is named."""
    return ops.scatter_add(full(places.shape, 1, int64), places, shape=(size,), role="index")


def _averaged(x: Node, places: Node, src: Node, is_mean: bool, include_self: bool) -> Node:
    count = _count(places, x.size)
    is_named = not_equal(count, 0)
    kept = x if include_self else where(is_named, 0, x)
    total = add(kept, ops.scatter_add(src, places, shape=x.shape, role="index"))
    if not is_mean:
        return total
    share = convert(add(count, 1) if include_self else where(is_named, count, 1), x.dtype)
    return divide(total, share) if x.dtype.is_floating_point else floor_divide(total, share)


def _in_runs(x: Node, places: Node, src: Node, combine: Callable[..., Node], include_self: bool) -> Node:
    """All entries of a place combined, by doubling: of sorted places those that are equal stand side by side."""
    named, entries = places, src
    if include_self:
        named = ops.concatenate(ops.iota(shape=x.shape, axis=0, dtype="int64"), places, axis=0)
        entries = ops.concatenate(x, src, axis=0)
    order = ops.argsort(named, axis=0, descending=False)
    named, entries = (ops.gather(each, order, role="index") for each in (named, entries))
    count, step = named.size, 1
    while step < count:
        after, before = take_range(named, 0, step, count), take_range(named, 0, 0, count - step)
        late, early = take_range(entries, 0, step, count), take_range(entries, 0, 0, count - step)
        joined = where(equal(after, before), combine(early, late), late)
        entries = ops.concatenate(take_range(entries, 0, 0, step), joined, axis=0)
        step *= 2
    following = ops.concatenate(take_range(named, 0, min(count, 1), count), full((min(count, 1),), -1, int64), axis=0)
    whole = where(not_equal(named, following), entries, 0)  # the last of a run has gone over all of it
    found = ops.scatter_add(whole, named, shape=x.shape, role="index")
    return found if include_self else where(equal(_count(places, x.size), 0), x, found)


def _extreme(x: Node, places: Node, src: Node, reduce: str, include_self: bool) -> Node:
    combine = maximum if reduce == "amax" else minimum
    value = _in_runs(ops.detach(x), places, ops.detach(src), combine, include_self)
    if not x.dtype.is_floating_point:
        return value
    rule = _shared if include_self else _shared_by_src
    return ops.with_rule([value], [x, src, places], rule, ("extreme", include_self))[0]


def _shared(node: Node, cotangents: Sequence[Node | None], include_self: bool = True) -> list[Node | None]:
    """The cotangent of an extreme, in equal parts for the entries that are equal to it."""
    (g,), (y, x, src, places) = cotangents, node.inputs
    assert g is not None
    is_mine = equal(x, y) if include_self else full(x.shape, False, bool_)
    is_source = equal(src, ops.gather(y, places, role="index"))
    count = ops.scatter_add(convert(is_source, int64), places, shape=x.shape, role="index")
    is_kept = full(x.shape, False, bool_) if include_self else equal(_count(places, x.size), 0)
    sharers = add(count, convert(is_mine, int64))
    share = divide(g, convert(where(equal(sharers, 0), 1, sharers), g.dtype))
    mine = where(is_kept, g, where(is_mine, share, 0))
    return [mine, where(is_source, ops.gather(share, places, role="index"), 0), None]


def _shared_by_src(node: Node, cotangents: Sequence[Node | None]) -> list[Node | None]:
    return _shared(node, cotangents, include_self=False)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "scatter_reduce": scatter_reduce, "index_reduce": index_reduce, "put": put, "masked_scatter": masked_scatter,
}  # fmt: skip
IN_PLACE = ("scatter_reduce", "index_reduce", "put", "masked_scatter")
