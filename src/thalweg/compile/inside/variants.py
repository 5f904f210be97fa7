"""Other walks through the rows of a program: one that takes each row's time, one that runs a single row.

In: a native program, and arrays or a table. Out: the seconds of each kernel, or the status that some rows have left
behind. Nothing is compiled for them: they call the same kernels.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from thalweg.compile import runtime
from thalweg.compile.library import shared
from thalweg.compile.native import NativeProgram, Table


def kernel_seconds(
    native: NativeProgram,
    arrays: Sequence[np.ndarray],
    destinations: Mapping[int, np.ndarray],
    patience: float = 0.25,
) -> list[float]:
    """The shortest time of each kernel, over as many runs of the whole step as fit the patience."""
    usual = native.walk
    native.walk_by(shared().timed)
    native.rows[:, runtime.TICKS] = np.iinfo(np.int64).max
    start, rounds = time.perf_counter(), 0
    try:
        while rounds < 3 or (time.perf_counter() - start < patience and rounds < 1000):
            native(arrays, destinations)
            rounds += 1
    finally:
        native.walk_by(usual)
    return [float(ticks) / ticks_per_second() for ticks in native.rows[: len(native.layout.kernels), runtime.TICKS]]


def run_rows(native: NativeProgram, table: Table, first: int, count: int) -> None:
    """Some rows of a step, by one thread; the status word is left in the table."""
    before, rows = table.words[:], native.rows[first : first + count].copy()
    rows[:, runtime.LINKS] = 0
    table.words[runtime.ROWS] = rows.ctypes.data
    table.words[runtime.COUNT], table.words[runtime.CHECKED] = count, -1
    shared().alone(table.address)
    for word in (runtime.ROWS, runtime.COUNT, runtime.CHECKED):
        table.words[word] = before[word]


@cache
def ticks_per_second() -> float:
    """How fast the target's clock counts, against the system's, over some milliseconds: the time of a row that waits.

    The row is a copy that is long enough to be timed by both clocks.
    """
    source, result = np.ones(1 << 22, np.uint8), np.empty(1 << 22, np.uint8)
    slots, rates = np.array([runtime.HEAD, runtime.HEAD + 1]), list[float]()
    for _ in range(20):
        row = np.array(runtime.row(shared().copy, slots.ctypes.data, source.size))
        row[runtime.TICKS] = np.iinfo(np.int64).max
        head = [0] * runtime.HEAD
        head[runtime.ROWS], head[runtime.COUNT], head[runtime.STEPS], head[runtime.CHECKED] = row.ctypes.data, 1, 1, -1
        table = Table([*head, result.ctypes.data, source.ctypes.data], runtime.HEAD)
        start = time.perf_counter()
        shared().timed(table.address)
        rates.append(float(row[runtime.TICKS]) / (time.perf_counter() - start))
    return max(rates)
