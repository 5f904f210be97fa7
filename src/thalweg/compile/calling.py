"""Calling machine code with arrays: a table of their addresses, and buffers for results that come back when free.

In: a native program and the arrays of its inputs. Out: the arrays of its results, or None where it met bad data, with
nothing changed.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from thalweg.compile.fuse import is_number
from thalweg.compile.native import NativeProgram
from thalweg.compile.runtime import STATUS


def address_of(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


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
