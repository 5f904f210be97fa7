"""A step as a table: rows of kernel calls, addresses of buffers, and one native call that walks through them.

In: the inputs and outputs of a program. Out: a callable on arrays, or None where some primitive has no emission yet or
native code cannot run here. A call that meets bad data changes nothing and returns None.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from thalweg.compile import runtime
from thalweg.compile.fuse import is_number
from thalweg.compile.inside.debug import stage
from thalweg.compile.kernels import pieces_of
from thalweg.compile.layout import Layout
from thalweg.compile.library import entries_of, shared
from thalweg.compile.memory import empty_array
from thalweg.compile.modules import Module, arguments_of, fill_module, module_of
from thalweg.compile.pool import pool
from thalweg.compile.values import NotEmittable
from thalweg.graph import Node, input_leaf, toposort
from thalweg.ops.rules import known_number


class Table:
    """What one caller hands to a step: the words at its head, and behind them the addresses of inputs and outputs."""

    def __init__(self, words: Sequence[int], first: int) -> None:
        self.words = (ctypes.c_int64 * len(words))(*words)
        self.places = (ctypes.c_void_p * (len(words) - first)).from_buffer(self.words, first * 8)
        self.address = ctypes.addressof(self.words)


class NativeProgram:
    """Machine code with its arena. One call at a time: the arena is shared between calls."""

    def __init__(self, layout: Layout, modules: Sequence[Module]) -> None:
        self.layout, self.modules = layout, list(dict.fromkeys(modules))
        entries = entries_of(modules)
        self._arena = np.empty(layout.arena + layout.scratch + 64, np.uint8)
        self._start = -(-self._arena.ctypes.data // 64) * 64
        self._offsets = {each: i for i, each in enumerate(sorted({*layout.offsets.values(), *layout.held.values()}))}
        self._slots: list[Any] = []  # kept alive: rows hold their addresses
        self.rows = np.array([*self._kernel_rows(entries), *self._last_rows()], np.int64).reshape(-1, runtime.ROW)
        self._counters = np.zeros((len(self.rows) + 2) * runtime.COUNTER, np.int64)
        is_small = (self.rows[:, 3] == 1).all()  # no kernel is worth cutting
        self.step: Callable[[int], Any] = shared().alone if is_small else self._together
        self.lock = threading.Lock()

    @property
    def text(self) -> str:
        """The LLVM text of all kernels, to be read."""
        return "\n\n".join(module.text for module in self.modules)

    # --- rows --------------------------------------------------------------------------------------------------------

    def _kernel_rows(self, entries: Sequence[int]) -> list[tuple[int, ...]]:
        return [
            self._row(entry, [self.slot_of(each) for each in arguments_of(kernel)], number + 1, pieces_of(kernel))
            for number, (entry, kernel) in enumerate(zip(entries, self.layout.kernels, strict=True))
        ]

    def _row(self, entry: int, slots: Sequence[int], number: int, pieces: int = 1) -> tuple[int, ...]:
        self._slots.append((ctypes.c_int64 * len(slots))(*slots))
        return entry, ctypes.addressof(self._slots[-1]), number, pieces, 0

    def slot_of(self, node: Node) -> int:
        """Where in the table the address of a value stands."""
        node = self.layout.source(node)
        if is_number(node):
            return runtime.NULL
        if node in self.layout.slots:
            return runtime.HEAD + self.layout.slots[node]
        return self._arena_slot(self.layout.offsets[node])

    def _arena_slot(self, offset: int) -> int:
        return runtime.HEAD + self.layout.slot_count + self._offsets[offset]

    def _last_rows(self) -> list[tuple[int, ...]]:
        """Outputs that are not computed where they belong: copied at the end, old values of cells before any is new."""
        first, last = [], []
        layout = self.layout
        for index, node in enumerate(layout.outputs):
            place, size = layout.output_slot(index), node.size * node.dtype.itemsize
            slot = runtime.HEAD + place
            if is_number(node):
                if index in layout.writes:
                    last.append(self._row(entries_of([fill_module(node)])[0], [slot], 0))
            elif index in layout.held:
                held = self._arena_slot(layout.held[index])
                first.append(self._row(shared().copy, [held, self.slot_of(node)], size))
                last.append(self._row(shared().copy, [slot, held], size))
            elif size and layout.slots.get(layout.source(node)) != place:
                rows = last if index in layout.writes else first
                rows.append(self._row(shared().copy, [slot, self.slot_of(node)], size))
        return [*first, *last]

    def _together(self, address: int) -> None:
        pool().step(address, self.layout.scratch)

    # --- calls -------------------------------------------------------------------------------------------------------

    def new_table(self) -> Table:
        """A table for `step`, in which the places of inputs and outputs are to be filled in."""
        head = [0] * runtime.HEAD
        head[runtime.ROWS], head[runtime.COUNT] = self.rows.ctypes.data, len(self.rows)
        head[runtime.CHECKED] = self.layout.checks or -1
        head[runtime.STEPS], head[runtime.SCRATCH] = 1, self._start + self.layout.arena
        head[runtime.COUNTERS] = -(-self._counters.ctypes.data // 64) * 64
        arena = [self._start + offset for offset in self._offsets]
        return Table([*head, *[0] * self.layout.slot_count, *arena], runtime.HEAD)

    def __call__(
        self, arrays: Sequence[np.ndarray], destinations: Mapping[int, np.ndarray] = MappingProxyType({})
    ) -> list[np.ndarray] | None:
        """All outputs; None if an index in the data was out of range, with nothing changed."""
        held = [np.ascontiguousarray(array).reshape(array.shape) for array in arrays]
        results = [
            destinations[index] if index in destinations else self.new_result(index)
            for index in range(len(self.layout.outputs))
        ]
        table = self.new_table()
        for index, array in enumerate((*held, *results)):
            table.places[index] = array.ctypes.data
        with self.lock:
            self.step(table.address)
        return None if table.words[runtime.STATUS] else results

    def new_result(self, index: int) -> np.ndarray:
        """An array for an output; one that is a known number has it already."""
        node = self.layout.outputs[index]
        if is_number(node):
            return np.full(node.shape, known_number(node), node.dtype.numpy)
        return empty_array(node.shape, node.dtype)


def modules_of(layout: Layout) -> list[Module]:
    """The module of each kernel, in order; equal ones are the same."""
    return [module_of(kernel) for kernel in layout.kernels]


def build(
    inputs: Sequence[Node], outputs: Sequence[Node], writes: Mapping[int, int] = MappingProxyType({})
) -> NativeProgram | None:
    """The program as machine code, or None where something in it has no emission."""
    known = set(inputs)
    if any(node.op is input_leaf and node not in known for node in toposort(outputs)):
        return None  # a value known before the trace: only the interpreter holds it
    with stage("fuse"):
        layout = Layout(inputs, outputs, writes)
    try:
        with stage("emit"):
            modules = modules_of(layout)
    except NotEmittable:
        return None
    return NativeProgram(layout, modules)
