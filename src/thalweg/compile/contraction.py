"""Matrix products from a register-tiled microkernel, written in the emitter's words.

In: the extents and transpositions of one product, and the vector unit. Out: loops over tiles of C whose innermost code
keeps a block of C in registers: for each k, a few vectors of B, each times a number of A spread over the lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from thalweg.compile.emitter import Emitter
from thalweg.compile.values import Value, literal
from thalweg.dtype import DType

# What becomes of a finished vector of C: (value, row, first column, mask of valid columns) -> value to store.
Epilogue = Callable[[Value, Value, Value, Value | None], Value]


@dataclass(frozen=True)
class Vectors:
    """The vector unit as far as a tile needs it: lanes for the dtype, and how many registers there are."""

    lanes: int
    registers: int


@dataclass(frozen=True)
class Product:
    """C (rows, columns) = A (rows, inner) B (inner, columns); a flag says that an operand lies turned over."""

    rows: int
    columns: int
    inner: int
    transpose_a: bool
    transpose_b: bool
    dtype: DType

    def place_a(self, e: Emitter, row: Value, k: Value) -> Value:
        if self.transpose_a:
            return e.add(e.multiply(k, e.integer(self.rows)), row)
        return e.add(e.multiply(row, e.integer(self.inner)), k)


@dataclass(frozen=True)
class Tiling:
    """Rows of C are cut into strips of nearly equal height, columns into panels of whole vectors."""

    product: Product
    vectors: Vectors
    strip: int  # rows of the tallest strip
    panel: int  # vectors of the widest panel

    @cached_property
    def strips(self) -> list[tuple[int, int, int]]:
        """(first row, height, how many such strips follow each other): at most two heights."""
        count = -(-self.product.rows // self.strip)
        low, tall = divmod(self.product.rows, count)
        runs = [(0, low + 1, tall), (tall * (low + 1), low, count - tall)]
        return [run for run in runs if run[1] and run[2]]

    @cached_property
    def panels(self) -> list[tuple[int, int, int]]:
        """(first column, width in columns, how many): whole panels, then what is left."""
        width = self.panel * self.vectors.lanes
        whole, rest = divmod(self.product.columns, width)
        runs = [(0, width, whole), (whole * width, rest, 1)]
        return [run for run in runs if run[1] and run[2]]

    @property
    def cost(self) -> float:
        """Cycles for one k over all of C: two fused multiply-adds or two loads a cycle, whichever is more.

        A part of the loads is counted on top, because vectors of B come from the second-level cache.
        """
        total = 0.0
        for _, height, strips in self.strips:
            for _, width, panels in self.panels:
                vectors = -(-width // self.vectors.lanes)
                busy = max(height * vectors / 2, (height + vectors) / 2, _LATENCY)
                total += strips * panels * (busy + _LOAD * (height / 2 + vectors))
        return total


_LOAD = 0.2
_LATENCY = 4.0  # a fused multiply-add's result is ready after four cycles: fewer than eight in flight wait for it


def choose_tiling(product: Product, vectors: Vectors) -> Tiling:
    """The tile with the fewest cycles whose accumulators, B vectors and one spread number fit the registers."""
    widest = -(-product.columns // vectors.lanes)
    candidates = [
        Tiling(product, vectors, strip, panel)
        for panel in range(1, min(widest, vectors.registers - 2) + 1)
        for strip in range(1, product.rows + 1)
        if strip * panel + panel + 1 <= vectors.registers
    ]
    return min(candidates, key=lambda tiling: (tiling.cost, len(tiling.strips) * len(tiling.panels)))


def emit_product(
    e: Emitter, a: str, b: str, c: str, packed: str, tiling: Tiling, epilogue: Epilogue | None = None
) -> None:
    """The whole product. `packed` is scratch of `packed_size` entries, used where B must be rearranged first."""
    for first, width, count in tiling.panels:
        with counted(e, count) as index:
            column = e.add(e.multiply(index, e.integer(width)), e.integer(first))
            source = _Panel(e, tiling, b, packed, column, width)
            for start, height, strips in tiling.strips:
                with counted(e, strips) as strip:
                    row = e.add(e.multiply(strip, e.integer(height)), e.integer(start))
                    _tile(e, tiling.product, a, c, source, row, height, epilogue)


@contextmanager
def counted(e: Emitter, extent: int) -> Iterator[Value]:
    """A loop; for a single round just the body, for none nothing that runs."""
    if extent == 1:
        yield e.integer(0)
    else:
        with e.loop(extent) as index:
            yield index


def packed_size(tiling: Tiling) -> int:
    """Entries of scratch that `emit_product` needs."""
    return tiling.product.inner * tiling.panel * tiling.vectors.lanes


class _Panel:
    """A panel of B: `inner` rows of a few vectors, read in place or from its rearranged copy."""

    def __init__(self, e: Emitter, tiling: Tiling, b: str, packed: str, column: Value, width: int) -> None:
        self.e, self.lanes, self.width = e, tiling.vectors.lanes, width
        self.count = -(-width // self.lanes)
        self.column, self.dtype = column, tiling.product.dtype
        self.is_packed = tiling.product.transpose_b
        if self.is_packed:
            self.pointer, self.stride, self.origin = packed, self.count * self.lanes, e.integer(0)
            self._pack(tiling.product, b)
        else:
            self.pointer, self.stride, self.origin = b, tiling.product.columns, column

    def _pack(self, product: Product, b: str) -> None:
        """The panel of B^T turned over, a square block of vectors at a time; columns past the edge become 0."""
        whole, rest = divmod(product.inner, self.lanes)
        with counted(self.e, whole) as block:
            self._pack_block(product, b, self.e.multiply(block, self.e.integer(self.lanes)), self.lanes)
        if rest:
            self._pack_block(product, b, self.e.integer(whole * self.lanes), rest)

    def _pack_block(self, product: Product, b: str, k: Value, depth: int) -> None:
        e = self.e
        whole, rest = divmod(self.width, self.lanes)
        with counted(e, whole) as j:
            self._turn(product, b, e.multiply(j, e.integer(self.lanes)), k, self.lanes, depth)
        if rest:
            self._turn(product, b, e.integer(whole * self.lanes), k, rest, depth)

    def _turn(self, product: Product, b: str, column: Value, k: Value, width: int, depth: int) -> None:
        e = self.e
        rows = [self._row(product, b, e.add(column, e.integer(i)), k, depth) for i in range(width)]
        rows += [e.spread(literal(0, self.dtype), self.lanes)] * (self.lanes - width)
        for i, vector in enumerate(e.transpose(rows)[:depth]):
            target = e.multiply(e.add(k, e.integer(i)), e.integer(self.stride))
            e.store(self.pointer, e.add(target, column), vector)

    def _row(self, product: Product, b: str, n: Value, k: Value, depth: int) -> Value:
        """Neighbouring k of one column of B."""
        e = self.e
        place = e.add(e.multiply(e.add(self.column, n), e.integer(product.inner)), k)
        return e.load(b, place, self.dtype, self.lanes, e.first_lanes(depth, self.lanes))

    def masks(self) -> list[Value | None]:
        """Which lanes of each vector are columns of C; None where all are."""
        return [self.e.first_lanes(self.width - j * self.lanes, self.lanes) for j in range(self.count)]

    def load(self, k: Value) -> list[Value]:
        e = self.e
        base = e.add(e.multiply(k, e.integer(self.stride)), self.origin)
        places = [e.add(base, e.integer(index * self.lanes)) for index in range(self.count)]
        masks = [None] * self.count if self.is_packed else self.masks()
        return [
            e.load(self.pointer, place, self.dtype, self.lanes, mask) for place, mask in zip(places, masks, strict=True)
        ]


def _tile(
    e: Emitter, product: Product, a: str, c: str, panel: _Panel, row: Value, height: int, epilogue: Epilogue | None
) -> None:
    """One block of C, in registers from the first k to the last."""
    rows = [e.add(row, e.integer(i)) for i in range(height)]
    zero = e.spread(literal(0, product.dtype), panel.lanes)

    def step(k: Value, totals: list[Value]) -> list[Value]:
        vectors = panel.load(k)
        new = []
        for i, each in enumerate(rows):
            number = e.spread(e.load(a, product.place_a(e, each, k), product.dtype), panel.lanes)
            for j, vector in enumerate(vectors):
                new.append(e.multiply_add(number, vector, totals[i * panel.count + j]))
        return new

    start = [zero] * (height * panel.count)
    totals = e.repeat(product.inner, start, step) if product.inner else start
    for i, each in enumerate(rows):
        for j, mask in enumerate(panel.masks()):
            column = e.add(panel.column, e.integer(j * panel.lanes))
            value = totals[i * panel.count + j]
            value = epilogue(value, each, column, mask) if epilogue else value
            e.store(c, e.add(e.multiply(each, e.integer(product.columns)), column), value, mask)
