"""How a window product is cut: which axes its loops walk along, and the tile of results that stays in registers.

In: a `window_product` node. Out: `Windows`, the product as axes with strides in its operands, and a `WindowTiling`,
which depends on nothing but that and the vector unit, so that the same product is always computed in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import takewhile

from thalweg.compile.pieces import Pieces, cut, wanted_pieces
from thalweg.compile.remembering import remembered
from thalweg.compile.runs import nearly_equal, whole_and_rest
from thalweg.compile.target import current_target
from thalweg.compile.tiling import Vectors
from thalweg.compile.views import View, row_major, view_of
from thalweg.dtype import DType
from thalweg.graph import Node, Shape


@dataclass(frozen=True)
class Axis:
    """An axis of the loops: its extent, and how far one step along it is in x, in w and in the result.

    `place` is which axis of the result it is, of which one step of this one is `step`.
    """

    extent: int
    in_x: int
    in_w: int
    in_y: int = 0
    place: int = -1
    step: int = 1


@dataclass(frozen=True)
class Windows:
    """A window product. `lane` is the axis whose entries stand side by side in a vector; `inner` is summed over."""

    outer: tuple[Axis, ...]
    lane: Axis
    inner: tuple[Axis, ...]
    dtype: DType
    rank: int  # axes of the result

    @property
    def is_spread(self) -> bool:
        """Whether one entry of x meets a vector of w, rather than a vector of x."""
        return self.lane.in_x == 0

    @property
    def depth(self) -> int:
        """How many products are summed for a result."""
        return math.prod(axis.extent for axis in self.inner)

    @cached_property
    def parts(self) -> Shape:
        """The axes in front that both operands have: products that follow each other."""
        return tuple(axis.extent for axis in takewhile(lambda axis: axis.in_x and axis.in_w, self.outer))

    @property
    def is_long(self) -> bool:
        """Whether few results are made of much more, as the gradient of a weight is: in each of the parts."""
        results = self.lane.extent * math.prod(axis.extent for axis in self.outer) // math.prod(self.parts)
        first = self.inner[0] if self.inner else Axis(0, 0, 0)
        return results < first.extent * (abs(first.in_x) + abs(first.in_w)) and self.depth >= 2 * _STEPS


def operand_views(node: Node) -> tuple[View, View]:
    """Where the operands of a window product are read: behind movements, or where they have to be copied to first."""
    x, w = (view_of(each) for each in node.inputs)
    axes = _result_axes(node, x, w)
    lane = axes[_lane_place(node, axes)]
    if lane.extent == 1 or lane.in_w == 1:
        return x, w
    copied = node.inputs[1]
    return x, View(copied, 0, row_major(copied.shape))


def _lane_place(node: Node, axes: Sequence[Axis]) -> int:
    """The axis of the outputs; where there is a single one, the last longer one if it is so in both operands."""
    outputs = node.attributes["order"].index(node.ndim - 1)
    last = next((place for place in reversed(range(len(axes))) if axes[place].extent > 1), outputs)
    return last if axes[last].in_x == axes[last].in_w == 1 else outputs


def _result_axes(node: Node, x: View, w: View) -> list[Axis]:
    """The axes of the result in its own order."""
    lead, stride, order = (node.attributes[name] for name in ("lead", "stride", "order"))
    in_x = [*x.strides[: lead + 1], *(step * x.strides[lead + 1 + axis] for axis, step in enumerate(stride)), 0]
    in_w = [*w.strides[:lead], *[0] * (len(stride) + 1), w.strides[-1]]
    in_y = row_major(node.shape)
    return [Axis(node.shape[place], in_x[axis], in_w[axis], in_y[place], place) for place, axis in enumerate(order)]


def windows_of(node: Node) -> Windows:
    """The loops of a window product over the memory of its operands."""
    x, w = operand_views(node)
    lead, dilation = node.attributes["lead"], node.attributes["dilation"]
    axes = _result_axes(node, x, w)
    lane = axes.pop(_lane_place(node, axes))
    # Those that have their own w come first; then neighbours in x come last, because tiles are made of them.
    axes.sort(key=lambda axis: (axis.in_w == 0, -abs(axis.in_x)))
    window = node.inputs[1].shape[lead : lead + len(dilation)]
    inner = [
        Axis(extent, gap * x.strides[lead + 1 + axis], w.strides[lead + axis])
        for axis, (extent, gap) in enumerate(zip(window, dilation, strict=True))
    ]
    inner.append(Axis(node.inputs[1].shape[-2], x.strides[-1], w.strides[-2]))
    inner.sort(key=lambda axis: -abs(axis.in_x) - abs(axis.in_w))
    outer = _near([axis for axis in axes if axis.extent > 1], node.inputs[1].size, node.dtype.itemsize)
    return Windows(tuple(outer), lane, _joined(inner), node.dtype, node.ndim)


_NEAR = 1 << 20  # bytes that stay in the second-level cache beside a panel of w


def _near(axes: list[Axis], entries_of_w: int, itemsize: int) -> list[Axis]:
    """The axes with the panels of w inside so many samples as stay in the cache, where that moves fewer bytes.

    All samples for one panel after the other fetch x again for each panel; all panels for each sample fetch w again.
    """
    panels = next((axis for axis in axes if axis.in_w and not axis.in_x), None)
    samples = next((axis for axis in axes if not axis.in_w), None)
    if panels is None or samples is None:
        return axes
    sample, w = abs(samples.in_x) * itemsize, entries_of_w * itemsize
    fitting = [
        count for count in range(1, samples.extent + 1) if samples.extent % count == 0 and count * sample <= _NEAR
    ]
    count = max(fitting, default=1)
    again_w, again_x = w * (samples.extent // count if w > _NEAR else 1), samples.extent * sample * panels.extent
    if samples.extent * sample <= _NEAR or again_x <= again_w:
        return axes
    outside = replace(samples, extent=samples.extent // count, in_x=count * samples.in_x, in_y=count * samples.in_y,
                      step=count)  # fmt: skip
    rest = [axis for axis in axes if axis is not samples]
    return [axis for axis in (outside, *_inserted(rest, replace(samples, extent=count))) if axis.extent > 1]


def _inserted(axes: list[Axis], samples: Axis) -> list[Axis]:
    """Behind the axes that have their own w."""
    place = sum(1 for axis in axes if axis.in_w)
    return [*axes[:place], samples, *axes[place:]]


def _joined(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """The axes of a sum without those of extent 1, neighbours that lie in memory as one made one."""
    result: list[Axis] = []
    for axis in axes:
        if axis.extent == 1:
            continue
        before = result[-1] if result else None
        steps = axis.extent * axis.in_x, axis.extent * axis.in_w
        if before is not None and (before.in_x, before.in_w) == steps:
            result[-1] = replace(axis, extent=before.extent * axis.extent)
        else:
            result.append(axis)
    return tuple(result)


# --- tiles -----------------------------------------------------------------------------------------------------------

_LATENCY = 4.0  # cycles until a fused multiply-add's result is ready
_AROUND_TILE = 40.0  # to find where a tile begins
_AROUND_LOOP = 3.0  # to turn around in the loops over what is summed
_STORE = 1.5
_BLOCK = 1 << 15  # bytes of both operands that stay in the first-level cache
_STEPS = 128  # of a sum in one block, at least: its totals are read and written again
_WIDEST_OF_LONG = 2
_WEIGHTS_STAY = 1 << 20  # bytes of w that pass by for each few results and stay in the second-level cache


@dataclass(frozen=True)
class Blocks:
    """A long sum in `count` blocks: `size` steps along the inner axis `place`, one step along those before it."""

    place: int
    size: int
    count: int


@dataclass(frozen=True)
class WindowTiling:
    """A tile: `strip` steps along the outer axis `axis`, everything along those after it, and `panel` vectors."""

    windows: Windows
    vectors: Vectors
    axis: int
    strip: int
    panel: int

    @cached_property
    def along(self) -> Axis:
        """The axis that is cut into strips; of one step where every axis has its own w."""
        outer = self.windows.outer
        return outer[self.axis] if self.axis < len(outer) else Axis(1, 0, 0)

    @cached_property
    def strips(self) -> list[tuple[int, int]]:
        """(steps, how many such strips follow each other), of nearly equal extent, the longer first."""
        return nearly_equal(self.along.extent, self.strip_count)

    @property
    def strip_count(self) -> int:
        return -(-self.along.extent // self.strip)

    @property
    def lanes(self) -> int:
        return self.vectors.lanes if self.windows.lane.extent > 1 else 1

    @property
    def width(self) -> int:
        """Entries along the lane axis in a whole panel."""
        return self.panel * self.lanes

    @cached_property
    def panels(self) -> list[tuple[int, int]]:
        """(entries, how many): whole panels, then what is left."""
        return whole_and_rest(self.windows.lane.extent, self.width)

    @property
    def panel_count(self) -> int:
        return -(-self.windows.lane.extent // self.width)

    def rows(self, strip: int) -> list[tuple[int, int]]:
        """(place in x, place in y) of each row of a tile, counted from its first."""
        rows = [(0, 0)]
        for axis in (replace(self.along, extent=strip), *self.windows.outer[self.axis + 1 :]):
            rows = [(x + i * axis.in_x, y + i * axis.in_y) for x, y in rows for i in range(axis.extent)]
        return rows

    @property
    def tiles(self) -> int:
        before = math.prod(axis.extent for axis in self.windows.outer[: self.axis])
        return before * self.strip_count * self.panel_count

    @property
    def panels_first(self) -> bool:
        """Whether all results of one panel come before the next: where w as a whole would not stay in the cache."""
        return (
            self.windows.is_long
            or self.windows.depth * self.windows.lane.extent * self.windows.dtype.itemsize > _WEIGHTS_STAY
        )

    @cached_property
    def blocks(self) -> Blocks:
        """How a long sum is cut, so that what one block reads stays in the cache while all tiles pass."""
        if not self.windows.is_long:
            return Blocks(0, 0, 1)
        extents = [axis.extent for axis in self.windows.inner]
        last = self.windows.inner[-1]
        bytes_of_step = (abs(last.in_x) + abs(last.in_w)) * self.windows.dtype.itemsize
        wanted = max(_STEPS, _BLOCK // max(1, bytes_of_step))
        place = max((i for i in range(len(extents)) if math.prod(extents[i:]) >= wanted), default=0)
        size = max(1, -(-wanted // math.prod(extents[place + 1 :])))
        size = -(-extents[place] // -(-extents[place] // size))  # of nearly equal size
        return Blocks(place, size, math.prod(extents[:place]) * -(-extents[place] // size))

    @cached_property
    def cycles(self) -> float:
        """The whole product, roughly."""
        windows, total = self.windows, 0.0
        turns = math.prod(axis.extent for axis in windows.inner[:-1])
        inside = math.prod(axis.extent for axis in windows.outer[self.axis + 1 :])
        for strip, strips in self.strips:
            for width, panels in self.panels:
                height, vectors = strip * inside, -(-width // self.lanes)
                loads = height + vectors if windows.is_spread else height * vectors + vectors
                one = max(height * vectors / 2, loads / 2, _LATENCY) + _LOAD * (height / 2 + vectors)
                tile = windows.depth * one + turns * _AROUND_LOOP + _AROUND_TILE + _STORE * height * vectors
                total += strips * panels * tile
        return total * math.prod(axis.extent for axis in windows.outer[: self.axis])

    @property
    def unit(self) -> int:
        """Tiles that stay together: all of a part where its sums are made in blocks, each of which they pass by."""
        parts = math.prod(self.windows.parts)
        return self.tiles // parts if self.blocks.count > 1 and parts > 1 else 1

    @cached_property
    def pieces(self) -> Pieces:
        """The units that threads claim, in runs."""
        return cut(self.tiles // self.unit, wanted_pieces(self.cycles))


_LOAD = 0.2  # of a cycle: a part of the loads comes from the second-level cache


@cache
def choose_window_tiling(windows: Windows, vectors: Vectors) -> WindowTiling:
    """The tile with the fewest cycles whose results, a panel of w and one number of x fit the registers."""
    widest = min(-(-windows.lane.extent // vectors.lanes), _WIDEST_OF_LONG if windows.is_long else vectors.registers)
    candidates = [
        WindowTiling(windows, vectors, axis, strip, panel)
        for panel in range(1, min(widest, vectors.registers - 2) + 1)
        for axis, inside in _axes_of_tiles(windows)
        for strip in range(1, min(_most(windows, axis), vectors.registers) + 1)
        if strip * inside * panel + panel + 1 <= vectors.registers
    ]
    fast = 1.02 * min(tiling.cycles for tiling in candidates)
    return min(
        [tiling for tiling in candidates if tiling.cycles <= fast],
        key=lambda tiling: (len(tiling.strips) * len(tiling.panels), tiling.cycles),
    )


def _axes_of_tiles(windows: Windows) -> list[tuple[int, int]]:
    """(outer axis along which tiles may be cut, rows in one step along it): those whose steps meet the same w."""
    result, inside = [], 1
    for place in reversed(range(len(windows.outer))):
        axis = windows.outer[place]
        if axis.in_w:
            break
        result.append((place, inside))
        inside *= axis.extent
    return result or [(len(windows.outer), 1)]


def _most(windows: Windows, axis: int) -> int:
    return windows.outer[axis].extent if axis < len(windows.outer) else 1


@remembered
def window_tiling_of(node: Node) -> WindowTiling:
    """How a window product is cut for this machine."""
    target = current_target()
    vectors = Vectors(target.vector_bytes // node.dtype.itemsize, target.registers)
    return choose_window_tiling(windows_of(node), vectors)
