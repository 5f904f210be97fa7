"""Calling machine code with arrays: a table of their addresses, and buffers for results that come back when free.

In: a native program and the arrays of its inputs. Out: the arrays of its results, or None where it met bad data, with
nothing changed.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from thalweg.compile.fuse import is_number
from thalweg.compile.library import shared
from thalweg.compile.memory import address_of, empty_array
from thalweg.compile.native import NativeProgram, Table
from thalweg.compile.runtime import (
    CHECKED,
    COUNT,
    COUNTER,
    COUNTERS,
    DONE,
    HEAD,
    NEED,
    ROW,
    ROWS,
    STATUS,
    STEPS,
    STOP,
    row,
)


class Results:
    """The buffers of one result of a step: a call writes into one that nobody holds any longer, or into a new one.

    Handing a buffer over costs no copy, and one that comes back is still in the processor's cache.
    """

    def __init__(self, index: int, slot: int, make: Callable[[], np.ndarray], is_number: bool) -> None:
        self.index, self.slot, self.make = index, slot, make
        self.most = 0 if is_number else _MOST_BUFFERS  # a known number is not written again by the program
        self.buffers: list[tuple[np.ndarray, int]] = []

    def next(self, table: Any) -> np.ndarray:
        """A free buffer, whose address stands in the table from now on."""
        for buffer, address in self.buffers:
            if sys.getrefcount(buffer) == _UNHELD:
                table[self.slot] = address
                return buffer
        buffer = self.make()
        address = table[self.slot] = buffer.ctypes.data
        if len(self.buffers) < self.most:
            self.buffers.append((buffer, address))
        return buffer


# The references to a buffer that no one outside holds: its pair, the loop's name, the argument of getrefcount itself.
_UNHELD, _MOST_BUFFERS = 3, 2


def results_of(native: NativeProgram, indices: Sequence[int]) -> list[Results]:
    """A place for each of these results, in the table after the inputs."""
    layout = native.layout
    return [
        Results(index, layout.output_slot(index), functools.partial(native.new_result, index), is_number(node))
        for index, node in enumerate(layout.outputs)
        if index in indices
    ]


class Caller:
    """One native program with a table of its own; all its results are handed over."""

    def __init__(self, native: NativeProgram) -> None:
        self.native = native
        self.table = native.new_table()
        self.results = results_of(native, range(len(native.layout.outputs)))

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray] | None:
        native, places, words = self.native, self.table.places, self.table.words
        held = [array if array.flags.c_contiguous else np.ascontiguousarray(array) for array in arrays]
        with native.lock:
            for slot, array in enumerate(held):
                places[slot] = array.__array_interface__["data"][0]
            results = [each.next(places) for each in self.results]
            words[STATUS] = 0
            native.step(self.table.address)
            return None if words[STATUS] else results


_PIECE = 1 << 16  # bytes of a batch that one thread fetches at once


class StepLoop:
    """Many steps of one program in one native call: before each its batch is fetched, after each some results are kept.

    `batches` are the inputs that are rows of larger arrays, `kept` the outputs whose values are wanted for every step,
    and `watched` a float among the outputs that ends the loop with the step in which it is not finite, if there is one.
    """

    def __init__(
        self, native: NativeProgram, batches: Sequence[int], kept: tuple[int, ...], watched: int | None
    ) -> None:
        layout = native.layout
        self.native, self.batches, self.kept = native, batches, kept
        self._held: list[Any] = []  # rows hold their addresses
        self.buffers = [empty_array(layout.inputs[i].shape, layout.inputs[i].dtype) for i in batches]
        own = native.new_table()
        extra = len(own.words)  # behind the words of the program: the whole arrays, their order, where results are kept
        self.table = Table([*own.words, *[0] * (len(batches) + 1 + len(kept))], HEAD)
        rows = [self._fetch(i, extra + i, extra + len(batches)) for i in range(len(batches))]
        last = [self._keep(output, extra + len(batches) + 1 + i) for i, output in enumerate(kept)]
        if watched is not None:
            width = layout.outputs[watched].dtype.itemsize
            last.append(row(shared().watch, self._words(self._output(watched)), width))
        before, after = (np.array(each, np.int64).reshape(-1, ROW) for each in (rows, last))
        self.rows = np.concatenate([before, native.rows, after])
        self.rows[len(rows) :, NEED] += len(rows)
        self.rows[len(rows) + len(native.rows) :, NEED] = len(rows) + len(native.rows)
        self._counters = np.zeros((len(self.rows) + 2) * COUNTER, np.int64)
        words = self.table.words
        words[ROWS], words[COUNT] = self.rows.ctypes.data, len(self.rows)
        words[CHECKED] = layout.checks + len(rows) if layout.checks else -1
        words[COUNTERS] = -(-self._counters.ctypes.data // 64) * 64
        self._places = HEAD + layout.slot_count
        self._extra = extra

    def _fetch(self, index: int, source: int, order: int) -> tuple[int, ...]:
        """A row of the program: the batch of one input."""
        node = self.native.layout.inputs[self.batches[index]]
        size, width = node.shape[0], node.size // max(node.shape[0], 1) * node.dtype.itemsize
        each = max(1, _PIECE // max(width, 1))
        slots = self._words(HEAD + self.batches[index], source, order, size, each)
        return row(shared().take, slots, width, max(1, -(-size // each)))

    def _keep(self, output: int, place: int) -> tuple[int, ...]:
        node = self.native.layout.outputs[output]
        return row(shared().keep, self._words(place, self._output(output)), node.size * node.dtype.itemsize)

    def _output(self, index: int) -> int:
        return HEAD + self.native.layout.output_slot(index)

    def _words(self, *words: int) -> int:
        """The address of a row's slots."""
        held = (ctypes.c_int64 * len(words))(*words)
        self._held.append(held)
        return ctypes.addressof(held)

    def __call__(self, places: Table, arrays: Sequence[np.ndarray], order: np.ndarray) -> tuple[int, list[np.ndarray]]:
        """How many steps were done, and what was kept of each; `places` is a table with all other addresses in it.

        Rows that do not fill a batch are left over.
        """
        count = len(order) // self.buffers[0].shape[0]
        words, outputs = self.table.words, self.native.layout.outputs
        results = [np.empty((count, *outputs[i].shape), outputs[i].dtype.numpy) for i in self.kept]
        begin, end = HEAD * 8, self._places * 8
        ctypes.memmove(self.table.address + begin, places.address + begin, end - begin)
        for index, buffer in zip(self.batches, self.buffers, strict=True):
            words[HEAD + index] = address_of(buffer)
        for i, array in enumerate((*arrays, order, *results)):
            words[self._extra + i] = address_of(array)
        words[STATUS] = words[STOP] = words[DONE] = 0
        words[STEPS] = count
        self.native.step(self.table.address)
        done = words[DONE]
        return done, [each[:done] for each in results]
