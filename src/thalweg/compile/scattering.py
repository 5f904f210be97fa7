"""Updates that go where data say: whole rows of a table as vectors, single entries one by one.

In: a scatter, what it starts from, and where each update goes. Out: loops over the updates in their order. Threads
share the columns of the table, never the updates, so that each entry is summed up in one order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from thalweg.compile.emitter import Emitter
from thalweg.compile.operands import Operand
from thalweg.compile.packing import before, share_of_piece
from thalweg.compile.pieces import Pieces, cut, wanted_pieces
from thalweg.compile.target import current_target
from thalweg.compile.values import Value, literal
from thalweg.graph import Node, size_of

_CYCLES = 4.0  # of a vector of an update: two loads, an addition and a store into what was stored a moment ago


@dataclass(frozen=True)
class Scattering:
    """`units` vectors of `lanes` entries make a row of `width`; they are shared in `pieces`."""

    width: int
    lanes: int
    pieces: Pieces
    cycles: float


def scattering_of(node: Node) -> Scattering | None:
    """How the updates of a scatter are taken; None where they are single entries, or not numbers with a point."""
    if node.op.identities.get("form") != "scatter" or not node.dtype.is_floating_point:
        return None
    positions = node.op.identities["positions"](node)
    width = size_of(node.shape[len(positions) :])
    lanes = current_target().vector_bytes // node.dtype.itemsize
    if width < lanes:
        return None
    units = -(-width // lanes)
    cycles = _CYCLES * units * max(positions[0][0].size, 1)
    return Scattering(width, lanes, cut(units, wanted_pieces(cycles)), cycles)


@dataclass(frozen=True)
class Updates:
    """What goes into `base`, or is added up from zeros: the first `depth` axes tell which update, the rest its entries.

    `picked` tells at which index of the table's first axes an update goes.
    """

    base: Operand | None
    values: Operand
    depth: int
    picked: Callable[[list[Value]], list[Value]]

    @property
    def is_sum(self) -> bool:
        return self.base is None


def emit_scatter(e: Emitter, node: Node, updates: Updates) -> None:
    """The table with the updates in it."""
    plan = scattering_of(node)
    if plan is None:
        _emit_entries(e, node, updates)
    else:
        _emit_rows(e, node, updates, plan)


def _emit_rows(e: Emitter, node: Node, updates: Updates, plan: Scattering) -> None:
    rows, shape = _Rows(e, node, plan), updates.values.shape[: updates.depth]
    if plan.pieces.count == 1:
        _begin(e, node, updates.base)
    else:
        with e.loop(node.size // plan.width) as row:
            rows.fill(row, updates.base)

    def body(index: list[Value]) -> None:
        place, target = e.linear(index, shape), updates.picked(index)
        rows.put(updates, place, e.linear(target, node.shape[: len(target)]))

    e.loops(shape, body)


class _Rows:
    """The columns of this piece, row by row."""

    def __init__(self, e: Emitter, node: Node, plan: Scattering) -> None:
        self.e, self.dtype, self.plan = e, node.dtype, plan
        self.share = share_of_piece(e, e.piece(), plan.pieces)

    def fill(self, row: Value, base: Operand | None) -> None:
        """A row before any update."""
        self._each(row, lambda place, first, mask: self._read(base, place, mask))

    def put(self, updates: Updates, place: Value, row: Value) -> None:
        """The update at `place` among all, added to a row or in its stead."""
        e, begin = self.e, _begin_of(self.e, place, self.plan.width)

        def value(here: Value, first: Value, mask: Value | None) -> Value:
            new = self._read(updates.values, e.add(begin, first), mask)
            return e.add(e.load("%out", here, self.dtype, self.plan.lanes, mask), new) if updates.is_sum else new

        self._each(row, value)

    def _each(self, row: Value, value: Callable[[Value, Value, Value | None], Value]) -> None:
        e, plan, begin = self.e, self.plan, _begin_of(self.e, row, self.plan.width)
        with e.loop(self.share.count) as i:
            first = e.multiply(e.add(self.share.first, i), e.integer(plan.lanes))
            mask = before(e, first, plan.width, plan.lanes) if plan.width % plan.lanes else None
            here = e.add(begin, first)
            e.store("%out", here, value(here, first, mask), mask)

    def _read(self, operand: Operand | None, place: Value, mask: Value | None) -> Value:
        if operand is None:
            return self.e.spread(literal(0, self.dtype), self.plan.lanes)
        if operand.number is not None:
            return self.e.spread(operand.number, self.plan.lanes)
        return self.e.load(operand.pointer, place, self.dtype, self.plan.lanes, mask)


def _begin_of(e: Emitter, row: Value, width: int) -> Value:
    """Where a row begins."""
    return e.multiply(row, e.integer(width))


def _emit_entries(e: Emitter, node: Node, updates: Updates) -> None:
    _begin(e, node, updates.base)

    def body(index: list[Value]) -> None:
        place = e.linear([*updates.picked(index), *index[updates.depth :]], node.shape)
        value = updates.values.load(index)
        if updates.is_sum:
            value = e.add(e.load("%out", place, node.dtype), value)
        e.store("%out", place, value)

    e.loops(updates.values.shape, body)


def _begin(e: Emitter, node: Node, base: Operand | None) -> None:
    if base is None:
        e.clear("%out", node.size, node.dtype)
    elif base.number is None:
        e.copy("%out", base.pointer, node.size, node.dtype)
    else:
        with e.loop(node.size) as place:
            e.store("%out", place, base.number)
