"""Where in its iteration the emission of a nest stands, and what it has at hand there.

In: steps along axes. Out: a `Place` for each, with the values that are known there, and `Scratch` for the values that
one pass over a row keeps for the next.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from thalweg.compile.emitter import Emitter
from thalweg.compile.schedule import Schedule
from thalweg.compile.values import Counting, Value, literal
from thalweg.dtype import bool_
from thalweg.graph import Node


@dataclass(frozen=True)
class Step:
    """One step along an axis: the entry, or the entries of the lanes, and which of the lanes hold any."""

    index: Value
    mask: Value | None
    lanes: int


@dataclass
class Place:
    """Where in the iteration the emission stands: the index, the mask of valid lanes, and what is known there.

    Places that are worked on side by side are numbered, and share what does not depend on the axis they lie along.
    """

    index: list[Value]
    mask: Value | None
    lanes: int
    known: dict[Node, Value] = field(default_factory=dict)
    rows: dict[Node, Value] = field(default_factory=dict)
    shared: dict[Node, Value] = field(default_factory=dict)
    positions: dict[Hashable, tuple[list[Value], Value]] = field(default_factory=dict)  # that were read from data
    number: int = 0

    def at(self, axis: int, step: Step, shared: dict[Node, Value]) -> Place:
        """The place after a step along an axis."""
        index = [step.index if each == axis else value for each, value in enumerate(self.index)]
        mask, lanes = step.mask or self.mask, max(step.lanes, self.lanes)
        return Place(index, mask, lanes, {}, self.rows, shared, {}, self.number)


class Scratch:
    """Room for values of every place of a group: whole vectors for each index of the reduced axes."""

    def __init__(self, e: Emitter, schedule: Schedule, axes: tuple[int, ...]) -> None:
        self.e, self.schedule, self.axes = e, schedule, axes
        self.shape = tuple(self._padded(axis) for axis in axes)
        self.room = schedule.width if schedule.axis not in axes else 1  # entries of one place
        for extent in self.shape:
            self.room *= extent
        self._pointers: dict[Node, str] = {}
        self._open: set[Node] = set()

    def _padded(self, axis: int) -> int:
        extent, width = self.schedule.extents[axis], self.schedule.width
        return -(-extent // width) * width if axis == self.schedule.axis else extent

    def clear(self) -> None:
        """Other places begin: nothing is kept of them yet, in the same room."""
        self._open.clear()

    def open(self, nodes: Iterable[Node]) -> None:
        """From now on these are recalled."""
        self._open.update(nodes)

    def keep(self, node: Node, value: Value, place: Place) -> None:
        if node not in self._pointers:
            self._pointers[node] = self.e.room(node.dtype, self.room * self.schedule.group)
        self.e.store(self._pointers[node], self._where(place), self.e.spread(value, self.schedule.width))

    def recall(self, node: Node, place: Place) -> Value | None:
        """What an earlier pass has kept of a node at this place, if it has."""
        if node not in self._open:
            return None
        return self.e.load(self._pointers[node], self._where(place), node.dtype, self.schedule.width)

    def _where(self, place: Place) -> Value:
        e, index = self.e, [place.index[each] for each in self.axes]
        within = e.linear([each.start if isinstance(each, Counting) else each for each in index], self.shape)
        if self.schedule.axis not in self.axes:
            within = e.multiply(within, e.integer(self.schedule.width))
        return e.add(within, e.integer(place.number * self.room))


def neutral(node: Node) -> Value:
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
