"""Matrix products from a register-tiled microkernel, written in the emitter's words.

In: a `Tiling` of one product. Out: loops over tiles of C whose innermost code keeps a block of C in registers: for each
k, a few vectors of B, each times a number of A spread over the lanes. Around it, from the outside: strips of A that are
packed together, parts of k, panels of B that are packed together, then the tiles that these come to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from thalweg.compile.emitter import Emitter
from thalweg.compile.packing import Matrix, Packed, Part, Range, before, counted, extent_of, pack, pieces
from thalweg.compile.pieces import largest_divisor
from thalweg.compile.runs import begin_of, choices, extent_at
from thalweg.compile.target import current_target
from thalweg.compile.tiling import Tiling
from thalweg.compile.values import Extent, Value, literal
from thalweg.dtype import DType

_FAR = 1 << 19  # bytes of C: what is smaller stays in the second-level cache
_LONG = 32  # steps of k, at least: of fewer the prefetches would be a part


@dataclass(frozen=True)
class Vector:
    """Neighbouring entries of C: their row, their first column, which of them are columns (None: all), themselves."""

    row: Value
    column: Value
    mask: Value | None
    value: Value


@dataclass(frozen=True)
class Finish:
    """What becomes of C: `write(pointers, values, vectors)` for every few vectors, `beside` of them at most.

    What it needs from outside is handed to it again, because it stands in a function of its own.
    """

    write: Callable[[Sequence[str], Sequence[Value], Sequence[Vector]], None]
    pointers: Sequence[str] = ()
    values: Sequence[Value] = ()
    beside: int = 1
    touched: Callable[[Value, Value], list[tuple[str, Value]]] = lambda row, column: []
    """The memory that is read and written for an entry besides C: pointers, and how many entries behind them."""


@dataclass(frozen=True)
class Area:
    """The strips and panels of C that are to be computed."""

    strip: Value
    strips: Extent
    panel: Value
    panels: Extent


def emit_product(
    e: Emitter,
    a: str,
    b: str,
    c: str | None,
    scratch: str,
    tiling: Tiling,
    finish: Finish | None = None,
    area: Area | None = None,
) -> None:
    """The product, or an area of it. `scratch` has room for `tiling.scratch` entries.

    Where the sums over k are made in several parts, C holds them from one part to the next. They go on where they
    ended, so that each is made in the order of k, however the product is cut. Without a C, where the sums are made in
    one part, each tile is only there until `finish` has seen it.
    """
    assert c is not None or (tiling.parts == 1 and finish is not None)
    area = area or Area(e.integer(0), tiling.strip_count, e.integer(0), tiling.panel_count)
    kernel = _Kernel(e, tiling, a, b, c, scratch, finish)
    with blocks(e, area.strip, area.strips, tiling.strip_block) as strips, counted(e, tiling.parts) as part:
        start = e.multiply(part, e.integer(tiling.depth))
        here = Part(part, start, extent_of(e, part, tiling.depth, tiling.product.inner))
        kernel.pack_a(strips, here)
        with blocks(e, area.panel, area.panels, tiling.panel_block) as panels:
            kernel.pack_b(panels, here)
            with counted(e, strips.count) as strip, counted(e, panels.count) as panel:
                kernel.write_tile(strips, strip, panels, panel, here)


@contextmanager
def blocks(e: Emitter, first: Value, count: Extent, size: int) -> Iterator[Range]:
    """A loop over `count` units from `first` on, so many at a time."""
    with counted(e, pieces(e, count, size)) as index:
        yield Range(e.add(first, e.multiply(index, e.integer(size))), extent_of(e, index, size, count))


class _Kernel:
    """A product in the making."""

    def __init__(
        self,
        e: Emitter,
        tiling: Tiling,
        a: str,
        b: str,
        c: str | None,
        scratch: str,
        finish: Finish | None,
    ) -> None:
        product, lanes = tiling.product, tiling.vectors.lanes
        self.e, self.tiling, self.dtype, self.lanes, self.finish = e, tiling, product.dtype, lanes, finish
        self.is_local = c is None  # C is only there a tile at a time
        self.c = c or e.room(product.dtype, tiling.strip * tiling.width)
        self.a = Matrix(a, product.dtype, product.rows, product.inner, is_along=not product.transpose_a)
        self.b = Matrix(b, product.dtype, product.columns, product.inner, is_along=product.transpose_b)
        behind = e.advance(scratch, e.integer(tiling.scratch_a), product.dtype)
        self.packed_a = Packed(scratch, tiling.strip, 1, tiling.room)
        self.packed_b = Packed(behind, lanes, tiling.panel, tiling.room)

    def pack_a(self, strips: Range, part: Part) -> None:
        """The part of these strips to where the tiles read it, if A is packed."""
        if self.tiling.product.packs_a:
            pack(self.e, self.a, self.packed_a, self._row(strips.first), strips.count, strips.count, part, self.lanes)

    def pack_b(self, panels: Range, part: Part) -> None:
        """The part of these panels, if B is packed."""
        e, tiling = self.e, self.tiling
        if tiling.packs_b:
            column = e.multiply(panels.first, e.integer(tiling.width))
            pack(e, self.b, self.packed_b, column, panels.count, self._vectors(panels, column), part, self.lanes)

    def _vectors(self, panels: Range, column: Value) -> Extent:
        """How many vectors panels have that begin at a column."""
        e, columns, tiling = self.e, self.tiling.product.columns, self.tiling
        if tiling.panel_count == 1:
            return -(-columns // self.lanes)
        if isinstance(panels.count, int) and columns % tiling.width == 0:
            return panels.count * tiling.panel
        count = panels.count if isinstance(panels.count, Value) else e.integer(panels.count)
        left = pieces(e, e.subtract(e.integer(columns), column), self.lanes)
        assert isinstance(left, Value)
        return e.minimum(e.multiply(count, e.integer(tiling.panel)), left)

    def write_tile(self, strips: Range, strip: Value, panels: Range, panel: Value, part: Part) -> None:
        """The tile of whichever extents strip and panel have; both are counted from the first of their ranges."""
        number, of_all = self.e.add(strips.first, strip), self.e.add(panels.first, panel)
        column = self.e.multiply(of_all, self.e.integer(self.tiling.width))
        self._prefetch_tile(self._row(number), column)
        for height, of_height in choices(self.e, self.tiling.strips, number):
            for width, of_width in choices(self.e, self.tiling.panels, of_all):
                with of_height(), of_width():
                    _Tile(self, self._row(number), column, height, width, part, strip, panel).write()
        if self.finish and self.tiling.parts == 1:
            self._finish_tile(self.finish, number, of_all, column)
        elif self.finish:
            is_last = self.e.compare("equal", part.index, self.e.integer(self.tiling.parts - 1))
            with self.e.when(is_last):
                self._finish_tile(self.finish, number, of_all, column)

    def _prefetch_tile(self, row: Value, column: Value) -> None:
        """What the tile is written to, and what is done with it reads, comes while it is computed.

        Its rows are far apart, so that the processor does not read ahead by itself.
        """
        e, tiling = self.e, self.tiling
        product = tiling.product
        is_far = product.rows * product.columns * self.dtype.itemsize >= _FAR
        if tiling.parts > 1 or product.inner < _LONG or not is_far:
            return
        for i in range(tiling.strip):
            first = e.add(row, e.integer(i))
            places = self.finish.touched(first, column) if self.finish else []
            if not self.is_local:
                places = [*places, (self.c, self.place(first, column, e.integer(0), e.integer(0)))]
            for pointer, place in places:
                for j in range(0, tiling.width, self.lanes):
                    e.prefetch(pointer, e.add(place, e.integer(j)), self.dtype)

    def _finish_tile(self, finish: Finish, number: Value, panel: Value, column: Value) -> None:
        """Vector by vector while the tile is in the first-level cache: written once, whatever extents the tile has."""
        extents = [extent_at(self.e, self.tiling.strips, number), extent_at(self.e, self.tiling.panels, panel)]
        known = [each if isinstance(each, Value) else self.e.integer(each) for each in extents]

        def tile(pointers: Sequence[str], values: Sequence[Value]) -> None:
            row, column, height, width, *rest = values
            c, *others = pointers
            fixed = [each if isinstance(each, int) else now for each, now in zip(extents, (height, width), strict=True)]
            self._finish_vectors(c, row, column, fixed, finish.beside, lambda each: finish.write(others, rest, each))

        self.e.apart([self.c, *finish.pointers], [self._row(number), column, *known, *finish.values], tile)

    def _finish_vectors(
        self,
        c: str,
        first: Value,
        column: Value,
        extents: Sequence[Extent],
        most: int,
        write: Callable[[Sequence[Vector]], None],
    ) -> None:
        """Row by row; whole vectors several at a time, so that none waits for the arithmetic of another."""
        e, columns, (height, width) = self.e, self.tiling.product.columns, extents
        lanes = self.lanes if columns > 1 else 1
        count, is_whole = pieces(e, width, lanes), columns % lanes == 0
        beside = largest_divisor(count, most) if isinstance(count, int) and is_whole else 1
        with counted(e, height) as i, counted(e, count // beside if isinstance(count, int) else count) as group:
            vectors, row = [], e.add(first, i)
            for j in range(beside):
                within = e.add(e.multiply(group, e.integer(beside * lanes)), e.integer(j * lanes))
                begin = e.add(column, within)
                mask = None if is_whole else before(e, begin, columns, lanes)
                value = e.load(c, self.place(row, begin, i, within), self.dtype, lanes, mask)
                vectors.append(Vector(row, begin, mask, value))
            write(vectors)

    def place(self, row: Value, column: Value, i: Value, j: Value) -> Value:
        """Where an entry of C lies, by its indices in the whole of C, and in the tile."""
        e = self.e
        if self.is_local:
            return e.add(e.multiply(i, e.integer(self.tiling.width)), j)
        return e.add(e.multiply(row, e.integer(self.tiling.product.columns)), column)

    def _row(self, strip: Value) -> Value:
        """The first row of a strip."""
        return begin_of(self.e, self.tiling.strips, strip)


@dataclass(frozen=True)
class _Tile:
    """One block of C, in registers from the first k of a part to the last."""

    kernel: _Kernel
    row: Value
    column: Value
    height: int
    width: int
    part: Part
    strip: Value  # counted from the first of those that are packed together
    panel: Value

    def write(self) -> None:
        kernel, e = self.kernel, self.kernel.e
        start = [self._start(place, mask) for _, mask, place in self._entries()]
        if kernel.tiling.parts > 1:
            self._prefetch_next()
        totals = e.repeat(self.part.depth, start, self._step) if kernel.tiling.product.inner else start
        for value, (_, mask, place) in zip(totals, self._entries(), strict=True):
            e.store(kernel.c, place, value, mask)

    def _entries(self) -> Iterator[tuple[Value, Value | None, Value]]:
        """(first column, mask, place in C) of each vector."""
        e = self.kernel.e
        for i in range(self.height):
            row = e.add(self.row, e.integer(i))
            for j, (column, mask) in enumerate(self._columns()):
                within = e.integer(i), e.integer(j * self.kernel.lanes)
                yield column, mask, self.kernel.place(row, column, *within)

    def _columns(self) -> list[tuple[Value, Value | None]]:
        """(first column, which lanes are columns of C) of each vector; None where all are."""
        e, lanes = self.kernel.e, self.kernel.lanes
        return [
            (e.add(self.column, e.integer(first)), e.first_lanes(self.width - first, lanes))
            for first in range(0, self.width, lanes)
        ]

    def _start(self, place: Value, mask: Value | None) -> Value:
        """What the parts before have come to."""
        e, kernel = self.kernel.e, self.kernel
        if kernel.tiling.parts == 1:
            return e.spread(literal(0, kernel.dtype), kernel.lanes)
        return left_before(e, kernel.c, place, kernel.dtype, kernel.lanes, self.part.index, mask)

    def _prefetch_next(self) -> None:
        """The next tile, below or to the right, is read when this one is done; its rows are far apart."""
        e, kernel, tiling = self.kernel.e, self.kernel, self.kernel.tiling
        onward = e.integer(tiling.width if tiling.panel_block > 1 else self.height * tiling.product.columns)
        for *_, place in self._entries():
            e.prefetch(kernel.c, e.add(place, onward), kernel.dtype)

    def _step(self, k: Value, totals: list[Value]) -> list[Value]:
        e = self.kernel.e
        vectors = [self._load_b(k, j, column, mask) for j, (column, mask) in enumerate(self._columns())]
        results: list[Value] = []
        for i in range(self.height):
            number = e.spread(self._load_a(k, i), self.kernel.lanes)
            for vector in vectors:
                results.append(accumulated(e, number, vector, totals[len(results)]))
        return results

    def _load_a(self, k: Value, i: int) -> Value:
        e, a, packed = self.kernel.e, self.kernel.a, self.kernel.packed_a
        if self.kernel.tiling.product.packs_a:
            return e.load(packed.pointer, e.add(packed.place(e, self.strip, e.integer(0), k), e.integer(i)), a.dtype)
        return e.load(a.pointer, a.place(e, e.add(self.row, e.integer(i)), e.add(self.part.start, k)), a.dtype)

    def _load_b(self, k: Value, j: int, column: Value, mask: Value | None) -> Value:
        e, b, packed, lanes = self.kernel.e, self.kernel.b, self.kernel.packed_b, self.kernel.lanes
        if self.kernel.tiling.packs_b:
            return e.load(packed.pointer, packed.place(e, self.panel, e.integer(j), k), b.dtype, lanes)
        return e.load(b.pointer, b.place(e, column, e.add(self.part.start, k)), b.dtype, lanes, mask)


def left_before(
    e: Emitter, pointer: str, place: Value, dtype: DType, lanes: int, index: Value, mask: Value | None
) -> Value:
    """Totals that the rounds before round `index` have left. In the first nothing is read, and they are zeros."""
    is_later = e.compare("less", e.integer(0), index)
    if lanes == 1:
        return e.select(is_later, e.load(pointer, place, dtype), literal(0, dtype))
    is_later = e.spread(is_later, lanes)
    wanted = is_later if mask is None else e.bitwise("bitwise_and", is_later, mask)
    return e.load(pointer, place, dtype, lanes, wanted)


def accumulated(e: Emitter, a: Value, b: Value, total: Value) -> Value:
    """a b + total, as the processor does it best: in one rounding, or in two where that would be a call."""
    if current_target().fuses_multiply_add:
        return e.multiply_add(a, b, total)
    return e.add(e.multiply(a, b), total)
