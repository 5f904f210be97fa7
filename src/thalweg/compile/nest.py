"""Emission of a nest: loops over the kept entries, and inside them passes over the reduced ones, many lanes at a time.

In: a fused kernel and its schedule. Out: the text of one LLVM function. A pass computes whatever the reductions of that
depth need; the results of a reduction are rows, which later passes read from registers (softmax: a maximum, a sum, the
quotient). Several places are worked on side by side, so that none waits for the arithmetic of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import is_ as is_same

from thalweg.compile.emitter import Emitter
from thalweg.compile.fuse import Kernel, is_number
from thalweg.compile.packing import share_of_piece
from thalweg.compile.places import Place, Scratch, Step, neutral
from thalweg.compile.schedule import LONGEST, Run, Schedule, Sweep, choose_schedule, is_full, runs_of
from thalweg.compile.values import RUN_PARAMETERS, Counting, Extent, Value, literal
from thalweg.dtype import DType
from thalweg.graph import Node, Shape, constant_leaf

Index = Sequence[Value]
_AHEAD = 4096  # bytes: the processor reads ahead by itself, but never into the next page


@dataclass
class Source:
    """An input of a record's emission that reads index maps as it is asked for places."""

    nest: NestEmitter
    node: Node
    place: Place

    @property
    def shape(self) -> Shape:
        return self.node.shape

    @property
    def dtype(self) -> DType:
        return self.node.dtype

    def load(self, index: Index) -> Value:
        return self.nest.value_at(self.node, index, self.place)

    def checked(self, index: Index, extent: int) -> Value:
        """A position read from data, clamped; one out of range is recorded in the status word, once at a place."""
        e, key = self.nest.e, (self.node, extent, *map(id, index))
        if key not in self.place.positions:
            found = e.clamped(self.load(index), extent, e.linear(index, self.shape))
            self.place.positions[key] = (
                list(index),
                found,
            )  # as long as the index is held, nothing else has its identity
        return self.place.positions[key][1]


Body = Callable[[list[Step], list[Value]], list[Value]]


class NestEmitter:
    """One kernel in the making."""

    def __init__(
        self, kernel: Kernel, pointers: dict[Node, str], e: Emitter | None = None, schedule: Schedule | None = None
    ) -> None:
        self.e = e or Emitter()
        self.kernel = kernel
        self.pointers = pointers
        self.schedule = schedule or choose_schedule(kernel)
        self.members = set(kernel.nodes)
        self.stored: set[Node] = set()  # what earlier passes have left in memory
        self.scratch = Scratch(self.e, self.schedule, kernel.axes or ())

    # --- values ------------------------------------------------------------------------------------------------------

    def value(self, node: Node, place: Place) -> Value:
        """The value of a node at the place itself."""
        if node in place.rows:
            return place.rows[node]
        known = place.shared if self._is_shared(node) else place.known
        if node not in known:
            recalled = self.scratch.recall(node, place)
            known[node] = recalled or self.value_at(node, place.index, place)
        return known[node]

    def value_at(self, node: Node, index: Index, place: Place) -> Value:
        """The value of a node at an index that maps may have changed."""
        if index is not place.index and len(index) == len(place.index) and all(map(is_same, index, place.index)):
            return self.value(node, place)
        e = self.e
        e.active = place.mask
        if node in place.rows:
            return place.rows[node]
        if node.op is constant_leaf:
            return literal(node.attributes["value"], node.dtype)
        source = self._same_memory(node)
        if source is not None:
            where, pointer = e.linear(index, node.shape), self.pointers[source]
            if self.schedule.is_stream and isinstance(where, Counting) and where.step == 1:
                e.prefetch(pointer, e.add(where.start, e.integer(_AHEAD // node.dtype.itemsize)), node.dtype)
            return e.load_at(pointer, where, node.dtype, place.mask if where.lanes > 1 else None)
        if node.op.kind == "elementwise":
            is_here = index is place.index
            operands = [self.value(x, place) if is_here else self.value_at(x, index, place) for x in node.inputs]
            return node.op.emit(e, *operands, **node.attributes)  # type: ignore[misc]
        sources = [Source(self, each, place) for each in node.inputs]
        return node.op.emit(e, index, *sources, **node.attributes)  # type: ignore[misc]

    def _same_memory(self, node: Node) -> Node | None:
        """The buffer that holds the node's entries in its own order: its own, or the one it is a reshape of."""
        while node not in self.pointers and node not in self.members and node.op.identities.get("keeps_order"):
            node = node.inputs[0]
        is_there = node in self.pointers and (node not in self.members or node in self.stored)
        return node if is_there else None

    def _is_shared(self, node: Node) -> bool:
        """Whether the places side by side read the same: the node repeats what has one entry along their axis."""
        axis = self.schedule.group_axis
        is_repeat = axis is not None and node not in self.members and node.op.identities.get("repeats")
        return bool(is_repeat) and node.inputs[0].shape[axis] == 1 and self.schedule.group > 1

    # --- loops -------------------------------------------------------------------------------------------------------

    def emit(self) -> Emitter:
        kept = [axis for axis in range(len(self.kernel.domain)) if axis not in (self.kernel.axes or ())]
        index: list[Value] = [self.e.integer(0)] * len(self.kernel.domain)
        for sweep in self.schedule.sweeps:
            for node in sweep.columns:
                self._clear(node)
        self._kept_axes(kept, [Place(index, None, 1)])
        return self.e

    def entries(self, places: list[Place]) -> None:
        """Entries of a nest without reductions that somebody else has come to, side by side."""
        self._entry(self.schedule.sweeps[0], [places], [])

    def _kept_axes(self, axes: list[int], places: list[Place]) -> None:
        if not axes:
            for number, place in enumerate(places):
                place.rows, place.number = {}, number
            self._sweeps(places)
            return
        axis, *rest = axes

        def body(steps: list[Step]) -> None:
            shared: dict[Node, Value] = {}
            self._kept_axes(rest, [place.at(axis, step, shared) for place in places for step in steps])

        self._walk(axis, self.schedule.group if axis == self.schedule.group_axis else 1, body)

    def _walk(self, axis: int, group: int, body: Callable[[list[Step]], None]) -> None:
        """Every step of an axis, in groups."""

        def only(steps: list[Step], _: list[Value]) -> list[Value]:
            body(steps)
            return []

        runs, lanes, e = self.schedule.runs(axis, group), self._lanes(axis), self.e
        if axis != self.schedule.cut_axis:
            for run in runs:
                self._groups(lanes, run, e.integer(0), [], only)
            return
        whole, *rest = runs
        pieces = self.schedule.pieces
        here = share_of_piece(e, e.piece(), pieces)
        self._groups(lanes, whole, here.first, [], only, here.count)
        is_last = e.compare("equal", e.piece(), e.integer(pieces.count - 1))
        with e.when(e.bitwise("bitwise_or", e.is_whole(), is_last)):
            for run in rest:
                self._groups(lanes, run, e.integer(0), [], only)

    def _lanes(self, axis: int) -> int:
        return self.schedule.width if axis == self.schedule.axis else 1

    def _groups(
        self, lanes: int, run: Run, before: Value, carried: list[Value], body: Body, count: Extent | None = None
    ) -> list[Value]:
        """The groups of one block; `body` takes the carried values from each to the next, in registers."""
        e = self.e

        def step(i: Value, values: list[Value]) -> list[Value]:
            return body(self._steps(lanes, run, e.add(before, i)), values)

        return e.repeat(run.count if count is None else count, carried, step)

    def _steps(self, lanes: int, run: Run, i: Value) -> list[Step]:
        """The steps of group `i` of a run; on the axis of the lanes, whole vectors and at the edge a masked one."""
        e = self.e
        base = e.multiply(i, e.integer(run.size * lanes))
        starts = [e.add(base, e.integer(run.first + number * lanes)) for number in range(run.size)]
        if lanes == 1:
            return [Step(start, None, 1) for start in starts]
        masks = [None] * (run.size - 1) + [e.first_lanes(run.last, lanes)]
        return [Step(Counting(e, s, 1, lanes), mask, lanes) for s, mask in zip(starts, masks, strict=True)]

    # --- passes ------------------------------------------------------------------------------------------------------

    def _sweeps(self, places: list[Place]) -> None:
        """For kept entries side by side: pass after pass over the reduced ones, then what is left of the rows."""
        self.stored = set()
        self.scratch.clear()
        if self.kernel.axes is None:
            self._entry(self.schedule.sweeps[0], [places], [])
            return
        for sweep in self.schedule.sweeps:
            self._sweep(sweep, places)
        for node in self.kernel.outputs:
            if not is_full(self.kernel, node) and not self.kernel.has_column(node):
                for place in places:
                    self._store(node, place.rows[node], self._row_index(place), place)

    def _sweep(self, sweep: Sweep, places: list[Place]) -> None:
        if sweep.reductions or sweep.stores or sweep.columns:
            start = self._start(sweep, len(sweep.reductions) * len(places) * self.schedule.chains)
            chains = self._reduced(sweep, list(self.kernel.axes or ()), places, start)
            totals = self._joined(sweep, chains, len(places))
            for i, node in enumerate(sweep.reductions):
                for place in places:
                    total = totals[place.number * len(sweep.reductions) + i]
                    place.rows[node] = self._combined(node, total)
        self.stored.update(sweep.stores)
        self.scratch.open(sweep.keeps)
        for node in sweep.rows:
            for place in places:
                place.rows[node] = self.value_at(node, self._row_index(place), place)

    def _row_index(self, place: Place) -> list[Value]:
        axes = self.kernel.axes or ()
        return [self.e.integer(0) if axis in axes else value for axis, value in enumerate(place.index)]

    def _store(self, node: Node, value: Value, index: Index, place: Place) -> None:
        e = self.e
        where = e.linear(index, node.shape)
        if isinstance(where, Counting):
            e.store(self.pointers[node], where.start, e.spread(value, where.lanes), place.mask)
        else:
            e.store(self.pointers[node], where, value)

    # --- reductions --------------------------------------------------------------------------------------------------

    def _start(self, sweep: Sweep, count: int) -> list[Value]:
        """Totals before the first entry: for each chain, place and reduction, in this order."""
        one = [self.e.spread(neutral(node), self.schedule.width) for node in sweep.reductions]
        return one * (count // max(len(one), 1))

    def _reduced(self, sweep: Sweep, axes: list[int], places: list[Place], totals: list[Value]) -> list[Value]:
        """The totals after every entry of the reduced axes; full nodes of this pass are left on the way."""
        if not axes:
            return self._entry(sweep, [places], totals)
        axis, *rest = axes

        def body(steps: list[Step], values: list[Value]) -> list[Value]:
            moved = []
            for step in steps:
                shared: dict[Node, Value] = {}
                moved.append([place.at(axis, step, shared) for place in places])
            if not is_innermost:
                return self._reduced(sweep, rest, moved[0], values)
            return self._entry(sweep, moved, values)

        is_innermost = all(self.schedule.extents[each] == 1 for each in rest)
        for run in self.schedule.runs(axis, self.schedule.chains if is_innermost else 1, LONGEST):
            if run.blocks == 1:
                totals = self._groups(self._lanes(axis), run, self.e.integer(0), totals, body)
            else:
                totals = self._blocks(sweep, self._lanes(axis), run, totals, body)
        return totals

    def _blocks(self, sweep: Sweep, lanes: int, run: Run, totals: list[Value], body: Body) -> list[Value]:
        """Totals of blocks, added up: a fixed partition, and no sum is one long chain of roundings."""
        e = self.e
        fresh = self._start(sweep, len(totals))

        def block(number: Value, values: list[Value]) -> list[Value]:
            before = e.multiply(number, e.integer(run.count))
            return self._pairwise(sweep, values, self._groups(lanes, run, before, fresh, body))

        return e.repeat(run.blocks, totals, block)

    def _entry(self, sweep: Sweep, chains: list[list[Place]], totals: list[Value]) -> list[Value]:
        """One entry of each place and chain.

        Everything is read before anything is written. A store may overwrite a cell that other values are made of; and a
        load waits for a store before it whose address has the same last 12 bits, of which rows are full that lie a
        power of two apart.
        """
        result, number = list(totals), 0
        everywhere = [place for places in chains for place in places]
        for place in everywhere:
            for node in (*self._parts(sweep.stores), *sweep.keeps, *[each.inputs[0] for each in sweep.columns]):
                self.value(node, place)
            for node in sweep.reductions:
                result[number] = self._added(node, totals[number], place)
                number += 1
        for place in everywhere:
            for node in sweep.stores:
                if self.kernel.has_joined(node):
                    self._store_parts(node, place)
                else:
                    self._store(node, self.value(node, place), place.index, place)
            for node in sweep.keeps:
                self.scratch.keep(node, self.value(node, place), place)
        for places in chains:
            for node in sweep.columns:
                self._add_to_column(node, places)
        return result

    def _parts(self, nodes: Iterable[Node]) -> list[Node]:
        """The nodes, and of each that joins others those."""
        return [each for node in nodes for each in (node.inputs if self.kernel.has_joined(node) else (node,))]

    def _store_parts(self, node: Node, place: Place) -> None:
        """Each part's entry, at its place among all."""
        axis, offset = node.attributes["axis"], 0
        for part in node.inputs:
            index = list(place.index)
            index[axis] = self.e.add(index[axis], self.e.integer(offset))
            self._store(node, self.value(part, place), index, place)
            offset += part.shape[axis]

    def _clear(self, node: Node) -> None:
        """A column before the first row: each vector of it is what adding starts from."""
        e, width = self.e, self.schedule.width

        def body(steps: list[Step], _: list[Value]) -> list[Value]:
            for step in steps:
                assert isinstance(step.index, Counting)
                e.store(self.pointers[node], step.index.start, e.spread(neutral(node), width), step.mask)
            return []

        for run in runs_of(node.size, width, 1):
            self._groups(width, run, e.integer(0), [], body)

    def _add_to_column(self, node: Node, places: list[Place]) -> None:
        """The entries of one column in all rows side by side, first together, then to what earlier rows have left."""
        e, first = self.e, places[0]
        values = [e.spread(self.value(node.inputs[0], place), self.schedule.width) for place in places]
        while len(values) > 1:
            pairs = [node.op.emit(e, *pair) for pair in zip(values[::2], values[1::2], strict=False)]  # type: ignore[misc]
            values = pairs + values[len(pairs) * 2 :]
        index = [e.integer(0) if extent == 1 else i for i, extent in zip(first.index, node.shape, strict=True)]
        where = e.linear(index, node.shape)
        before = e.load_at(self.pointers[node], where, node.dtype, first.mask)
        self._store(node, node.op.emit(e, before, values[0]), index, first)  # type: ignore[misc]

    def _added(self, node: Node, total: Value, place: Place) -> Value:
        e = self.e
        value = e.spread(self.value(node.inputs[0], place), total.lanes)
        if place.mask is not None and self.schedule.axis in (self.kernel.axes or ()):
            value = e.select(place.mask, value, e.spread(neutral(node), total.lanes))
        return node.op.emit(e, total, value)  # type: ignore[misc]

    def _joined(self, sweep: Sweep, totals: list[Value], places: int) -> list[Value]:
        """The chains' totals put together, in halves: a fixed order."""
        size = places * len(sweep.reductions)
        chains = [totals[i * size : (i + 1) * size] for i in range(self.schedule.chains)]
        while len(chains) > 1:
            pairs = zip(chains[::2], chains[1::2], strict=False)
            joined = [self._pairwise(sweep, a, b) for a, b in pairs]
            chains = joined + chains[len(joined) * 2 :]
        return chains[0]

    def _pairwise(self, sweep: Sweep, a: list[Value], b: list[Value]) -> list[Value]:
        nodes = sweep.reductions * (len(a) // max(len(sweep.reductions), 1))
        return [node.op.emit(self.e, *each) for node, *each in zip(nodes, a, b, strict=True)]  # type: ignore[misc]

    def _combined(self, node: Node, total: Value) -> Value:
        """A row in one number, or in a vector where the vector axis is kept."""
        if self.schedule.axis is None or self.schedule.axis not in (self.kernel.axes or ()):
            return total
        return self.e.combine_lanes(total, lambda a, b: node.op.emit(self.e, a, b))  # type: ignore[misc]


def emit_nest(name: str, kernel: Kernel, e: Emitter | None = None) -> tuple[str, set[str]]:
    """The function `name(outputs..., inputs..., status, kernel)` of a nest, and the declarations that it needs.

    It is written in the words of `e`: LLVM text, or for people (`loop_text`).
    """
    readable = [node for node in kernel.inputs if not is_number(node)]
    pointers = {node: f"%out{i}" for i, node in enumerate(kernel.outputs)}
    pointers |= {node: f"%in{i}" for i, node in enumerate(readable)}
    e = NestEmitter(kernel, pointers, e).emit()
    parameters = [
        *[f"ptr {pointers[node]}" for node in (*kernel.outputs, *readable)],
        RUN_PARAMETERS,
    ]
    return e.function(name, parameters), e.declarations
