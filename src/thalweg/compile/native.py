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
from thalweg.compile.kernels import cycles_of
from thalweg.compile.layout import Layout
from thalweg.compile.lending import new_room, rooms, start_of
from thalweg.compile.library import entries_of, shared
from thalweg.compile.memory import empty_array
from thalweg.compile.memory_use import refuse_what_does_not_fit
from thalweg.compile.modules import Module, module_of
from thalweg.compile.pool import pool
from thalweg.compile.rows import Rows
from thalweg.compile.values import NotEmittable
from thalweg.graph import Node, input_leaf, toposort
from thalweg.ops.rules import known_number

_SMALL = 1 << 18  # bytes of an arena: a larger one is worth more than the microsecond that it takes to lend it
_CYCLES_OF_A_ROW = 1_000  # to claim it, and to see that others are done
_SHARED = 1.25  # times as long as alone, as some operands are in the other core's cache
_CYCLES_WORTH_THREADS = 60_000  # waking the workers costs a third of it


class Table:
    """What one caller hands to a step: the words at its head, and behind them the addresses of inputs and outputs."""

    def __init__(self, words: Sequence[int], first: int) -> None:
        self.words = (ctypes.c_int64 * len(words))(*words)
        self.places = (ctypes.c_void_p * (len(words) - first)).from_buffer(self.words, first * 8)
        self.address = ctypes.addressof(self.words)


class NativeProgram:
    """Machine code and where its intermediate values lie. One call at a time, as its counters are shared between calls.

    A small arena is the program's own; a large one is lent to it for the time of a call.
    """

    def __init__(self, layout: Layout, modules: Sequence[Module]) -> None:
        self.layout, self.modules = layout, list(dict.fromkeys(modules))
        self._rows = Rows(layout, iter(entries_of(modules)))
        self.rows, self.slot_of = self._rows.rows, self._rows.slot_of
        self.arena_bytes = layout.arena + layout.scratch
        self._own = new_room(self.arena_bytes) if self.arena_bytes <= _SMALL else None
        if self._own is None:
            rooms.expect(self.arena_bytes, self)
        self._counters = np.zeros((len(self.rows) + 2) * runtime.COUNTER, np.int64)
        self.walk_by(self._together if self._gains_from_threads() else shared().alone)
        self.lock = threading.Lock()

    @property
    def text(self) -> str:
        """The LLVM text of all kernels, to be read."""
        return "\n\n".join(module.text for module in self.modules)

    def _gains_from_threads(self) -> bool:
        """Whether two threads would be done clearly earlier than one: by what kernels cost and what each waits for."""
        counts = self.rows[:, runtime.PIECES]
        cycles = list(map(cycles_of, self.layout.kernels))
        cycles = [sum(cycles[i : i + 1 + kernel.links]) for i, kernel in enumerate(self.layout.kernels)]
        total, ends, free = 0.0, [0.0], [0.0, 0.0]  # when all rows before are done, and when each thread is
        for cost, need, count in zip(cycles, self.rows[:, runtime.NEED], counts, strict=False):
            if not count:  # done with the first of its chain
                ends.append(ends[-1])
                continue
            total += cost
            begins = sorted(max(each, ends[need]) for each in free)
            shared = _SHARED * cost + _CYCLES_OF_A_ROW
            if count > 1:
                end = max((sum(begins) + shared) / 2, begins[1])
                free = [end, end]
            else:
                free = [begins[0] + shared, begins[1]]
            ends.append(max(ends[-1], *free))
        return total > _CYCLES_WORTH_THREADS and ends[-1] < 0.8 * total

    def _together(self, address: int) -> None:
        pool().step(address, self.layout.scratch)

    def walk_by(self, walk: Callable[[int], Any]) -> None:
        """From now on `step` takes a table through its rows in this way."""
        self.walk = walk
        self.step: Callable[[int], Any] = self._in_lent_room if self._own is None else walk

    def _in_lent_room(self, address: int) -> None:
        room = rooms.take(self.arena_bytes)
        try:
            start = start_of(room)
            if ctypes.c_int64.from_address(address + 8 * runtime.SCRATCH).value != start + self.layout.arena:
                self._move_in(address, start)
            self.walk(address)
        finally:
            rooms.give_back(room)

    def _move_in(self, address: int, start: int) -> None:
        """The table learns where its intermediate values lie this time."""
        ctypes.c_int64.from_address(address + 8 * runtime.SCRATCH).value = start + self.layout.arena
        first = address + 8 * (runtime.HEAD + self.layout.slot_count)
        words = (ctypes.c_int64 * len(self._rows.offsets)).from_address(first)
        words[:] = self._places(start)  # type: ignore[assignment]

    def _places(self, start: int) -> list[int]:
        return [start + offset for offset in self._rows.offsets]

    # --- calls -------------------------------------------------------------------------------------------------------

    def new_table(self) -> Table:
        """A table for `step`, in which the places of inputs and outputs are to be filled in."""
        head = [0] * runtime.HEAD
        head[runtime.ROWS], head[runtime.COUNT] = self.rows.ctypes.data, len(self.rows)
        head[runtime.CHECKED] = self.layout.checks or -1
        start = 0 if self._own is None else start_of(self._own)
        head[runtime.STEPS], head[runtime.SCRATCH] = 1, start + self.layout.arena
        head[runtime.MODE] = shared().flushing if self.layout.writes else 0
        head[runtime.COUNTERS] = -(-self._counters.ctypes.data // 64) * 64
        return Table([*head, *[0] * self.layout.slot_count, *self._places(start)], runtime.HEAD)

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
    """The module of each kernel, in order, and for a loop those of its steps; equal ones are the same."""
    found = list[Module]()
    for kernel in layout.kernels:
        found += modules_of(kernel.loop.layout) if kernel.loop else [module_of(kernel)]
    return found


def build(
    inputs: Sequence[Node], outputs: Sequence[Node], writes: Mapping[int, int] = MappingProxyType({})
) -> NativeProgram | None:
    """The program as machine code, or None where something in it has no emission."""
    known = set(inputs)
    if any(node.op is input_leaf and node not in known for node in toposort(outputs)):
        return None  # a value known before the trace: only the interpreter holds it
    with stage("fuse"):
        layout = Layout(inputs, outputs, writes)
        refuse_what_does_not_fit(layout)
    try:
        with stage("emit"):
            modules = modules_of(layout)
    except NotEmittable:
        return None
    return NativeProgram(layout, modules)
