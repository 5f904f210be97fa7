"""Window products (convolutions and their gradients) from the register-tiled microkernel, without a copied window.

In: a `window_product` node and where its operands lie. Out: loops over tiles of the result. The rows of a tile are
neighbouring places of the window, so its entries of x lie at fixed distances from one pointer: for each step of the
sum, a few vectors of w, each times one number of x for every row (or times a vector of x where both have the lanes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thalweg.compile import packing
from thalweg.compile.contraction import Finish, Vector, accumulated, left_before
from thalweg.compile.emitter import Emitter
from thalweg.compile.packing import counted, extent_of, nested, share_of_piece
from thalweg.compile.pieces import WHOLE, Pieces, largest_divisor
from thalweg.compile.runs import begin_of, choices, extent_at
from thalweg.compile.values import Extent, Value, literal
from thalweg.compile.window_tiling import Axis, WindowTiling

_UNROLLED = 48  # multiply-adds that follow each other without a jump, at most
_MOST_REPEATS = 8

Steps = Sequence[tuple[Axis, Value]]  # how far along some axes


@dataclass(frozen=True)
class Memory:
    """An operand: a buffer, or one number everywhere."""

    pointer: str
    start: int
    number: Value | None = None


@dataclass(frozen=True)
class Product:
    """A window product, where its operands lie, and what becomes of its tiles. Without a y, `finish` sees them."""

    tiling: WindowTiling
    x: Memory
    w: Memory
    y: str | None
    finish: Finish | None = None
    pieces: Pieces = WHOLE


def emit_windows(e: Emitter, product: Product) -> None:
    """The tiles of this piece of the product.

    A long sum is made in blocks: y holds the totals from one to the next, and each adds its own.
    """
    tiling = product.tiling
    assert tiling.blocks.count == 1 or (product.y is not None and product.finish is None)
    room = product.y or e.room(tiling.windows.dtype, len(tiling.rows(tiling.strip)) * tiling.width)
    share = share_of_piece(e, e.piece(), product.pieces)
    if tiling.unit == 1:
        with counted(e, tiling.blocks.count) as block, counted(e, share.count) as i:
            _Tile(e, product, room, block, e.add(share.first, i)).write()
        return
    with nested(e, [share.count, tiling.blocks.count, tiling.unit]) as (part, block, i):
        first = e.multiply(e.add(share.first, part), e.integer(tiling.unit))
        _Tile(e, product, room, block, e.add(first, i)).write()


class _Tile:
    """A tile whose number is known when the program runs."""

    def __init__(self, e: Emitter, product: Product, room: str, block: Value, number: Value) -> None:
        self.e, self.product, self.block = e, product, block
        self.tiling, self.windows = product.tiling, product.tiling.windows
        self.lanes, self.dtype = self.tiling.lanes, self.windows.dtype
        self.is_local = product.y is None
        index, self.strip, self.panel = self._decoded(number)
        self.column = e.multiply(self.panel, e.integer(self.tiling.width))
        before = zip(self.windows.outer[: self.tiling.axis], index, strict=True)
        self.before: Steps = [*before, (self.tiling.along, begin_of(e, self.tiling.strips, self.strip))]
        self.inner = list(self.windows.inner)
        self.cut: tuple[Axis | None, Extent] = (None, 0)  # the axis of which a block is a part
        self.begin = [*self.before, (self.windows.lane, self.column), *self._begin_of_block()]
        self.y = room if self.is_local else self._advanced(room, 0, lambda axis: axis.in_y)

    def write(self) -> None:
        """The tile in whichever extents it has, and what follows."""
        e, tiling = self.e, self.tiling
        x = self._advanced(self.product.x.pointer, self.product.x.start, lambda axis: axis.in_x)
        w = self._advanced(self.product.w.pointer, self.product.w.start, lambda axis: axis.in_w)
        for height, of_height in choices(e, tiling.strips, self.strip):
            for width, of_width in choices(e, tiling.panels, self.panel):
                with of_height(), of_width():
                    self._write(height, width, x, w)
        if self.product.finish:
            _Finishing(self, self.product.finish).write()

    # --- where the tile begins ---------------------------------------------------------------------------------------

    def _decoded(self, number: Value) -> tuple[list[Value], Value, Value]:
        """The index along the axes before the tile's, its strip, and its panel."""
        e, tiling = self.e, self.tiling
        extents = [axis.extent for axis in self.windows.outer[: tiling.axis]]
        if tiling.unit > 1:  # a part after the other
            parts = len(self.windows.parts)
            shape = (*extents[:parts], tiling.panel_count, tiling.strip_count, *extents[parts:])
            index = e.delinear(number, shape)
            panel, strip = index[parts : parts + 2]
            index = [*index[:parts], *index[parts + 2 :]]
        elif tiling.panels_first:
            panel, strip, *index = e.delinear(number, (tiling.panel_count, tiling.strip_count, *extents))
        else:
            *index, strip, panel = e.delinear(number, (*extents, tiling.strip_count, tiling.panel_count))
        return index, strip, panel

    def _begin_of_block(self) -> Steps:
        """Where this block of the sum begins; from here on `inner` has the axes inside it."""
        e, blocks, inner = self.e, self.tiling.blocks, self.windows.inner
        if blocks.count == 1:
            return []
        before, axis = inner[: blocks.place], inner[blocks.place]
        parts = -(-axis.extent // blocks.size)
        *index, part = e.delinear(self.block, (*(each.extent for each in before), parts))
        self.cut = axis, extent_of(e, part, blocks.size, axis.extent)
        self.inner = list(inner[blocks.place :])
        return [*zip(before, index, strict=True), (axis, e.multiply(part, e.integer(blocks.size)))]

    def _advanced(self, pointer: str, start: int, stride: Callable[[Axis], int]) -> str:
        place = self.e.add(distance(self.e, self.begin, stride), self.e.integer(start))
        return self.e.advance(pointer, place, self.dtype)

    # --- one tile of known extents -----------------------------------------------------------------------------------

    def _write(self, height: int, width: int, x: str, w: str) -> None:
        e, rows = self.e, self.tiling.rows(height)
        masks = [e.first_lanes(width - first, self.lanes) for first in range(0, width, self.lanes)]
        begins = [i * self.tiling.width if self.is_local else place for i, (_, place) in enumerate(rows)]
        places = [(e.integer(begin + j * self.lanes), mask) for begin in begins for j, mask in enumerate(masks)]
        totals = [e.spread(literal(0, self.dtype), self.lanes)] * len(places)
        if self.windows.depth:
            totals = self._summed(self.inner, x, w, [place for place, _ in rows], masks, totals)
        for total, (place, mask) in zip(totals, places, strict=True):
            e.store(self.y, place, self._with_before(total, place, mask), mask)

    def _with_before(self, total: Value, place: Value, mask: Value | None) -> Value:
        """A block's total and what the blocks before have come to: fewer roundings in a row than in one long chain."""
        if self.tiling.blocks.count == 1:
            return total
        return self.e.add(left_before(self.e, self.y, place, self.dtype, self.lanes, self.block, mask), total)

    def _summed(
        self, axes: list[Axis], x: str, w: str, rows: list[int], masks: list[Value | None], totals: list[Value]
    ) -> list[Value]:
        """The totals after all steps along these axes, the outermost first."""
        if not axes:
            return self._step(x, w, self.e.integer(0), self.e.integer(0), rows, masks, totals)
        e, (axis, *rest) = self.e, axes
        extent: Extent = self.cut[1] if axis is self.cut[0] else axis.extent
        repeats = 1
        if isinstance(extent, int) and not rest:
            repeats = largest_divisor(extent, min(_UNROLLED // max(len(totals), 1), _MOST_REPEATS))

        def body(index: Value, values: list[Value]) -> list[Value]:
            first = e.multiply(index, e.integer(repeats))
            if rest:
                inner_x = e.advance(x, e.multiply(first, e.integer(axis.in_x)), self.dtype)
                inner_w = e.advance(w, e.multiply(first, e.integer(axis.in_w)), self.dtype)
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
        vectors = [self._load(self.product.w, w, in_w, j, mask) for j, mask in enumerate(masks)]
        result: list[Value] = []
        for row in rows:
            place = e.add(in_x, e.integer(row))
            numbers = self._numbers(x, place, masks)
            for number, vector in zip(numbers, vectors, strict=True):
                result.append(accumulated(e, number, vector, totals[len(result)]))
        return result

    def _numbers(self, x: str, place: Value, masks: list[Value | None]) -> list[Value]:
        """What the vectors of w are multiplied with in one row: one number of x, or a vector for each."""
        if not self.windows.is_spread:
            return [self._load(self.product.x, x, place, j, mask) for j, mask in enumerate(masks)]
        number = self.product.x.number or self.e.load(x, place, self.dtype)
        return [self.e.spread(number, self.lanes)] * len(masks)

    def _load(self, memory: Memory, pointer: str, place: Value, vector: int, mask: Value | None) -> Value:
        e = self.e
        if memory.number is not None:
            return e.spread(memory.number, self.lanes)
        return e.load(pointer, e.add(place, e.integer(vector * self.lanes)), self.dtype, self.lanes, mask)


class _Finishing:
    """What follows a tile, vector by vector while it is in the first-level cache; in a function of its own."""

    def __init__(self, tile: _Tile, finish: Finish) -> None:
        self.e, self.tile, self.finish = tile.e, tile, finish
        self.tiling, self.windows = tile.tiling, tile.windows
        self.later = self.windows.outer[self.tiling.axis + 1 :]  # axes of which a tile has everything

    def write(self) -> None:
        e, tile = self.e, self.tile
        extents = [extent_at(e, self.tiling.strips, tile.strip), extent_at(e, self.tiling.panels, tile.panel)]
        known = [each if isinstance(each, Value) else e.integer(each) for each in extents]
        axes = [axis for axis, _ in tile.before]
        begins = [index for _, index in tile.before]

        def inside(pointers: Sequence[str], values: Sequence[Value]) -> None:
            column, height, width, *rest = values
            height_now, width_now = (
                each if isinstance(each, int) else now for each, now in zip(extents, (height, width), strict=True)
            )
            before = list(zip(axes, rest, strict=False))
            self._rows(pointers, before, column, height_now, width_now, rest[len(axes) :])

        e.apart([tile.y, *self.finish.pointers], [tile.column, *known, *begins, *self.finish.values], inside)

    def _rows(
        self,
        pointers: Sequence[str],
        before: list[tuple[Axis, Value]],
        column: Value,
        height: Extent,
        width: Extent,
        values: Sequence[Value],
    ) -> None:
        e = self.e
        *outer, (along, begin) = before
        with counted(e, height) as i:

            def row(steps: list[Value]) -> None:
                place = self._place(i, steps)
                index = [*outer, (along, e.add(begin, i)), *zip(self.later, steps, strict=True)]
                self._row(pointers, index, place, column, width, values)

            e.loops(tuple(axis.extent for axis in self.later), row)

    def _place(self, i: Value, steps: list[Value]) -> Value:
        """Where a row of the tile begins, counted from the tile's first entry."""
        e = self.e
        if not self.tile.is_local:
            return distance(e, [(self.tiling.along, i), *zip(self.later, steps, strict=True)], lambda axis: axis.in_y)
        number = i
        for axis, step in zip(self.later, steps, strict=True):
            number = e.add(e.multiply(number, e.integer(axis.extent)), step)
        return e.multiply(number, e.integer(self.tiling.width))

    def _row(
        self, pointers: Sequence[str], steps: Steps, place: Value, column: Value, width: Extent, values: Sequence[Value]
    ) -> None:
        e, lanes, (y, *others) = self.e, self.tile.lanes, pointers
        known: dict[int, Value] = {}
        for axis, step in steps:
            whole = e.multiply(step, e.integer(axis.step))
            known[axis.place] = e.add(known[axis.place], whole) if axis.place in known else whole
        *outer, row = [known.get(axis, e.integer(0)) for axis in range(self.windows.rank - 1)]
        with counted(e, packing.pieces(e, width, lanes)) as j:
            within = e.multiply(j, e.integer(lanes))
            first, extent = e.add(column, within), self.windows.lane.extent
            mask = packing.before(e, first, extent, lanes) if extent % lanes else None
            vector = e.load(y, e.add(place, within), self.tile.dtype, lanes, mask)
            self.finish.write(others, [*values, *outer], [Vector(row, first, mask, vector)])


def distance(e: Emitter, steps: Steps, stride: Callable[[Axis], int]) -> Value:
    """How far the steps lead in a memory with those strides."""
    place = e.integer(0)
    for axis, index in steps:
        place = e.add(place, e.multiply(index, e.integer(stride(axis))))
    return place
