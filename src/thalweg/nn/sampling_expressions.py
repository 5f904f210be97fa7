"""What reading images at given places computes: neighbours gathered and weighted by how near they are.

In: nodes (N, C, *S), and places (N, *S', axes) from -1 to 1, the last spatial axis first. Out: nodes (N, C, *S').
Places are differentiated through the weights; neighbours outside are clamped, so that no index is out of range.
"""

from __future__ import annotations

import itertools

from thalweg import ops
from thalweg.dtype import int64
from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.graph import Node, size_of
from thalweg.nn.expressions import need_dtype_of, need_floating
from thalweg.nn.resampling_expressions import cubic_kernel
from thalweg.tensor import shaping
from thalweg.tensor.arithmetic import (
    absolute,
    add,
    clamp,
    convert,
    divide,
    equal,
    expand_to,
    floor,
    less,
    less_equal,
    logical_and,
    multiply,
    remainder,
    round_,
    subtract,
    where,
)
from thalweg.tensor.products import matmul
from thalweg.tensor.shaping import permute, reshape, take_range, unsqueeze

MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")
ROLE = "place of a grid"
_CUBIC = -0.75
Tap = tuple[Node, Node]  # the entry along one axis, and its weight


def grid_sample(x: Node, grid: Node, mode: str, padding_mode: str, align_corners: bool) -> Node:
    axes = x.ndim - 2
    need_floating("grid_sample", x)
    need_dtype_of("grid_sample", grid, x)
    if axes not in (2, 3) or grid.ndim != x.ndim or grid.shape[0] != x.shape[0] or grid.shape[-1] != axes:
        raise ShapeError(
            explain("grid_sample: the grid does not fit the input", received=f"input {x.shape}, grid {grid.shape}",
                    expected="(N, C, H, W) with (N, H', W', 2), or (N, C, D, H, W) with (N, D', H', W', 3)")
        )  # fmt: skip
    if mode == "bicubic" and axes != 2:
        raise ArgumentError(explain("grid_sample: bicubic is for images", received=f"input of shape {x.shape}"))
    taps = []
    for axis in range(axes):
        number = axes - 1 - axis  # x, the last axis, comes first
        place = reshape(take_range(grid, grid.ndim - 1, number, number + 1), grid.shape[:-1])
        taps.append(_taps(place, x.shape[2 + axis], mode, padding_mode, align_corners))
    total: Node | None = None
    for chosen in itertools.product(*taps):
        each = _weighted_entries(x, chosen, padding_mode == "zeros")
        total = each if total is None else add(total, each)
    assert total is not None
    return total


def _weighted_entries(x: Node, taps: tuple[Tap, ...], is_zero_outside: bool) -> Node:
    """One neighbour of every place, times the product of its weights; (N, C, *S')."""
    weight: Node | None = None
    inside: Node | None = None
    index: Node | None = None
    for (entry, share), extent in zip(taps, x.shape[2:], strict=True):
        seen = logical_and(less_equal(0, entry), less(entry, extent))
        inside = seen if inside is None else logical_and(inside, seen)
        weight = share if weight is None else multiply(weight, share)
        near = convert(clamp(entry, 0, extent - 1), int64)
        index = near if index is None else add(multiply(index, extent), near)
    assert index is not None
    assert weight is not None
    assert inside is not None
    found = _at(x, index)
    weight = where(inside, weight, 0) if is_zero_outside else weight
    return multiply(found, unsqueeze(weight, 1))


def _at(x: Node, index: Node) -> Node:
    """The entries of every channel at positions (N, *S') of the flattened plane."""
    batch, channels = x.shape[:2]
    rows = permute(reshape(x, (batch, channels, size_of(x.shape[2:]))), (0, 2, 1))
    sample = ops.iota(shape=index.shape, axis=0, dtype="int64")
    picked = ops.gather(rows, sample, index, role=ROLE)
    return permute(picked, (0, picked.ndim - 1, *range(1, picked.ndim - 1)))


def _taps(place: Node, extent: int, mode: str, padding_mode: str, align_corners: bool) -> list[Tap]:
    """The neighbours along one axis of places in [-1, 1], and their weights."""
    if align_corners:
        source = multiply(add(place, 1.0), 0.5 * (extent - 1))
    else:
        source = multiply(subtract(multiply(add(place, 1.0), extent), 1.0), 0.5)
    if mode != "bicubic":
        source = _kept_inside(source, extent, padding_mode, align_corners)
    if mode == "nearest":
        return [(round_(source), ops.broadcast(_ones(place), shape=place.shape))]
    first = ops.detach(floor(source))
    if mode == "bilinear":
        beside = subtract(source, first)
        return [(first, subtract(1.0, beside)), (add(first, 1.0), beside)]
    found = []
    for offset in (-1.0, 0.0, 1.0, 2.0):
        entry = add(first, offset)
        share = cubic_kernel(absolute(subtract(source, entry)), _CUBIC)
        found.append((_kept_inside(entry, extent, padding_mode, align_corners), share))
    return found


def _ones(place: Node) -> Node:
    return reshape(add(multiply(ops.iota(shape=(1,), axis=0, dtype=place.dtype.name), 0.0), 1.0), (1,) * place.ndim)


def _kept_inside(source: Node, extent: int, padding_mode: str, align_corners: bool) -> Node:
    """Places outside moved to the border, or mirrored at it."""
    if padding_mode == "zeros":
        return source
    if padding_mode == "reflection":
        low, high = (0.0, extent - 1.0) if align_corners else (-0.5, extent - 0.5)
        source = _mirrored(source, low, high - low)
    return _limited(source, extent - 1.0)


def _mirrored(source: Node, low: float, span: float) -> Node:
    if span == 0:
        return multiply(source, 0.0)
    distance = absolute(subtract(source, low))
    flips = ops.detach(floor(divide(distance, span)))
    rest = subtract(distance, multiply(flips, span))
    is_even = equal(remainder(flips, 2.0), 0)
    return where(is_even, add(rest, low), subtract(span + low, rest))


def _limited(source: Node, most: float) -> Node:
    """Between 0 and `most`; at the limits the derivative is 0, as in PyTorch."""
    return where(less_equal(source, 0.0), 0.0, where(less_equal(most, source), most, source))


# --- affine maps -----------------------------------------------------------------------------------------------------


def affine_grid(theta: Node, size: tuple[int, ...], align_corners: bool) -> Node:
    axes = len(size) - 2
    need_floating("affine_grid", theta)
    if theta.shape != (size[0], axes, axes + 1):
        raise ShapeError(
            explain("affine_grid: one map a sample", received=f"theta of shape {theta.shape}",
                    expected=f"{(size[0], axes, axes + 1)}")
        )  # fmt: skip
    space = size[2:]
    places = [_even_places(theta, space, axis, align_corners) for axis in reversed(range(axes))]
    ones = _ones_like(places[0])
    base = reshape(shaping.stack([*places, ones], -1), (1, size_of(space), axes + 1))
    moved = matmul(expand_to(base, (size[0], *base.shape[1:])), permute(theta, (0, 2, 1)))
    return reshape(moved, (size[0], *space, axes))


def _ones_like(x: Node) -> Node:
    return add(multiply(x, 0.0), 1.0)


def _even_places(theta: Node, space: tuple[int, ...], axis: int, align_corners: bool) -> Node:
    """From -1 to 1 along one axis: the middles of entries that fill it, or of which the outer ones lie on the ends."""
    extent = space[axis]
    count = ops.iota(shape=space, axis=axis, dtype=theta.dtype.name)
    if align_corners:
        return subtract(multiply(count, 2.0 / (extent - 1)), 1.0) if extent > 1 else multiply(count, 0.0)
    return subtract(divide(add(multiply(count, 2.0), 1.0), extent), 1.0)
