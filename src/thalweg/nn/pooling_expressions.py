"""What pooling computes: windows slid along the last axes, each giving its largest entry or its average.

In: nodes (..., *S), and one integer for each spatial axis. Out: nodes. No entry is gathered: a window is the slices of
the padded input that its offsets see, combined entry by entry, so that the compiler makes one loop nest of it.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from thalweg import ops
from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.graph import Node, Shape
from thalweg.nn.convolution_expressions import need_channels_and_space
from thalweg.nn.expressions import need_floating
from thalweg.tensor.arithmetic import (
    add,
    bitwise_or,
    convert,
    divide,
    floor_divide,
    less,
    less_equal,
    logical_and,
    maximum,
    minimum,
    multiply,
    not_equal,
    subtract,
    where,
)
from thalweg.tensor.indexing import index_select
from thalweg.tensor.products import matmul
from thalweg.tensor.shaping import permute, reshape, take_range, transpose

Ints = tuple[int, ...]
Nodes = tuple[Node, ...]  # an array, and what is carried along with it: the positions of its entries
Combine = Callable[[Nodes, Nodes], Nodes]

# Windows that do not overlap are read at all their offsets at once up to this many, and else axis by axis.
_MOST_OFFSETS = 9
# A window of more entries along one axis is halved again and again instead of read entry by entry.
_LONGEST_CHAIN = 4


class Window(NamedTuple):
    """How a window moves along one axis."""

    extent: int
    kernel: int
    stride: int
    padding: int
    dilation: int
    places: int

    @property
    def reach(self) -> int:
        """How many entries of the padded input lie between the first and the last that any window sees."""
        return (self.places - 1) * self.stride + self.dilation * (self.kernel - 1) + 1

    @property
    def high(self) -> int:
        """How many entries the last window sees beyond the input."""
        return max(0, self.reach - self.padding - self.extent)

    @property
    def is_apart(self) -> bool:
        """Whether no entry is seen by two windows."""
        return self.stride >= self.dilation * (self.kernel - 1) + 1

    @property
    def is_tiling(self) -> bool:
        return self.stride == self.kernel and self.dilation == 1


def windows_of(
    name: str, x: Node, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool
) -> list[Window]:
    """The windows along each spatial axis, or an error where there is no place for one."""
    need_channels_and_space(name, x, len(kernel))
    extents = x.shape[-len(kernel) :]
    windows = []
    for extent, size, step, edge, gap in zip(extents, kernel, stride, padding, dilation, strict=True):
        if 2 * edge > size:
            raise ArgumentError(
                explain(
                    f"{name}: padding is at most half of the window",
                    received=f"padding {edge}, window {size}",
                    expected=f"at most {size // 2}",
                )
            )
        windows.append(Window(extent, size, step, edge, gap, _places(extent, size, step, edge, gap, ceil_mode)))
    if any(each.places < 1 for each in windows):
        raise ShapeError(
            explain(
                f"{name}: the window is larger than the padded input",
                received=f"input of shape {x.shape}, window {kernel}, padding {padding}, dilation {dilation}",
                expected="at least one place for the window along each axis",
                remedy="a smaller window, or fewer strided layers before this one",
            )
        )
    return windows


def _places(extent: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many windows there are; with `ceil_mode` the last may look over the edge, but not start behind it."""
    room = extent + 2 * padding - dilation * (kernel - 1) - 1
    count = (room + (stride - 1 if ceil_mode else 0)) // stride + 1
    return count - 1 if ceil_mode and (count - 1) * stride >= extent + padding else count


# --- the largest entry -----------------------------------------------------------------------------------------------


def max_pool(x: Node, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool) -> Node:
    windows = windows_of(f"max_pool{len(kernel)}d", x, kernel, stride, padding, dilation, ceil_mode)
    return _combined((_padded(x, windows, _least(x)),), windows, first_largest)[0]


def max_pool_with_indices(
    x: Node, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool
) -> tuple[Node, Node]:
    """The largest entries, and where each stands in its flattened plane."""
    windows = windows_of(f"max_pool{len(kernel)}d", x, kernel, stride, padding, dilation, ceil_mode)
    entries = _padded(x, windows, _least(x))
    values, indices = _combined((entries, _positions(entries.shape, windows)), windows, first_largest)
    return values, indices


def first_largest(best: Nodes, new: Nodes) -> Nodes:
    """Of entries that tie the first stays, alone, and with it the whole gradient; NaN wins: all as in PyTorch."""
    is_later = less(best[0], new[0])
    if new[0].dtype.is_floating_point:
        is_later = bitwise_or(is_later, not_equal(new[0], new[0]))
    return tuple(where(is_later, after, before) for before, after in zip(best, new, strict=True))


def _least(x: Node) -> float:
    """What no entry is below."""
    if x.dtype.is_floating_point:
        return -math.inf
    return 0 if x.dtype.name in ("bool", "uint8") else -(2 ** (8 * x.dtype.itemsize - 1))


def _padded(x: Node, windows: Sequence[Window], value: float) -> Node:
    low, high = _on_last(x.ndim, [each.padding for each in windows]), _on_last(x.ndim, [each.high for each in windows])
    return ops.pad(x, low=low, high=high, interior=(0,) * x.ndim, value=value) if any(low + high) else x


def _on_last(ndim: int, values: Sequence[int]) -> Ints:
    """These for the last axes, 0 for the others."""
    return (*(0,) * (ndim - len(values)), *values)


def _positions(shape: Shape, windows: Sequence[Window]) -> Node:
    """The position in the flattened plane of each entry of the padded input; at the edges, of the nearest entry."""
    total: Node | None = None
    for axis, each in enumerate(windows, len(shape) - len(windows)):
        place = subtract(ops.iota(shape=shape, axis=axis, dtype="int64"), each.padding)
        inside = minimum(maximum(place, 0), max(each.extent - 1, 0))
        total = inside if total is None else add(multiply(total, each.extent), inside)
    assert total is not None
    return total


# --- combining the entries of a window -------------------------------------------------------------------------------


def _combined(nodes: Nodes, windows: Sequence[Window], combine: Combine) -> Nodes:
    """The entries of each window combined in reading order, or in an order that gives the same.

    Overlapping windows are combined along the last axis first and then along the one before: k + k terms, not k * k.
    Of a tie the first row's first entry wins either way.
    """
    count = len(windows)
    if all(each.is_apart for each in windows) and math.prod(each.kernel for each in windows) <= _MOST_OFFSETS:
        return _chained(nodes, windows, range(count), combine)
    for axis in reversed(range(count)):
        each = windows[axis]
        is_long = each.is_tiling and each.kernel > _LONGEST_CHAIN
        nodes = _halved(nodes, axis - count, each, combine) if is_long else _chained(nodes, windows, [axis], combine)
    return nodes


def _chained(nodes: Nodes, windows: Sequence[Window], axes: Sequence[int], combine: Combine) -> Nodes:
    return functools.reduce(combine, _slices(nodes, windows, axes))


def _slices(nodes: Nodes, windows: Sequence[Window], axes: Sequence[int]) -> Iterator[Nodes]:
    """What each offset of the window sees, at all places; axes that are not named stay as they are."""
    chosen = [windows[axis] for axis in axes]
    for offsets in itertools.product(*(range(each.kernel) for each in chosen)):
        ranges = {
            axis - len(windows): (offset * each.dilation, each.places, each.stride)
            for axis, offset, each in zip(axes, offsets, chosen, strict=True)
        }
        yield tuple(_every(node, ranges) for node in nodes)


def _every(x: Node, ranges: dict[int, tuple[int, int, int]]) -> Node:
    """`count` entries from `start` on, `step` apart, along the axes that are named from behind."""
    start, stop, step = [0] * x.ndim, list(x.shape), [1] * x.ndim
    for axis, (first, count, stride) in ranges.items():
        start[axis], stop[axis], step[axis] = first, first + (count - 1) * stride + 1, stride
    is_whole = not any(start) and stop == list(x.shape) and set(step) <= {1}
    return x if is_whole else ops.slice_(x, start=tuple(start), stop=tuple(stop), step=tuple(step))


def _halved(nodes: Nodes, axis: int, window: Window, combine: Combine) -> Nodes:
    """Windows side by side, by combining neighbours until one entry of each window is left."""
    split = tuple(_in_windows(node, node.ndim + axis, window) for node in nodes)
    return tuple(
        reshape(node, (*node.shape[: node.ndim - 1 + axis], window.places, *node.shape[node.ndim + 1 + axis :]))
        for node in _tournament(split, nodes[0].ndim + axis + 1, combine)
    )


def _in_windows(x: Node, axis: int, window: Window) -> Node:
    """(..., places * kernel, ...) as (..., places, kernel, ...), what lies behind the last window cut off."""
    cut = take_range(x, axis, 0, window.places * window.kernel)
    return reshape(cut, (*x.shape[:axis], window.places, window.kernel, *x.shape[axis + 1 :]))


def _tournament(nodes: Nodes, axis: int, combine: Combine) -> Nodes:
    """Neighbours combined until the axis has one entry; as these are always in order, the first of a tie wins."""
    while (extent := nodes[0].shape[axis]) > 1:
        left = tuple(take_range(node, axis, 0, extent - extent % 2, 2) for node in nodes)
        right = tuple(take_range(node, axis, 1, extent, 2) for node in nodes)
        paired = combine(left, right)
        if extent % 2:
            last = tuple(take_range(node, axis, extent - 1, extent) for node in nodes)
            paired = tuple(ops.concatenate(a, b, axis=axis) for a, b in zip(paired, last, strict=True))
        nodes = paired
    return nodes


# --- the average -----------------------------------------------------------------------------------------------------


def avg_pool(
    x: Node, kernel: Ints, stride: Ints, padding: Ints, ceil_mode: bool, count_include_pad: bool,
    divisor_override: int | None,
) -> Node:  # fmt: skip
    name = f"avg_pool{len(kernel)}d"
    windows = windows_of(name, x, kernel, stride, padding, (1,) * len(kernel), ceil_mode)
    need_floating(name, x)
    total = _totals(x, windows)
    if divisor_override is not None:
        return divide(total, float(divisor_override))
    return divide(total, _counts(total, windows, count_include_pad))


def _totals(x: Node, windows: Sequence[Window]) -> Node:
    """The sum of each window: by one reduction where windows lie side by side, by slices otherwise."""
    # Measured on 28x28 planes: windows of two or three entries are three times as fast as sums of slices.
    is_reduced = all(each.is_tiling and not each.padding and not each.high for each in windows)
    if not is_reduced or math.prod(each.kernel for each in windows) <= _LONGEST_CHAIN:
        return _combined((_padded(x, windows, 0),), windows, lambda total, new: (add(total[0], new[0]),))[0]
    leading = x.ndim - len(windows)
    for axis, each in reversed(list(enumerate(windows, leading))):
        x = _in_windows(x, axis, each)
    inner = tuple(leading + 2 * number + 1 for number in range(len(windows)))
    return reshape(ops.sum_(x, axes=inner), (*x.shape[:leading], *[each.places for each in windows]))


def _counts(total: Node, windows: Sequence[Window], count_include_pad: bool) -> Node | float:
    """By what each window's sum is divided: a number where that is the same everywhere."""
    edges = [each.padding if count_include_pad else 0 for each in windows]
    whole = [
        (edge or not each.padding) and each.reach <= each.extent + each.padding + edge
        for each, edge in zip(windows, edges, strict=True)
    ]
    if all(whole):
        return float(math.prod(each.kernel for each in windows))
    count: Node | None = None
    for axis, (each, edge) in enumerate(zip(windows, edges, strict=True), total.ndim - len(windows)):
        shape = tuple(extent if i == axis else 1 for i, extent in enumerate(total.shape))
        start = subtract(multiply(ops.iota(shape=shape, axis=axis, dtype="int64"), each.stride), each.padding)
        stop = minimum(add(start, each.kernel), each.extent + edge)
        seen = maximum(subtract(stop, maximum(start, -edge)), 1)  # a window behind the edge has the sum 0, not 0 / 0
        count = seen if count is None else multiply(count, seen)
    assert count is not None
    return convert(count, total.dtype)


# --- adaptive --------------------------------------------------------------------------------------------------------


def adaptive_avg_pool(x: Node, sizes: Ints) -> Node:
    """Averages of windows that share out each axis as evenly as can be: from floor(i L / n) to ceil((i + 1) L / n)."""
    name = f"adaptive_avg_pool{len(sizes)}d"
    extents = _adaptive_extents(name, x, sizes)
    need_floating(name, x)
    if all(size and not extent % size for extent, size in zip(extents, sizes, strict=True)):
        windows = [_tile(extent, size) for extent, size in zip(extents, sizes, strict=True)]
        return divide(_totals(x, windows), float(math.prod(each.kernel for each in windows)))
    for axis, (extent, size) in enumerate(zip(extents, sizes, strict=True), x.ndim - len(sizes)):
        x = weighted(x, axis, _shares(extent, size, x)) if extent != size else x
    return x


def adaptive_max_pool(x: Node, sizes: Ints) -> Node:
    return adaptive_max_pool_with_indices(x, sizes)[0]


def adaptive_max_pool_with_indices(x: Node, sizes: Ints) -> tuple[Node, Node]:
    """The largest entries of the same windows, and where each stands in its flattened plane."""
    extents = _adaptive_extents(f"adaptive_max_pool{len(sizes)}d", x, sizes)
    windows = [_tile(extent, size) for extent, size in zip(extents, sizes, strict=True)]
    nodes: Nodes = (x, _positions(x.shape, windows))
    if all(not extent % size for extent, size in zip(extents, sizes, strict=True)):
        nodes = _combined(nodes, windows, first_largest)
    else:
        for axis, (extent, size) in reversed(list(enumerate(zip(extents, sizes, strict=True), x.ndim - len(sizes)))):
            nodes = _largest_of_shares(nodes, axis, extent, size)
    values, indices = nodes
    return values, indices


def _adaptive_extents(name: str, x: Node, sizes: Ints) -> Ints:
    need_channels_and_space(name, x, len(sizes))
    extents: Ints = x.shape[-len(sizes) :]
    if min(extents) < 1 or (name.startswith("adaptive_max") and min(sizes) < 1):
        raise ShapeError(
            explain(f"{name}: nothing to take the windows of", received=f"shape {x.shape}, output_size {sizes}",
                    expected="at least one entry along each spatial axis")
        )  # fmt: skip
    return extents


def _tile(extent: int, places: int) -> Window:
    kernel = max(1, extent // max(1, places))
    return Window(extent, kernel, kernel, 0, 1, places)


def _share(place: Node, extent: int, size: int) -> tuple[Node, Node]:
    """Where each place's window starts and stops."""
    return floor_divide(multiply(place, extent), size), floor_divide(
        add(multiply(place, extent), extent + size - 1), size
    )


def _shares(extent: int, size: int, x: Node) -> Node:
    """The matrix (size, extent) of what each entry adds to each average."""
    place, entry = (ops.iota(shape=(size, extent), axis=axis, dtype="int64") for axis in (0, 1))
    start, stop = _share(place, extent, size)
    share = divide(1.0, convert(subtract(stop, start), x.dtype))
    return where(logical_and(less_equal(start, entry), less(entry, stop)), share, 0)


def _largest_of_shares(nodes: Nodes, axis: int, extent: int, size: int) -> Nodes:
    """Windows that differ in size: the shorter ones see their last entry twice, which changes nothing."""
    longest = max(-(-(place + 1) * extent // size) - place * extent // size for place in range(size))
    place, offset = (ops.iota(shape=(size, longest), axis=each, dtype="int64") for each in (0, 1))
    start, stop = _share(place, extent, size)
    entry = reshape(minimum(add(start, offset), subtract(stop, 1)), -1)
    window = Window(size * longest, longest, longest, 0, 1, size)
    spread = tuple(index_select(node, axis, entry) for node in nodes)
    windows = [window]
    moved = tuple(_to_last(node, axis) for node in spread)
    return tuple(_from_last(node, axis) for node in _combined(moved, windows, first_largest))


def weighted(x: Node, axis: int, matrix: Node) -> Node:
    """Along one axis, the products with a matrix (new extent, old extent)."""
    if axis == x.ndim - 2:
        return matmul(matrix, x)
    return _from_last(matmul(_to_last(x, axis), transpose(matrix, 0, 1)), axis)


def _to_last(x: Node, axis: int) -> Node:
    return permute(x, [*(each for each in range(x.ndim) if each != axis), axis]) if axis != x.ndim - 1 else x


def _from_last(x: Node, axis: int) -> Node:
    return permute(x, [*range(axis), x.ndim - 1, *range(axis, x.ndim - 1)]) if axis != x.ndim - 1 else x
