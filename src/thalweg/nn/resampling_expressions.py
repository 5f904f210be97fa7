"""What enlarging and shrinking computes: nearest, linear and cubic interpolation, and channels exchanged for space.

In: nodes (N, C, *S), the new extents, and the scales that were asked for. Out: nodes. Whole factors are repetitions,
or along long axes sums of shifted entries, which the compiler reads where they lie; other linear maps are products
with small matrices.
"""

from __future__ import annotations

import numpy as np

from thalweg import ops
from thalweg.dtype import float32, int64
from thalweg.errors import ShapeError, explain
from thalweg.graph import Node
from thalweg.nn.expressions import need_floating
from thalweg.nn.padding_expressions import pad
from thalweg.nn.pooling_expressions import adaptive_avg_pool, weighted
from thalweg.tensor.arithmetic import (
    absolute,
    add,
    clamp,
    convert,
    divide,
    equal,
    floor,
    less,
    less_equal,
    logical_and,
    maximum,
    minimum,
    multiply,
    square,
    subtract,
    trunc,
    where,
)
from thalweg.tensor.indexing import index_select
from thalweg.tensor.shaping import permute, repeat_interleave, reshape, take_range

Ints = tuple[int, ...]
Scales = tuple[float | None, ...]

# Longer axes are cheaper as sums of shifted entries: measured for factor 2, 8 to 64 entries are faster as a product
# (twice at 8, equal at 64), and 256 five times as slow.
_LARGEST_MATRIX = 64


LINEAR = ("linear", "bilinear", "trilinear")


def interpolate(x: Node, sizes: Ints, scales: Scales, mode: str, align_corners: bool, antialias: bool) -> Node:
    """Axis by axis: all ways of interpolating are products of one-dimensional ones."""
    if mode == "area":
        return adaptive_avg_pool(x, sizes)
    if mode in LINEAR or mode == "bicubic":
        need_floating("interpolate", x)
    for axis, (size, scale) in enumerate(zip(sizes, scales, strict=True), x.ndim - len(sizes)):
        if antialias:
            x = weighted(x, axis, smooth_weights(x, axis, size, scale, align_corners, mode == "bicubic"))
        elif mode in LINEAR:
            x = _linear(x, axis, size, scale, align_corners)
        elif mode == "bicubic":
            x = _cubic(x, axis, size, scale, align_corners)
        else:
            x = _nearest(x, axis, size, scale, 0.5 if mode == "nearest-exact" else 0.0)
    return x


# --- nearest ---------------------------------------------------------------------------------------------------------


def _nearest(x: Node, axis: int, size: int, scale: float | None, offset: float) -> Node:
    """Entry floor((i + offset) * old / new). PyTorch computes this in float32, and rounds where that rounds."""
    extent = x.shape[axis]
    if size == extent:
        return x
    step = float(np.float32(1 / scale) if scale else np.float32(extent) / np.float32(size))
    if _is_repetition(extent, size, step, offset):
        return repeat_interleave(x, size // extent, axis)
    place = ops.iota(shape=(size,), axis=0, dtype="float32")
    source = convert(floor(multiply(add(place, offset), step)), int64)
    return index_select(x, axis, minimum(source, extent - 1))


def _is_repetition(extent: int, size: int, step: float, offset: float) -> bool:
    if size % extent:
        return False
    source = np.floor((np.arange(size, dtype=float32.numpy) + np.float32(offset)) * np.float32(step))
    return bool(np.array_equal(np.minimum(source, extent - 1), np.arange(size) // (size // extent)))


# --- linear ----------------------------------------------------------------------------------------------------------


def _linear(x: Node, axis: int, size: int, scale: float | None, align_corners: bool) -> Node:
    extent = x.shape[axis]
    if size == extent and (align_corners or scale in (None, 1)):
        return x
    factor = size // extent
    is_whole = not align_corners and factor * extent == size and scale in (None, factor)
    if is_whole and factor > 1 and extent > _LARGEST_MATRIX:
        return _linear_by_whole_factor(x, axis, factor)
    step, shift = source_of(extent, size, scale, align_corners)
    return weighted(x, axis, _hats(extent, size, step, shift, x))


def source_of(extent: int, size: int, scale: float | None, align_corners: bool) -> tuple[float, float]:
    """Entry i of the result lies at i * step + shift of the source."""
    if align_corners:
        return (extent - 1) / (size - 1) if size > 1 else 0.0, 0.0
    step = 1 / scale if scale else extent / size
    return step, 0.5 * step - 0.5


def _hats(extent: int, size: int, step: float, shift: float, x: Node) -> Node:
    """The matrix (size, extent) of 1 - |source - entry| where that is positive, the source being i * step + shift."""
    dtype = x.dtype.name
    place, entry = (ops.iota(shape=(size, extent), axis=axis, dtype=dtype) for axis in (0, 1))
    source = clamp(add(multiply(place, step), shift), 0.0, float(extent - 1))
    return maximum(subtract(1.0, absolute(subtract(source, entry))), 0.0)


def _linear_by_whole_factor(x: Node, axis: int, factor: int) -> Node:
    """Of those that come of one entry, number q lies (q + 1/2) / factor - 1/2 beside it, and takes from a neighbour."""
    extent = x.shape[axis]
    wide = pad(x, (0, 0) * (x.ndim - 1 - axis) + (1, 1), "replicate", 0.0)
    before, here, after = (take_range(wide, axis, start, start + extent) for start in range(3))
    total: Node | None = None
    for number in range(factor):
        beside = (number + 0.5) / factor - 0.5
        mixed = add(multiply(here, 1 - abs(beside)), multiply(before if beside < 0 else after, abs(beside)))
        each = _every(mixed if beside else here, axis, number, factor)
        total = each if total is None else add(total, each)
    assert total is not None
    return total


def _every(x: Node, axis: int, first: int, step: int) -> Node:
    """Its entries at `first`, `first + step`, ... of a longer axis, with zeros between."""
    low, high, gaps = (
        tuple(width if each == axis else 0 for each in range(x.ndim)) for width in (first, step - 1 - first, step - 1)
    )
    return ops.pad(x, low=low, high=high, interior=gaps, value=0)


# --- cubic -----------------------------------------------------------------------------------------------------------

_CUBIC = -0.75  # the free number of Keys' kernel (1981) that PyTorch and OpenCV take; antialiased -0.5, as Pillow


def cubic_kernel(distance: Node, a: float) -> Node:
    """Keys' piecewise cubic of |distance|, 0 from 2 on."""
    near = add(multiply(multiply(square(distance), subtract(multiply(distance, a + 2), a + 3)), 1.0), 1.0)
    far = multiply(subtract(multiply(add(multiply(subtract(distance, 5.0), distance), 8.0), distance), 4.0), a)
    return where(less(distance, 1.0), near, where(less(distance, 2.0), far, 0))


def _cubic(x: Node, axis: int, size: int, scale: float | None, align_corners: bool) -> Node:
    """Four neighbours of each place; beyond the edge stands the last entry."""
    extent = x.shape[axis]
    if size == extent and (align_corners or scale in (None, 1)):
        return x
    step, shift = source_of(extent, size, scale, align_corners)
    place, entry = (ops.iota(shape=(size, extent), axis=each, dtype=x.dtype.name) for each in (0, 1))
    source = add(multiply(place, step), shift)
    first = floor(source)
    total: Node | None = None
    for offset in (-1.0, 0.0, 1.0, 2.0):
        neighbour = add(first, offset)
        weight = cubic_kernel(absolute(subtract(source, neighbour)), _CUBIC)
        seen = equal(clamp(neighbour, 0.0, float(extent - 1)), entry)
        each = where(seen, weight, 0)
        total = each if total is None else add(total, each)
    assert total is not None
    return weighted(x, axis, total)


def smooth_weights(x: Node, axis: int, size: int, scale: float | None, align_corners: bool, is_cubic: bool) -> Node:
    """Antialiased: where the result is smaller, the kernel is as wide as what one entry stands for (as in Pillow)."""
    extent = x.shape[axis]
    step, _ = source_of(extent, size, scale, align_corners)
    width = max(step, 1.0)
    place, entry = (ops.iota(shape=(size, extent), axis=each, dtype=x.dtype.name) for each in (0, 1))
    centre = multiply(add(place, 0.5), step)
    reach = (2.0 if is_cubic else 1.0) * width
    inside = logical_and(
        less_equal(trunc(add(subtract(centre, reach), 0.5)), entry), less(entry, trunc(add(centre, reach + 0.5)))
    )
    distance = absolute(divide(add(subtract(entry, centre), 0.5), width))
    kernel = cubic_kernel(distance, -0.5) if is_cubic else maximum(subtract(1.0, distance), 0.0)
    weights = where(inside, kernel, 0)
    return divide(weights, ops.sum_(weights, axes=(1,)))


# --- channels for space ----------------------------------------------------------------------------------------------


def pixel_shuffle(x: Node, factor: int) -> Node:
    """(*, C r r, H, W) to (*, C, H r, W r)."""
    if x.ndim < 3 or x.shape[-3] % factor**2:
        raise ShapeError(
            explain("pixel_shuffle: the channels do not fit", received=f"shape {x.shape}",
                    expected=f"(*, C, H, W) with C divisible by {factor**2}, the square of upscale_factor")
        )  # fmt: skip
    *leading, channels, height, width = x.shape
    split = reshape(x, (*leading, channels // factor**2, factor, factor, height, width))
    n = len(leading)
    moved = permute(split, [*range(n + 1), n + 3, n + 1, n + 4, n + 2])
    return reshape(moved, (*leading, channels // factor**2, height * factor, width * factor))


def pixel_unshuffle(x: Node, factor: int) -> Node:
    """(*, C, H r, W r) to (*, C r r, H, W)."""
    if x.ndim < 3 or x.shape[-2] % factor or x.shape[-1] % factor:
        raise ShapeError(
            explain("pixel_unshuffle: the planes do not fit", received=f"shape {x.shape}",
                    expected=f"(*, C, H, W) with H and W divisible by {factor}, the downscale_factor")
        )  # fmt: skip
    *leading, channels, height, width = x.shape
    split = reshape(x, (*leading, channels, height // factor, factor, width // factor, factor))
    n = len(leading)
    moved = permute(split, [*range(n + 1), n + 2, n + 4, n + 1, n + 3])
    return reshape(moved, (*leading, channels * factor**2, height // factor, width // factor))
