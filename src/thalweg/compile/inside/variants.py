"""Other steps made of the same kernels: one that takes each kernel's time, one that runs a single kernel.

In: the layout of a program. Out: native programs whose `step` differs from the usual one only in what stands between
the calls. They are compiled when someone looks inside, never before.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from thalweg.compile.native import Layout, NativeProgram, copies, emit_program
from thalweg.compile.target import current_target

_NOTES = 3  # where the notes begin, behind the status word


class TimedProgram:
    """A program that leaves the ticks of each kernel behind."""

    def __init__(self, layout: Layout) -> None:
        self.count = len(layout.kernels)
        clock = current_target().clock
        text = emit_program(layout, lambda layout, calls: _with_clock(layout, calls, clock))
        self.native = NativeProgram(layout, f"declare i64 @{clock}()\n{text}", notes=self.count)

    def seconds(
        self, arrays: Sequence[np.ndarray], destinations: Mapping[int, np.ndarray], patience: float = 0.25
    ) -> list[float]:
        """The shortest time of each kernel, over as many runs of the whole step as fit the patience."""
        best = np.full(self.count, np.iinfo(np.int64).max, np.int64)
        start, rounds = time.perf_counter(), 0
        while rounds < 3 or (time.perf_counter() - start < patience and rounds < 1000):
            self.native(arrays, destinations)
            ticks = np.ctypeslib.as_array(self.native.status)[_NOTES:]
            best = np.minimum(best, ticks)
            rounds += 1
        return [float(each) / ticks_per_second() for each in best]


def _with_clock(layout: Layout, calls: list[str], clock: str) -> list[str]:
    lines = []
    for i, call in enumerate(calls):
        lines += [
            f"  %before{i} = call i64 @{clock}()", call, f"  %after{i} = call i64 @{clock}()",
            f"  %ticks{i} = sub i64 %after{i}, %before{i}",
            f"  %note{i} = getelementptr i64, ptr %status, i64 {_NOTES + i}",
            f"  store i64 %ticks{i}, ptr %note{i}",
        ]  # fmt: skip
    return [*lines, *copies(layout)]


class SteppedProgram:
    """A program that runs one kernel a call; after the last, number `count`, the outputs are put in their places."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.count = len(layout.kernels)
        self.native = NativeProgram(layout, emit_program(layout, _one_at_a_time), notes=1)

    def run(self, number: int, table: Any) -> None:
        """One kernel, on a table whose status word is this program's."""
        self.native.status[_NOTES] = number
        self.native.step(ctypes.addressof(table))


def _one_at_a_time(layout: Layout, calls: list[str]) -> list[str]:
    cases = " ".join(f"i64 {i}, label %case{i}" for i in range(len(calls)))
    lines = [f"  %chosen_at = getelementptr i64, ptr %status, i64 {_NOTES}", "  %chosen = load i64, ptr %chosen_at",
             f"  switch i64 %chosen, label %last [{cases}]"]  # fmt: skip
    for i, call in enumerate(calls):
        lines += [f"case{i}:", call, "  br label %leave"]
    return [*lines, "last:", *copies(layout), "  br label %leave", "leave:"]


@cache
def ticks_per_second() -> float:
    """How fast the target's clock counts, against the system's, over some milliseconds."""
    clock = current_target().clock
    program = NativeProgram(
        Layout((), ()),
        f"declare i64 @{clock}()\ndefine void @step(ptr %table) {{\nentry:\n"
        f"  %at = getelementptr ptr, ptr %table, i64 1\n  %status = load ptr, ptr %at\n  %now = call i64 @{clock}()\n"
        f"  %note = getelementptr i64, ptr %status, i64 {_NOTES}\n  store i64 %now, ptr %note\n  ret void\n}}",
        notes=1,
    )

    def read() -> tuple[float, int]:
        program((), {})
        return time.perf_counter(), program.status[_NOTES]

    read()
    first = read()
    time.sleep(0.02)
    last = read()
    return (last[1] - first[1]) / (last[0] - first[0])
