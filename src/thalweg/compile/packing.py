"""Copies parts of a product's operands to where the innermost loop reads them one after the other.

In: runs of a matrix (rows of A, columns of B) and a range of k. Out: for each k, entries of neighbouring runs side by
side. A matrix whose runs lie along memory is turned over on the way, a square block of vectors at a time.
"""

from __future__ import annotations

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
    """A copy: vectors of `lanes` runs, and how far it is from one k to the next and from one such group to the next."""

    pointer: str
    origin: int
    lanes: int
    from_k: int
    from_group: int

    def place(self, e: Emitter, group: Value, k: Value) -> Value:
        inside = e.add(e.multiply(k, e.integer(self.from_k)), e.multiply(group, e.integer(self.from_group)))
        return e.add(inside, e.integer(self.origin))


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


def pack(e: Emitter, matrix: Matrix, to: Packed, run: Value, groups: Extent, part: Part, block: int) -> None:
    """Groups of runs from `run` on, `block` k at a time; what is past the last run or the last k may be anything."""
    rows_of = _rows_along if matrix.is_along else _rows_across
    with e.loop(pieces(e, part.depth, block)) as index:
        step = e.multiply(index, e.integer(block))
        k = e.add(part.start, step)
        with e.loop(groups) as group:
            first = e.add(run, e.multiply(group, e.integer(to.lanes)))
            for i, vector in enumerate(rows_of(e, matrix, first, k, block, to.lanes)):
                e.store(to.pointer, to.place(e, group, e.add(step, e.integer(i))), vector)


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
