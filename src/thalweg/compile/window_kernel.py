"""Window products (convolutions and their gradients) from the register-tiled microkernel, without a copied window.

In: a `window_product` node and where its operands lie. Out: loops over tiles of the result. The rows of a tile are
neighbouring places of the window, so its entries of x lie at fixed distances from one pointer: for each step of the sum,
a few vectors of w, each times one number of x for every row (or times a vector of x where both have the lanes' axis).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from thalweg.compile.contraction import Finish, counted
from thalweg.compile.emitter import Emitter
from thalweg.compile.packing import extent_of, share_of_piece
from thalweg.compile.values import Extent, Value, literal
from thalweg.compile.window_tiling import Axis, WindowTiling

_UNROLLED = 48  # multiply-adds that follow each other without a jump, at most


@dataclass(frozen=True)
class Memory:
    """An operand: a buffer, or one number everywhere."""

    pointer: str
    start: int
    number: Value | None = None


def emit_windows(
    e: Emitter,
    x: Memory,
    w: Memory,
    y: str | None,
    tiling: WindowTiling,
    finish_at: Callable[..., Finish] | None = None,
) -> None:
    """The tiles of this piece of the product.

    A long sum is made in blocks: y holds the totals from one to the next, and they go on where they ended.
    """
    assert y is not None or tiling.blocks.count == 1
    share = share_of_piece(e, e.piece(), tiling.pieces)
    with counted(e, tiling.blocks.count) as block, counted(e, share.count) as i:
        _Tile(e, x, w, y, tiling, finish_at, block).write(e.add(share.first, i))


class _Tile:
    """A tile whose number is known when the program runs."""

    def __init__(
        self,
        e: Emitter,
        x: Memory,
        w: Memory,
        y: str | None,
        tiling: WindowTiling,
        finish_at: Callable[..., Finish] | None,
        block: Value,
    ) -> None:
        self.e, self.tiling, self.windows, self.finish_at = e, tiling, tiling.windows, finish_at
        self.block, self.inner = block, list[Axis](self.windows.inner)
        self.cut: tuple[Axis, Extent] | None = None  # the axis that a block is a part of
        self.x, self.w, self.lanes = x, w, tiling.lanes
        self.is_local = y is None
        inside = tiling.strip * max(1, len(tiling.rows(1)))
        self.y = y or e.room(self.windows.dtype, inside * tiling.width)

    def write(self, number: Value) -> None:
        e, tiling = self.e, self.tiling
        index, strip, panel = self._decoded(number)
        before = list(zip(self.windows.outer[: tiling.axis], index, strict=True))
        before.append((tiling.along, self._first_step(strip)))
        column = e.multiply(panel, e.integer(tiling.width))
        lane = [(self.windows.lane, column)]
        lane += self._begin()
        x = self._pointer(self.x, [*before, *lane], lambda axis: axis.in_x)
        w = self._pointer(self.w, [*before, *lane], lambda axis: axis.in_w)
        y = e.advance(self.y, self._sum([*before, *lane], lambda axis: axis.in_y), self.windows.dtype)
        for height, of_height in _choices(e, tiling.strips, strip):
            for width, of_width in _choices(e, tiling.panels, panel):
                with of_height(), of_width():
                    self._write(height, width, x, w, y)

    def _begin(self) -> list[tuple[Axis, Value]]:
        """Where this block of the sum begins; from here on `inner` has the axes inside it."""
        e, blocks, inner = self.e, self.tiling.blocks, self.windows.inner
        if blocks.count == 1:
            return []
        before, axis = inner[: blocks.place], inner[blocks.place]
        pieces = -(-axis.extent // blocks.size)
        *index, piece = e.delinear(self.block, (*(each.extent for each in before), pieces))
        self.cut = axis, extent_of(e, piece, blocks.size, axis.extent)
        self.inner = list(inner[blocks.place :])
        return [*zip(before, index, strict=True), (axis, e.multiply(piece, e.integer(blocks.size)))]

    def _decoded(self, number: Value) -> tuple[list[Value], Value, Value]:
        """The index along the axes before the tile's, its strip, and its panel."""
        e, tiling = self.e, self.tiling
        extents = [axis.extent for axis in self.windows.outer[: tiling.axis]]
        if tiling.panels_first:
            panel, strip, *index = e.delinear(number, (tiling.panel_count, tiling.strip_count, *extents))
        else:
            *index, strip, panel = e.delinear(number, (*extents, tiling.strip_count, tiling.panel_count))
        return index, strip, panel

    def _first_step(self, strip: Value) -> Value:
        """Where a strip begins along its axis."""
        e, (height, count), *others = self.e, *self.tiling.strips
        step = e.multiply(strip, e.integer(height))
        if not others or others[0][1] == 1:
            return step
        return e.subtract(step, e.maximum(e.integer(0), e.subtract(strip, e.integer(count))))

    def _sum(self, steps: Sequence[tuple[Axis, Value]], stride: Callable[[Axis], int]) -> Value:
        e, place = self.e, self.e.integer(0)
        for axis, index in steps:
            place = e.add(place, e.multiply(index, e.integer(stride(axis))))
        return place

    def _pointer(self, memory: Memory, steps: Sequence[tuple[Axis, Value]], stride: Callable[[Axis], int]) -> str:
        place = self.e.add(self._sum(steps, stride), self.e.integer(memory.start))
        return self.e.advance(memory.pointer, place, self.windows.dtype)

    # --- one tile of known extents -----------------------------------------------------------------------------------

    def _write(self, height: int, width: int, x: str, w: str, y: str) -> None:
        e, rows = self.e, self.tiling.rows(height)
        masks = [e.first_lanes(width - first, self.lanes) for first in range(0, width, self.lanes)]
        places = [(e.integer(place + j * self.lanes), mask) for _, place in rows for j, mask in enumerate(masks)]
        totals = [self._start(y, place, mask) for place, mask in places]
        if self.windows.depth:
            totals = self._summed(self.inner, x, w, [place for place, _ in rows], masks, totals)
        for total, (place, mask) in zip(totals, places, strict=True):
            e.store(y, place, total, mask)

    def _start(self, y: str, place: Value, mask: Value | None) -> Value:
        """What the blocks before have come to. In the first the mask is off everywhere: zeros, and nothing is read."""
        e, dtype = self.e, self.windows.dtype
        if self.tiling.blocks.count == 1:
            return e.spread(literal(0, dtype), self.lanes)
        is_later = e.compare("less", e.integer(0), self.block)
        if self.lanes == 1:
            return e.select(is_later, e.load(y, place, dtype), literal(0, dtype))
        is_later = e.spread(is_later, self.lanes)
        wanted = is_later if mask is None else e.bitwise("bitwise_and", is_later, mask)
        return e.load(y, place, dtype, self.lanes, wanted)

    def _extent(self, axis: Axis) -> Extent:
        """The steps along an axis of the sum in this block."""
        return self.cut[1] if self.cut and self.cut[0] is axis else axis.extent

    def _summed(
        self, axes: list[Axis], x: str, w: str, rows: list[int], masks: list[Value | None], totals: list[Value]
    ) -> list[Value]:
        """The totals after all steps along these axes, the outermost first."""
        if not axes:
            return self._step(x, w, self.e.integer(0), self.e.integer(0), rows, masks, totals)
        e, (axis, *rest) = self.e, axes
        extent = self._extent(axis)
        repeats = _divisor(extent, _UNROLLED // max(len(totals), 1)) if isinstance(extent, int) and not rest else 1

        def body(index: Value, values: list[Value]) -> list[Value]:
            first = e.multiply(index, e.integer(repeats))
            if rest:
                inner_x = e.advance(x, e.multiply(first, e.integer(axis.in_x)), self.windows.dtype)
                inner_w = e.advance(w, e.multiply(first, e.integer(axis.in_w)), self.windows.dtype)
                return self._summed(rest, inner_x, inner_w, rows, masks, values)
            for i in range(repeats):
                k = e.add(first, e.integer(i))
                in_x, in_w = e.multiply(k, e.integer(axis.in_x)), e.multiply(k, e.integer(axis.in_w))
                values = self._step(x, w, in_x, in_w, rows, masks, values)
            return values

        return e.repeat(extent // repeats if isinstance(extent, int) else extent, totals, body)

    def _step(
        self, x: str, w: str, in_x: Value, in_w: Value, rows: list[int], masks: list[Value | None], totals: list[Value]
    ) -> list[Value]:
        """One more product in every total."""
        e = self.e
        vectors = [self._load(self.w, w, in_w, j, mask) for j, mask in enumerate(masks)]
        result: list[Value] = []
        for row in rows:
            place = e.add(in_x, e.integer(row))
            for j, mask in enumerate(masks):
                if self.windows.is_spread:
                    number = self.x.number or e.load(x, place, self.windows.dtype) if j == 0 else number
                    entry = e.spread(number, self.lanes)
                else:
                    entry = self._load(self.x, x, place, j, mask)
                result.append(e.multiply_add(entry, vectors[j], totals[len(result)]))
        return result

    def _load(self, memory: Memory, pointer: str, place: Value, vector: int, mask: Value | None) -> Value:
        e = self.e
        if memory.number is not None:
            return e.spread(memory.number, self.lanes)
        return e.load(pointer, e.add(place, e.integer(vector * self.lanes)), self.windows.dtype, self.lanes, mask)


def _divisor(extent: int, most: int) -> int:
    """The largest divisor that is not more than `most`, at most 8."""
    return next(each for each in range(max(1, min(most, 8, extent)), 0, -1) if extent % each == 0)


def _choices(
    e: Emitter, runs: Sequence[tuple[int, int]], index: Value
) -> list[tuple[int, Callable[[], AbstractContextManager[None]]]]:
    """(extent, where the code for it stands) for each extent that piece `index` may have."""
    if len(runs) == 1:
        return [(runs[0][0], nullcontext)]
    is_first = e.compare("less", index, e.integer(runs[0][1]))
    return [(runs[0][0], lambda: e.when(is_first)), (runs[1][0], lambda: e.when(e.invert(is_first)))]
