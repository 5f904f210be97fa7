"""The rows of a program's table: for each kernel its function and where its buffers are named; last, what is copied.

In: the layout of a program and the addresses of its kernels' functions. Out: rows, each with what it waits for. A loop
is one row, whose words say where each buffer of a step lies.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.compile import runtime
from thalweg.compile.fuse import Kernel, is_number
from thalweg.compile.hazards import Access, needs
from thalweg.compile.kernels import pieces_of
from thalweg.compile.layout import Layout
from thalweg.compile.library import entries_of, shared
from thalweg.compile.loop_rows import words_of_loop
from thalweg.compile.modules import arguments_of, fill_module
from thalweg.graph import Node

Row = tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """A slot of the table, and how many bytes lie behind it."""

    slot: int
    size: int


class Rows:
    """The rows of one layout; `entries` are the functions of its kernels, those of a loop's steps in the loop's place.

    `offsets` maps each place in the arena to its number among the slots that come after inputs and outputs.
    """

    def __init__(self, layout: Layout, entries: Iterator[int]) -> None:
        self.layout = layout
        self.offsets = {each: i for i, each in enumerate(sorted({*layout.offsets.values(), *layout.held.values()}))}
        self._in_order = list(self.offsets)
        self._held: list[Any] = []  # kept alive: rows hold their addresses
        self._accesses: list[list[Access]] = []  # of each row
        kernels = [self._kernel_row(kernel, number, entries) for number, kernel in enumerate(layout.kernels, 1)]
        self.rows = np.array([*kernels, *self._last_rows()], np.int64).reshape(-1, runtime.ROW)
        self._link()

    @property
    def word_count(self) -> int:
        """How long a table is: its head, the addresses of inputs and outputs, those in the arena."""
        return runtime.HEAD + self.layout.slot_count + len(self.offsets)

    def _kernel_row(self, kernel: Kernel, number: int, entries: Iterator[int]) -> Row:
        places = [self._place(each) for each in arguments_of(kernel)]
        written, read = places[: len(kernel.outputs)], places[len(kernel.outputs) :]
        if kernel.loop is None:
            return self._row(next(entries), written, read, number, pieces_of(kernel), kernel.links)
        steps = Rows(kernel.loop.layout, entries)
        words, held = words_of_loop(kernel, steps.rows, steps.word_count, steps.offsets, self.slot_of)
        self._held += [steps, held]
        return self._row(shared().loop, written, read, number, pieces_of(kernel), 0, words)

    def _link(self) -> None:
        """What each row waits for; only the first of a chain has pieces to claim."""
        links = self.rows[:, runtime.LINKS]
        self.rows[:, runtime.NEED] = needs(self._accesses, links.tolist())
        for first in np.flatnonzero(links):
            self.rows[first + 1 : first + 1 + links[first], runtime.PIECES] = 0

    def _place(self, node: Node) -> Place:
        return Place(self.slot_of(node), node.size * node.dtype.itemsize)

    def _row(
        self, entry: int, written: Sequence[Place], read: Sequence[Place], number: int, pieces: int = 1, links: int = 0,
        words: Sequence[int] | None = None,
    ) -> Row:  # fmt: skip
        """A row whose words are the slots of its places, if it has no others."""
        places = [*written, *read]
        words = [each.slot for each in places] if words is None else words
        self._held.append((ctypes.c_int64 * len(words))(*words))
        accesses = [self._access(place, index < len(written)) for index, place in enumerate(places)]
        self._accesses.append([each for each in accesses if each.start < each.end])
        return runtime.row(entry, ctypes.addressof(self._held[-1]), number, pieces, links)

    def _access(self, place: Place, writes: bool) -> Access:
        """The memory behind a slot. A written cell is its input's memory, whichever slot it is reached by."""
        first, count = runtime.HEAD, self.layout.slot_count
        if place.slot < first:
            return Access(0, 0, 0, writes)
        if place.slot >= first + count:
            offset = self._in_order[place.slot - first - count]
            return Access(-1, offset, offset + place.size, writes)
        output = place.slot - first - len(self.layout.inputs)
        return Access(self.layout.writes.get(output, place.slot - first), 0, place.size, writes)

    def slot_of(self, node: Node) -> int:
        """Where in the table the address of a value stands."""
        node = self.layout.source(node)
        if is_number(node):
            return runtime.NULL
        if node in self.layout.slots:
            return runtime.HEAD + self.layout.slots[node]
        return self._arena_slot(self.layout.offsets[node])

    def _arena_slot(self, offset: int) -> int:
        return runtime.HEAD + self.layout.slot_count + self.offsets[offset]

    def _last_rows(self) -> list[Row]:
        """Outputs that are not computed where they belong: copied at the end, old values of cells before any is new."""
        first, last = [], []
        layout = self.layout
        for index, node in enumerate(layout.outputs):
            size = node.size * node.dtype.itemsize
            own = Place(runtime.HEAD + layout.output_slot(index), size)
            if is_number(node):
                if index in layout.writes:
                    last.append(self._row(entries_of([fill_module(node)])[0], [own], [], 0))
            elif index in layout.held:
                held = Place(self._arena_slot(layout.held[index]), size)
                first.append(self._row(shared().copy, [held], [self._place(node)], size))
                last.append(self._row(shared().copy, [own], [held], size))
            elif size and layout.slots.get(layout.source(node)) != layout.output_slot(index):
                rows = last if index in layout.writes else first
                rows.append(self._row(shared().copy, [own], [self._place(node)], size))
        return [*first, *last]
