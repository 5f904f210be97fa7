"""Emission of a nest: loops over the kept entries, and inside them passes over the reduced ones, many lanes at a time.

In: a fused kernel. Out: the text of one LLVM function. A pass computes whatever the reductions of that depth need; the
results of a reduction are rows, which later passes read from registers (softmax: a maximum, a sum, the quotient).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from thalweg.compile.emitter import Emitter
from thalweg.compile.fuse import Kernel, is_move, is_number
from thalweg.compile.target import host
from thalweg.compile.values import Counting, Value, literal
from thalweg.dtype import DType, bool_, int64
from thalweg.graph import Node, Shape, constant_leaf

Index = Sequence[Value]


@dataclass
class Place:
    """Where in the iteration the emission stands: the index, the mask of valid lanes, and what is known there."""

    index: list[Value]
    mask: Value | None
    lanes: int
    known: dict[Node, Value] = field(default_factory=dict)


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
        """A position read from data, clamped; one out of range is recorded in the status word."""
        e = self.nest.e
        value = e.cast(self.load(index), int64)
        limit = e.integer(extent)
        fits = e.compare("below", value, limit)
        e.record_any(e.invert(fits), value, e.linear(index, self.shape))
        return e.select(fits, value, e.integer(0))


class NestEmitter:
    """One kernel in the making."""

    def __init__(self, kernel: Kernel, pointers: dict[Node, str]) -> None:
        self.e = Emitter()
        self.kernel = kernel
        self.pointers = pointers
        self.members = set(kernel.nodes)
        self.rows: dict[Node, Value] = {}
        self.levels = _levels(kernel)
        self.axis = _vector_axis(kernel)
        self.width = _lanes(kernel) if self.axis is not None else 1

    # --- values ------------------------------------------------------------------------------------------------------

    def value(self, node: Node, place: Place) -> Value:
        """The value of a node at the place itself."""
        if node in self.rows:
            return self.rows[node]
        if node not in place.known:
            place.known[node] = self.value_at(node, place.index, place)
        return place.known[node]

    def value_at(self, node: Node, index: Index, place: Place) -> Value:
        """The value of a node at an index that maps may have changed."""
        e = self.e
        e.active = place.mask
        if node in self.rows:
            return self.rows[node]
        if node.op is constant_leaf:
            return literal(node.attributes["value"], node.dtype)
        if node in self.pointers and (node not in self.members or node in self.stored):
            where = e.linear(index, node.shape)
            return e.load_at(self.pointers[node], where, node.dtype, place.mask if where.lanes > 1 else None)
        if node.op.kind == "elementwise":
            is_here = index is place.index
            operands = [self.value(x, place) if is_here else self.value_at(x, index, place) for x in node.inputs]
            return node.op.emit(e, *operands, **node.attributes)  # type: ignore[misc]
        sources = [Source(self, each, place) for each in node.inputs]
        return node.op.emit(e, index, *sources, **node.attributes)  # type: ignore[misc]

    # --- loops -------------------------------------------------------------------------------------------------------

    def emit(self) -> Emitter:
        self.stored: set[Node] = set()
        kept = [axis for axis in range(len(self.kernel.domain)) if axis not in (self.kernel.axes or ())]
        index: list[Value] = [self.e.integer(0)] * len(self.kernel.domain)
        self._kept(kept, Place(index, None, 1))
        return self.e

    def _kept(self, axes: list[int], place: Place) -> None:
        if not axes:
            self._passes(place)
            return
        axis, *rest = axes

        def body(i: Value, mask: Value | None, lanes: int) -> None:
            index = [i if each == axis else value for each, value in enumerate(place.index)]
            self._kept(rest, Place(index, mask or place.mask, max(lanes, place.lanes)))

        self._walk(axis, body)

    def _walk(self, axis: int, body: Callable[[Value, Value | None, int], None]) -> None:
        """Every entry of an axis; of the vector axis, whole vectors and then the masked rest."""
        e, extent = self.e, self.kernel.domain[axis]
        if axis != self.axis:
            if extent == 1:
                body(e.integer(0), None, 1)
            else:
                with e.loop(extent) as i:
                    body(i, None, 1)
            return
        whole, rest = divmod(extent, self.width)
        if whole == 1:
            body(Counting(e, e.integer(0), 1, self.width), None, self.width)
        elif whole:
            with e.loop(whole) as block:
                body(Counting(e, e.multiply(block, e.integer(self.width)), 1, self.width), None, self.width)
        if rest:
            start = e.integer(whole * self.width)
            body(Counting(e, start, 1, self.width), e.first_lanes(rest, self.width), self.width)

    def _passes(self, place: Place) -> None:
        """For one kept entry: pass after pass over the reduced ones, then what is left of the rows."""
        self.rows, self.stored = {}, set()
        if self.kernel.axes is None:
            self._finish_full(self.kernel.nodes, place)
            return
        for level in range(max(self.levels.values()) + 1):
            nodes = [node for node in self.kernel.nodes if self.levels[node] == level]
            reductions = [node for node in nodes if node.op.kind == "reduce"]
            stores = [node for node in nodes if self._is_full(node) and node in self.kernel.outputs]
            if reductions or stores:
                totals = [self._start(node, place) for node in reductions]
                totals = self._reduced(list(self.kernel.axes), place, reductions, stores, totals)
                for node, total in zip(reductions, totals, strict=True):
                    self.rows[node] = self._combined(node, total)
            self.stored.update(stores)
            for node in nodes:
                if not self._is_full(node) and node.op.kind != "reduce":
                    self.rows[node] = self.value_at(node, self._row_index(place), place)
        for node in self.kernel.nodes:
            if node in self.rows and node in self.kernel.outputs:
                self._store(node, self.rows[node], self._row_index(place), place)

    def _is_full(self, node: Node) -> bool:
        return node.op.kind != "reduce" and not self.kernel.has_row(node)

    def _row_index(self, place: Place) -> list[Value]:
        axes = self.kernel.axes or ()
        return [self.e.integer(0) if axis in axes else value for axis, value in enumerate(place.index)]

    def _finish_full(self, nodes: Sequence[Node], place: Place) -> None:
        for node in nodes:
            if node in self.kernel.outputs:
                self._store(node, self.value(node, place), place.index, place)

    def _store(self, node: Node, value: Value, index: Index, place: Place) -> None:
        e = self.e
        where = e.linear(index, node.shape)
        if isinstance(where, Counting):
            e.store(self.pointers[node], where.start, e.spread(value, where.lanes), place.mask)
        else:
            e.store(self.pointers[node], where, value)

    # --- reductions --------------------------------------------------------------------------------------------------

    def _start(self, node: Node, place: Place) -> Value:
        lanes = self.width if self.axis is not None else 1
        return self.e.spread(_neutral(node), lanes)

    def _reduced(
        self, axes: list[int], place: Place, reductions: Sequence[Node], stores: Sequence[Node], totals: Sequence[Value]
    ) -> list[Value]:
        """The totals after every entry of the reduced axes; full nodes of this pass are stored on the way."""
        e = self.e
        if not axes:
            self._finish_full(stores, place)
            return [self._step(node, total, place) for node, total in zip(reductions, totals, strict=True)]
        axis, *rest = axes
        extent = self.kernel.domain[axis]

        def at(i: Value, mask: Value | None, values: Sequence[Value]) -> list[Value]:
            index = [i if each == axis else value for each, value in enumerate(place.index)]
            inner = Place(index, mask or place.mask, place.lanes)
            return self._reduced(rest, inner, reductions, stores, values)

        if axis != self.axis:
            return e.repeat(extent, totals, lambda i, values: at(i, None, values)) if extent else list(totals)
        whole, tail = divmod(extent, self.width)
        values = list(totals)
        if whole:
            values = e.repeat(
                whole,
                values,
                lambda block, inner: at(
                    Counting(e, e.multiply(block, e.integer(self.width)), 1, self.width), None, inner
                ),
            )
        if tail:
            start = Counting(e, e.integer(whole * self.width), 1, self.width)
            values = at(start, e.first_lanes(tail, self.width), values)
        return values

    def _step(self, node: Node, total: Value, place: Place) -> Value:
        e = self.e
        value = e.spread(self.value(node.inputs[0], place), total.lanes)
        if place.mask is not None and self.axis in (self.kernel.axes or ()):
            value = e.select(place.mask, value, e.spread(_neutral(node), total.lanes))
        return node.op.emit(e, total, value)  # type: ignore[misc]

    def _combined(self, node: Node, total: Value) -> Value:
        """A row in one number, or in a vector where the vector axis is kept."""
        if self.axis is None or self.axis not in (self.kernel.axes or ()):
            return total
        return self.e.combine_lanes(total, lambda a, b: node.op.emit(self.e, a, b))  # type: ignore[misc]


def _neutral(node: Node) -> Value:
    """What a reduction starts from: combined with any value it gives that value."""
    if node.op.name == "sum":
        return literal(0, node.dtype)
    lowest = node.op.name == "amax"
    if node.dtype.is_floating_point:
        return literal(float("-inf") if lowest else float("inf"), node.dtype)
    if node.dtype is bool_:
        return literal(not lowest, bool_)
    bits = node.dtype.itemsize * 8
    if node.dtype.name == "uint8":
        return literal(0 if lowest else 255, node.dtype)
    return literal(-(2 ** (bits - 1)) if lowest else 2 ** (bits - 1) - 1, node.dtype)


def _levels(kernel: Kernel) -> dict[Node, int]:
    """The pass in which each node is computed: one more for every reduction whose result it reads."""
    levels: dict[Node, int] = {}
    members = set(kernel.nodes)
    for node in kernel.nodes:
        level = 0
        for each in _members_behind(node, members):
            is_row = each.op.kind == "reduce" or kernel.has_row(each)
            here = node.op.kind == "reduce" or not kernel.has_row(node)
            level = max(level, levels[each] + (1 if is_row and here else 0))
        levels[node] = level
    return levels


def _members_behind(node: Node, members: set[Node]) -> list[Node]:
    found, stack = [], list(node.inputs)
    while stack:
        each = stack.pop()
        if each in members:
            found.append(each)
        elif is_move(each):
            stack.extend(each.inputs)
    return found


def _vector_axis(kernel: Kernel) -> int | None:
    """The innermost axis with more than one entry: its neighbours are neighbours in memory."""
    return next((axis for axis in reversed(range(len(kernel.domain))) if kernel.domain[axis] > 1), None)


def _lanes(kernel: Kernel) -> int:
    """As many as a register holds of the widest floating-point number in the nest."""
    sizes = [node.dtype.itemsize for node in kernel.nodes if node.dtype.is_floating_point]
    return host().vector_bytes // max(sizes, default=8)


def emit_nest(name: str, kernel: Kernel) -> tuple[str, set[str]]:
    """The function `name(outputs..., inputs..., status, kernel)` of a nest, and the declarations that it needs."""
    readable = [node for node in kernel.inputs if not is_number(node)]
    pointers = {node: f"%out{i}" for i, node in enumerate(kernel.outputs)}
    pointers |= {node: f"%in{i}" for i, node in enumerate(readable)}
    e = NestEmitter(kernel, pointers).emit()
    parameters = [
        *[f"ptr {pointers[node]}" for node in (*kernel.outputs, *readable)],
        "ptr noalias %status, i64 %kernel",
    ]
    head = f"define internal void @{name}({', '.join(parameters)}) noinline {{\nentry:"
    return "\n".join([head, *e.variables, *e.lines, "  ret void", "}"]), e.declarations
