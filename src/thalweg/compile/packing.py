"""Copies parts of a product's operands to where the innermost loop reads them one after the other.

In: runs of a matrix (rows of A, columns of B) and a range of k. Out: for each k, entries of neighbouring runs side by
side. A matrix whose runs lie along memory is turned over on the way, a square block of vectors at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from thalweg.compile.emitter import Emitter
from thalweg.compile.pieces import Pieces
from thalweg.compile.values import Extent, Value
from thalweg.dtype import DType


@dataclass(frozen=True)
class Matrix:
    """An operand as it was given: `runs` of it, each `inner` long, that lie along memory or across."""

    pointer: str
    dtype: DType
    runs: int
    inner: int
    is_along: bool

    def place(self, e: Emitter, run: Value, k: Value) -> Value:
        if self.is_along:
            return e.add(e.multiply(run, e.integer(self.inner)), k)
        return e.add(e.multiply(k, e.integer(self.runs)), run)


@dataclass(frozen=True)
class Packed:
    """A copy in panels: for each k up to `room`, `together` vectors of `lanes` runs side by side."""

    pointer: str
    lanes: int
    together: int
    room: int

    @property
    def width(self) -> int:
        return self.lanes * self.together

    def place(self, e: Emitter, panel: Value, vector: Value, k: Value) -> Value:
        inside = e.add(e.multiply(k, e.integer(self.width)), e.multiply(vector, e.integer(self.lanes)))
        return e.add(e.multiply(panel, e.integer(self.room * self.width)), inside)


@dataclass(frozen=True)
class Part:
    """A range of k; `index` counts the ranges."""

    index: Value
    start: Value
    depth: Extent


def pieces(e: Emitter, extent: Extent, size: int) -> Extent:
    """How many pieces of a size cover the extent."""
    if isinstance(extent, int):
        return -(-extent // size)
    return e.quotient(e.add(extent, e.integer(size - 1)), size)


def extent_of(e: Emitter, index: Value, size: int, whole: Extent) -> Extent:
    """The extent of piece `index` where `whole` is cut into pieces of a size, but for the last."""
    if isinstance(whole, int):
        if whole % size == 0 or whole < size:
            return min(size, whole)
        whole = e.integer(whole)
    return e.minimum(e.integer(size), e.subtract(whole, e.multiply(index, e.integer(size))))


@dataclass(frozen=True)
class Range:
    """Some of the units of a kernel: `count` from `first` on."""

    first: Value
    count: Extent


def share_of_piece(e: Emitter, piece: Value, pieces: Pieces) -> Range:
    """The units of piece `piece`; where the kernel is to be done as a whole, all of them."""
    if pieces.count == 1:
        return Range(e.integer(0), pieces.units)
    count = extent_of(e, piece, pieces.size, pieces.units)
    held = count if isinstance(count, Value) else e.integer(count)
    first = e.select(e.is_whole(), e.integer(0), e.multiply(piece, e.integer(pieces.size)))
    return Range(first, e.select(e.is_whole(), e.integer(pieces.units), held))


@contextmanager
def counted(e: Emitter, extent: Extent) -> Iterator[Value]:
    """A loop; for a single round just the body."""
    if extent == 1:
        yield e.integer(0)
    else:
        with e.loop(extent) as index:
            yield index


@contextmanager
def nested(e: Emitter, extents: Sequence[Extent]) -> Iterator[list[Value]]:
    """Loops inside each other."""
    with ExitStack() as stack:
        yield [stack.enter_context(counted(e, extent)) for extent in extents]


def pack(
    e: Emitter, matrix: Matrix, to: Packed, run: Value, panels: Extent, vectors: Extent, part: Part, lanes: int
) -> None:
    """Panels of runs from `run` on, so many vectors in all, with k filled up to whole `lanes`.

    What is past the ends may be anything. Runs that lie along memory are read a few at a time, a cache line of each;
    others as neighbours for all panels.
    """
    rows_of, block = (_rows_along, lanes) if matrix.is_along else (_rows_across, min(lanes, _TOGETHER))
    steps = pieces(e, part.depth, block)
    line = max(1, _LINE // (block * matrix.dtype.itemsize)) if matrix.is_along else 1
    order = [panels, pieces(e, steps, line)]
    with nested(e, order if matrix.is_along else order[::-1]) as outer:
        panel, of_line = outer if matrix.is_along else outer[::-1]
        here = vectors if panels == 1 else extent_of(e, panel, to.together, vectors)
        with nested(e, [here, extent_of(e, of_line, line, steps)]) as (vector, of_step):
            k = e.multiply(e.add(e.multiply(of_line, e.integer(line)), of_step), e.integer(block))
            first = e.multiply(e.add(e.multiply(panel, e.integer(to.together)), vector), e.integer(to.lanes))
            rows = rows_of(e, matrix, e.add(run, first), e.add(part.start, k), block, to.lanes)
            for i, row in enumerate(rows):
                e.store(to.pointer, to.place(e, panel, vector, e.add(k, e.integer(i))), row)


_TOGETHER = 4  # k: with those that are fetched ahead, they fit a set of the cache where rows are 4 KiB apart
_LINE = 64  # bytes of a cache line
_AHEAD = 2  # blocks: the processor does not foresee jumps from page to page


def _rows_across(e: Emitter, matrix: Matrix, first: Value, k: Value, block: int, lanes: int) -> list[Value]:
    """Neighbouring runs for each of a block of k; past the last k, the last one again."""
    mask = before(e, first, matrix.runs, lanes) if matrix.runs % lanes else None
    rows = []
    for i in range(block):
        each = e.add(k, e.integer(i))
        e.prefetch(matrix.pointer, matrix.place(e, first, e.add(each, e.integer(_AHEAD * block))), matrix.dtype)
        if matrix.inner % block:
            each = e.minimum(each, e.integer(matrix.inner - 1))
        rows.append(e.load(matrix.pointer, matrix.place(e, first, each), matrix.dtype, lanes, mask))
    return rows


def _rows_along(e: Emitter, matrix: Matrix, first: Value, k: Value, block: int, lanes: int) -> list[Value]:
    """The same from runs that lie along memory; past the last run, the last one again. The block is a square."""
    assert block == lanes
    mask = before(e, k, matrix.inner, lanes) if matrix.inner % lanes else None
    columns = []
    for i in range(lanes):
        run = e.add(first, e.integer(i))
        if matrix.runs % lanes:
            run = e.minimum(run, e.integer(matrix.runs - 1))
        columns.append(e.load(matrix.pointer, matrix.place(e, run, k), matrix.dtype, lanes, mask))
    return e.transpose(columns)


def before(e: Emitter, start: Value, end: int, lanes: int) -> Value:
    """Which of `lanes` indices from `start` on come before `end`."""
    return e.compare("less", e.steps(e.integer(0), lanes), e.subtract(e.integer(end), start))
