"""The rarer poolings as expressions on nodes: powers, unpooling, windows at random places; norms of near channels.

In: nodes (N, C, *S) or (C, *S), and one integer for each spatial axis. Out: nodes, with positions where they are asked
for. Windows at random places are gathered, everything else is read where it lies.
"""

from __future__ import annotations

import functools
import itertools

from thalweg import ops
from thalweg.dtype import int64
from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.graph import Node, full, size_of
from thalweg.nn.convolution_expressions import need_channels_and_space
from thalweg.nn.expressions import need_floating
from thalweg.nn.pooling_expressions import avg_pool, first_largest
from thalweg.tensor.arithmetic import (
    absolute,
    add,
    convert,
    divide,
    floor,
    multiply,
    power,
    relu,
    sign,
    square,
    subtract,
)
from thalweg.tensor.indexing import scatter
from thalweg.tensor.reductions import pick
from thalweg.tensor.shaping import permute, reshape, take_range

Ints = tuple[int, ...]


def lp_pool(x: Node, p: float, kernel: Ints, stride: Ints, ceil_mode: bool) -> Node:
    """(sum of x^p over each window)^(1/p), the sum being that of the whole window also where it looks over the edge."""
    need_floating(f"lp_pool{len(kernel)}d", x)
    mean = avg_pool(power(x, p), kernel, stride, (0,) * len(kernel), ceil_mode, True, None)
    size = float(size_of(kernel))
    return power(multiply(multiply(sign(mean), relu(absolute(mean))), size), 1.0 / p)


# --- unpooling -------------------------------------------------------------------------------------------------------


def max_unpool(x: Node, index: Node, size: Ints) -> Node:
    """Zeros of extents `size`, with the entries at the places that max pooling found them."""
    axes = len(size)
    need_channels_and_space(f"max_unpool{axes}d", x, axes)
    if index.shape != x.shape:
        raise ShapeError(
            explain(f"max_unpool{axes}d: one position an entry", received=f"indices of shape {index.shape}",
                    expected=f"{x.shape}", remedy="pass the indices that max pooling returned with return_indices=True")
        )  # fmt: skip
    leading = x.shape[:-axes]
    rows = (size_of(leading), size_of(x.shape[-axes:]))
    empty = full((rows[0], size_of(size)), 0, x.dtype)
    filled = scatter(empty, 1, reshape(convert(index, int64), rows), reshape(x, rows))
    return reshape(filled, (*leading, *size))


def unpooled_size(name: str, extents: Ints, kernel: Ints, stride: Ints, padding: Ints, wanted: Ints | None) -> Ints:
    """Of the extents that shrink to these, the smallest, or those that are asked for."""
    least = tuple(
        (extent - 1) * step - 2 * edge + size
        for extent, size, step, edge in zip(extents, kernel, stride, padding, strict=True)
    )
    if wanted is None:
        return least
    size = tuple(wanted[-len(least) :])
    near = len(size) == len(least) and all(
        abs(each - low) < step for each, low, step in zip(size, least, stride, strict=True)
    )
    if not near:
        raise ArgumentError(
            explain(f"{name}: no input of this shape comes from that output_size", received=wanted,
                    expected=f"{least}, each up to the stride more or less")
        )  # fmt: skip
    return size


# --- windows at random places ----------------------------------------------------------------------------------------


def fractional_max_pool(x: Node, samples: Node, kernel: Ints, sizes: Ints) -> tuple[Node, Node]:
    """The largest entry of windows whose distances are two neighbouring whole numbers, in random order.

    Window i begins at floor((i + u) a) - floor(u a), a = (L - k) / (n - 1), the last one at L - k; u, one an axis and
    plane, is uniform in [0, 1): `samples` (N, C, axes). Graham, 2014.
    """
    axes = len(kernel)
    name = f"fractional_max_pool{axes}d"
    need_channels_and_space(name, x, axes)
    extents = x.shape[-axes:]
    if any(size < 1 or size + each - 1 > extent for size, each, extent in zip(sizes, kernel, extents, strict=True)):
        raise ShapeError(
            explain(f"{name}: the windows do not fit", received=f"output_size {sizes}, window {kernel}",
                    expected=f"at least 1, and output_size + window - 1 of at most {extents}")
        )  # fmt: skip
    planes = size_of(x.shape[:-axes])
    drawn = reshape(samples, (planes, axes))
    order = (1, 0) if axes == 2 else (0, 1, 2)  # PyTorch takes x first for images, and the depth first for volumes
    starts = [
        _starts(take_range(drawn, 1, number, number + 1), extent, size, count)
        for number, extent, size, count in zip(order, extents, kernel, sizes, strict=True)
    ]
    flat = reshape(x, (planes, size_of(extents)))
    seen = [_entries(flat, starts, offsets, extents, sizes) for offsets in itertools.product(*map(range, kernel))]
    values, places = functools.reduce(first_largest, seen)
    shape = (*x.shape[:-axes], *sizes)
    return reshape(values, shape), reshape(places, shape)


def _starts(u: Node, extent: int, kernel: int, count: int) -> Node:
    """Where the windows begin along one axis: (planes, count), of u (planes, 1)."""
    place = ops.iota(shape=(1, count), axis=1, dtype="int64")
    if count == 1:
        return full((u.shape[0], 1), extent - kernel, int64)
    step = divide(convert(full((), extent - kernel, int64), u.dtype), float(count - 1))
    begun = subtract(floor(multiply(add(u, convert(place, u.dtype)), step)), floor(multiply(u, step)))
    last = full((u.shape[0], 1), extent - kernel, int64)
    return ops.concatenate(take_range(convert(begun, int64), 1, 0, count - 1), last, axis=1)


def _entries(flat: Node, starts: list[Node], offsets: Ints, extents: Ints, sizes: Ints) -> tuple[Node, ...]:
    """What one entry of every window sees, and where it stands in the flattened plane."""
    axes, total = len(sizes), None
    for axis, (start, offset, extent) in enumerate(zip(starts, offsets, extents, strict=True)):
        lying = tuple(sizes[axis] if each == axis else 1 for each in range(axes))
        place = reshape(add(start, offset), (start.shape[0], *lying))
        total = place if total is None else add(multiply(total, extent), place)
    assert total is not None
    index = reshape(total, (flat.shape[0], size_of(sizes)))
    return pick(flat, index, 1), index


# --- channels --------------------------------------------------------------------------------------------------------


def local_response_norm(x: Node, size: int, alpha: float, beta: float, k: float) -> Node:
    """x / (k + alpha * mean of x^2 over `size` near channels)^beta; channels that are not there count as zeros."""
    need_floating("local_response_norm", x)
    if x.ndim < 3:
        raise ShapeError(
            explain("local_response_norm needs channels and space", received=f"shape {x.shape}", expected="(N, C, ...)")
        )
    low, high = ((0, width, *(0,) * (x.ndim - 2)) for width in (size // 2, (size - 1) // 2))
    squares = ops.pad(square(x), low=low, high=high, interior=(0,) * x.ndim, value=0)
    near = [take_range(squares, 1, first, first + x.shape[1]) for first in range(size)]
    mean = divide(functools.reduce(add, near), float(size))
    return divide(x, power(add(multiply(mean, alpha), k), beta))


def channel_shuffle(x: Node, groups: int) -> Node:
    """(N, g * m, ...) read as (N, m, g, ...): each group of channels is dealt out to all."""
    if x.ndim < 3 or x.shape[1] % groups:
        raise ShapeError(
            explain("channel_shuffle: the groups do not divide the channels", received=f"shape {x.shape}",
                    expected=f"(N, C, ...) with C divisible by {groups}")
        )  # fmt: skip
    split = reshape(x, (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
    return reshape(permute(split, [0, 2, 1, *range(3, split.ndim)]), x.shape)
