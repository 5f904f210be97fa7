"""Primitives that only move entries: reshape, permute, broadcast, slice, pad, flip, concatenate.

In: a node and static attributes. Out: a node whose entries are entries of the input (or the padding value).
All are linear, and the chain rule of each is its transpose, another record of this file or a sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from thalweg.dtype import DType, bool_
from thalweg.errors import DTypeError, ShapeError, explain
from thalweg.graph import Node, Primitive, Probe, Shape, register, size_of
from thalweg.ops import merging
from thalweg.ops.reduce import sum_
from thalweg.ops.rules import check_axes, check_axis, check_rank, check_same

Ints = tuple[int, ...]
LINEAR = {"linear": True}
VIEW = LINEAR | {"view": True}  # strides in the same memory express it
BY_AXIS = {"by_axis": True}  # attributes say something about each axis: in another order of axes, the same of each

# In the emissions of this file, `index` is the place in the result and `x.load` reads the input at a place of its own.


def _keeps_dtype(*dtypes: DType, **_: Any) -> DType:
    check_same("concatenate", dtypes)
    return dtypes[0]


def _reshape_shape(source: Shape, *, shape: Shape) -> Shape:
    if size_of(source) != size_of(shape) or min(shape, default=0) < 0:
        raise ShapeError(
            explain(
                "reshape cannot change the number of entries",
                received=f"{source} to {shape}",
                expected=f"a shape with {size_of(source)} entries",
            )
        )
    return shape


def _groups(a: Shape, b: Shape) -> list[tuple[slice, slice]]:
    """Neighbouring axes of two shapes that have equally many entries, as few in each group as can be.

    >>> _groups((4, 6), (2, 2, 6))
    [(slice(0, 1, None), slice(0, 2, None)), (slice(1, 2, None), slice(2, 3, None))]
    """
    if 0 in a:
        return [(slice(0, len(a)), slice(0, len(b)))]
    groups, begins, ends, sizes = list[tuple[slice, slice]](), [0, 0], [0, 0], [1, 1]
    while ends != [len(a), len(b)]:
        side = int(ends[0] == len(a) or (sizes[1] < sizes[0] and ends[1] < len(b)))
        sizes[side] *= (a, b)[side][ends[side]]
        ends[side] += 1
        if sizes[0] == sizes[1] and all(end > begin for begin, end in zip(begins, ends, strict=True)):
            groups.append((slice(begins[0], ends[0]), slice(begins[1], ends[1])))
            begins, sizes = list(ends), [1, 1]
    if begins != ends and groups:  # axes of one entry at the end
        (first, second), whole = groups.pop(), (len(a), len(b))
        groups.append((slice(first.start, whole[0]), slice(second.start, whole[1])))
    return groups or [(slice(0, len(a)), slice(0, len(b)))]


def _emit_reshape(e: Any, index: Sequence[Any], x: Any, *, shape: Shape) -> Any:
    """Group by group of axes, so that those that stay as they are cost nothing."""
    places: list[Any] = []
    for ours, its in _groups(shape, x.shape):
        places += e.delinear(e.linear(index[ours], shape[ours]), x.shape[its])
    return x.load(places)


reshape: Primitive = register(
    Primitive(
        "reshape",
        "move",
        _reshape_shape,
        _keeps_dtype,
        lambda x, *, shape: x.reshape(shape),
        lambda g, y, x, *, shape: (reshape(g, shape=x.shape),),
        emit=_emit_reshape,
        identities=VIEW | {"keeps_order": True, "simpler": merging.simpler_reshape},
        probes=(
            Probe(((3, 4),), attributes={"shape": (2, 6)}),
            Probe(((),), attributes={"shape": (1, 1)}),
            Probe(((0, 3),), attributes={"shape": (5, 0)}),
            Probe(((1,),), attributes={"shape": ()}),
        ),
    )
)


def _permute_shape(source: Shape, *, order: Ints) -> Shape:
    if sorted(order) != list(range(len(source))):
        raise ShapeError(
            explain("permute needs every axis exactly once", received=order, expected=f"an order of {len(source)} axes")
        )
    return tuple(source[axis] for axis in order)


def inverse_order(order: Ints) -> Ints:
    return tuple(int(axis) for axis in np.argsort(order))


permute: Primitive = register(
    Primitive(
        "permute",
        "move",
        _permute_shape,
        _keeps_dtype,
        lambda x, *, order: x.transpose(order),
        lambda g, y, x, *, order: (permute(g, order=inverse_order(order)),),
        emit=lambda e, index, x, *, order: x.load([index[order.index(axis)] for axis in range(len(order))]),
        identities=VIEW | {"simpler": merging.simpler_permute},
        probes=(
            Probe(((2, 3, 4),), attributes={"order": (2, 0, 1)}),
            Probe(((),), attributes={"order": ()}),
            Probe(((3, 0),), attributes={"order": (1, 0)}),
        ),
    )
)


def _broadcast_shape(source: Shape, *, shape: Shape) -> Shape:
    if len(source) != len(shape) or any(a not in (1, b) for a, b in zip(source, shape, strict=True)):
        raise ShapeError(
            explain(
                "broadcast repeats axes of size 1 only",
                received=f"{source} to {shape}",
                expected="equal rank, and extents that are 1 or equal",
            )
        )
    return shape


def _broadcast_rule(g: Node, y: Node, x: Node, *, shape: Shape) -> tuple[Node]:
    """Un-broadcasting, for all of Thalweg: a repeated entry collects the cotangents of its copies."""
    axes = tuple(axis for axis, (a, b) in enumerate(zip(x.shape, shape, strict=True)) if a != b)
    return (sum_(g, axes=axes) if axes else g,)


def _emit_broadcast(e: Any, index: Sequence[Any], x: Any, *, shape: Shape) -> Any:
    return x.load([e.integer(0) if extent == 1 else i for i, extent in zip(index, x.shape, strict=True)])


broadcast = register(
    Primitive(
        "broadcast",
        "move",
        _broadcast_shape,
        _keeps_dtype,
        lambda x, *, shape: np.broadcast_to(x, shape),
        _broadcast_rule,
        emit=_emit_broadcast,
        identities=VIEW
        | BY_AXIS
        | {"repeats": True, "simpler": merging.simpler_broadcast, "sliced": merging.sliced_broadcast},
        probes=(
            Probe(((3, 1, 1),), attributes={"shape": (3, 4, 2)}),
            Probe(((),), attributes={"shape": ()}),
            Probe(((1, 5),), attributes={"shape": (0, 5)}),
        ),
    )
)


def _slice_shape(source: Shape, *, start: Ints, stop: Ints, step: Ints) -> Shape:
    check_rank("slice", source, start=start, stop=stop, step=step)
    for extent, low, high, stride in zip(source, start, stop, step, strict=True):
        if not (0 <= low <= extent and 0 <= high <= extent and stride >= 1):
            raise ShapeError(
                explain("slice out of range", received=f"{low}:{high}:{stride}", expected=f"within 0:{extent}")
            )
    return tuple(max(0, -(-(high - low) // stride)) for low, high, stride in zip(start, stop, step, strict=True))


def _slice(x: np.ndarray, *, start: Ints, stop: Ints, step: Ints) -> np.ndarray:
    return x[tuple(slice(*each) for each in zip(start, stop, step, strict=True))]


def _slice_rule(g: Node, y: Node, x: Node, *, start: Ints, stop: Ints, step: Ints) -> tuple[Node]:
    used = tuple((extent - 1) * stride + 1 if extent else 0 for extent, stride in zip(y.shape, step, strict=True))
    high = tuple(total - low - length for total, low, length in zip(x.shape, start, used, strict=True))
    return (pad(g, low=start, high=high, interior=tuple(stride - 1 for stride in step), value=0),)


def _emit_slice(e: Any, index: Sequence[Any], x: Any, *, start: Ints, stop: Ints, step: Ints) -> Any:
    return x.load(
        [
            e.add(e.multiply(i, e.integer(stride)), e.integer(low))
            for i, low, stride in zip(index, start, step, strict=True)
        ]
    )


slice_ = register(
    Primitive(
        "slice",
        "move",
        _slice_shape,
        _keeps_dtype,
        _slice,
        _slice_rule,
        emit=_emit_slice,
        identities=VIEW | BY_AXIS | {"simpler": merging.simpler_slice, "sliced": merging.sliced_slice},
        probes=(
            Probe(((5, 6),), attributes={"start": (1, 0), "stop": (4, 6), "step": (1, 2)}),
            Probe(((5,),), attributes={"start": (4,), "stop": (2,), "step": (1,)}),
            Probe(((),), attributes={"start": (), "stop": (), "step": ()}),
            Probe(((7, 0),), attributes={"start": (6, 0), "stop": (7, 0), "step": (5, 3)}),
        ),
    )
)


def _pad_shape(source: Shape, *, low: Ints, high: Ints, interior: Ints, value: float) -> Shape:
    check_rank("pad", source, low=low, high=high, interior=interior)
    if min((*low, *high, *interior, 0)) < 0:
        raise ShapeError(
            explain(
                "pad takes widths of at least 0",
                received=f"low {low}, high {high}, interior {interior}",
                expected="no negative width",
                remedy="cut entries off with slice",
            )
        )
    return tuple(
        before + after + extent + max(extent - 1, 0) * gap
        for extent, before, after, gap in zip(source, low, high, interior, strict=True)
    )


def _pad_dtype(source: DType, *, low: Ints, high: Ints, interior: Ints, value: float) -> DType:
    if not source.is_floating_point and not _is_in_range(value, source):
        raise DTypeError(
            explain(
                "pad: the value does not exist in this dtype",
                received=f"{value} for {source.name}",
                expected=f"a value of {source.name}",
            )
        )
    return source


def _is_in_range(value: float, dtype: DType) -> bool:
    if not math.isfinite(value) or value != int(value):
        return False
    if dtype is bool_:
        return 0 <= value <= 1
    limits: Any = np.iinfo(dtype.name)
    return bool(limits.min <= value <= limits.max)


def _pad_region(source: Shape, low: Ints, interior: Ints) -> tuple[Ints, Ints, Ints]:
    """Where the input's entries lie in the result, as start, stop and step."""
    length = tuple((extent - 1) * (gap + 1) + 1 if extent else 0 for extent, gap in zip(source, interior, strict=True))
    stop = tuple(before + each for before, each in zip(low, length, strict=True))
    return low, stop, tuple(gap + 1 for gap in interior)


def _pad(x: np.ndarray, *, low: Ints, high: Ints, interior: Ints, value: float) -> np.ndarray:
    result = np.full(_pad_shape(x.shape, low=low, high=high, interior=interior, value=value), value, x.dtype)
    result[tuple(slice(*each) for each in zip(*_pad_region(x.shape, low, interior), strict=True))] = x
    return result


def _pad_rule(g: Node, y: Node, x: Node, *, low: Ints, high: Ints, interior: Ints, value: float) -> tuple[Node]:
    start, stop, step = _pad_region(x.shape, low, interior)
    return (slice_(g, start=start, stop=stop, step=step),)


def _emit_pad(e: Any, index: Sequence[Any], x: Any, *, low: Ints, high: Ints, interior: Ints, value: float) -> Any:
    """The input's entry where there is one (read at a clamped place elsewhere), else the value."""
    inside, places = e.boolean(True), []
    for i, before, after, gap, extent in zip(index, low, high, interior, x.shape, strict=True):
        if not before and not after and not gap:
            places.append(i)
            continue
        shifted = e.subtract(i, e.integer(before))
        place = e.quotient(shifted, gap + 1)
        # below `low`, the unsigned quotient is huge, so one comparison serves both edges
        is_here = e.compare("below", place, e.integer(extent))
        if gap:
            is_here = e.bitwise("bitwise_and", is_here, e.compare("equal", e.modulo(shifted, gap + 1), e.integer(0)))
        places.append(e.select(is_here, place, e.integer(0)))
        inside = e.bitwise("bitwise_and", inside, is_here)
    filler = e.number(value, x.dtype)
    return e.select(inside, x.load(places), filler) if 0 not in x.shape else filler


pad = register(
    Primitive(
        "pad",
        "move",
        _pad_shape,
        _pad_dtype,
        _pad,
        _pad_rule,
        emit=_emit_pad,
        identities=BY_AXIS | {"simpler": merging.simpler_pad, "sliced": merging.sliced_pad},
        probes=(
            Probe(((3, 4),), attributes={"low": (1, 0), "high": (0, 2), "interior": (0, 0), "value": 0}),
            Probe(((3, 2),), attributes={"low": (0, 1), "high": (1, 0), "interior": (2, 1), "value": 7}),
            Probe(((),), attributes={"low": (), "high": (), "interior": (), "value": 0}),
            Probe(((0, 1),), attributes={"low": (2, 0), "high": (1, 0), "interior": (3, 3), "value": 0}),
        ),
    )
)


def _flip_shape(shape: Shape, *, axes: Ints) -> Shape:
    check_axes("flip", axes, len(shape))
    return shape


def _emit_flip(e: Any, index: Sequence[Any], x: Any, *, axes: Ints) -> Any:
    return x.load(
        [
            e.subtract(e.integer(extent - 1), i) if axis in axes else i
            for axis, (i, extent) in enumerate(zip(index, x.shape, strict=True))
        ]
    )


flip: Primitive = register(
    Primitive(
        "flip",
        "move",
        _flip_shape,
        _keeps_dtype,
        lambda x, *, axes: np.flip(x, axes),
        lambda g, y, x, *, axes: (flip(g, axes=axes),),
        emit=_emit_flip,
        identities=VIEW | BY_AXIS | {"involution": True, "simpler": merging.simpler_flip},
        probes=(
            Probe(((3, 4),), attributes={"axes": (1,)}),
            Probe(((),), attributes={"axes": ()}),
            Probe(((2, 0, 7),), attributes={"axes": (0, 2)}),
        ),
    )
)


contiguous: Primitive = register(
    Primitive(
        "contiguous",
        "move",
        lambda shape: shape,
        _keeps_dtype,
        lambda x: x.copy(),
        lambda g, y, x: (g,),
        emit=lambda e, index, x: x.load(index),
        identities=LINEAR | BY_AXIS,  # and no view: who needs its memory gets a copy in this order
        probes=(Probe(((3, 4),)), Probe(((1,),)), Probe(((0, 3),))),
    )
)


def _concatenate_shape(*shapes: Shape, axis: int) -> Shape:
    if not shapes:
        raise ShapeError(explain("concatenate: nothing to join", received="no tensors", expected="at least one"))
    first = shapes[0]
    check_axis("concatenate", axis, len(first))
    for shape in shapes:
        if len(shape) != len(first) or shape[:axis] + shape[axis + 1 :] != first[:axis] + first[axis + 1 :]:
            raise ShapeError(
                explain(
                    "concatenate: shapes differ outside the joined axis",
                    received=", ".join(map(str, shapes)),
                    expected=f"equal extents except on axis {axis}",
                )
            )
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


def _concatenate_rule(g: Node, y: Node, *inputs: Node, axis: int) -> tuple[Node, ...]:
    parts, offset = [], 0
    for each in inputs:
        start = tuple(offset if i == axis else 0 for i in range(g.ndim))
        stop = tuple(offset + each.shape[axis] if i == axis else extent for i, extent in enumerate(g.shape))
        parts.append(slice_(g, start=start, stop=stop, step=(1,) * g.ndim))
        offset += each.shape[axis]
    return tuple(parts)


def _emit_concatenate(e: Any, index: Sequence[Any], *inputs: Any, axis: int) -> Any:
    """The part that the index falls into; each part is read at a clamped place."""
    result, offset = None, 0
    for x in inputs:
        extent = x.shape[axis]
        if extent == 0:
            continue
        shifted = e.subtract(index[axis], e.integer(offset))
        is_here = e.compare("below", shifted, e.integer(extent))
        place = e.select(is_here, shifted, e.integer(0))
        value = x.load([place if i == axis else each for i, each in enumerate(index)])
        result = value if result is None else e.select(is_here, value, result)
        offset += extent
    return e.number(0, inputs[0].dtype) if result is None else result  # nothing but empty parts: never read


concatenate = register(
    Primitive(
        "concatenate",
        "move",
        _concatenate_shape,
        _keeps_dtype,
        lambda *arrays, axis: np.concatenate(arrays, axis),
        _concatenate_rule,
        emit=_emit_concatenate,
        identities=LINEAR
        | BY_AXIS
        | {"joins": True, "simpler": merging.simpler_concatenate, "sliced": merging.sliced_concatenate},
        probes=(
            Probe(((2, 3), (2, 1), (2, 2)), attributes={"axis": 1}),
            Probe(((0,), (3,)), attributes={"axis": 0}),
            Probe(((1, 7),), attributes={"axis": 0}),
            Probe(((0, 3), (0, 3)), attributes={"axis": 0}),
        ),
    )
)
