"""`ProgramExplanation`: what a compiled program consists of and where its time goes, as data and as text.

In: a native program, and arrays to run it on. Out: for each kernel its operations, the user's lines, its cost
and its time, beside what this machine can do; `str()` is a table of it. Made by `step.explain()` and THALWEG_DEBUG=2.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from thalweg.compile.fuse import Kernel
from thalweg.compile.inside.cost import Cost, cost_of
from thalweg.compile.inside.listing import extent_of, names_of, operations_of, print_kernels, sources_of
from thalweg.compile.inside.peak import Peak, measured_peak
from thalweg.compile.inside.variants import kernel_seconds
from thalweg.compile.layout import Layout
from thalweg.compile.memory_use import MemoryUse, told_bytes
from thalweg.compile.native import NativeProgram
from thalweg.dtype import float32, float64
from thalweg.graph import describe

_MOST_SOURCES = 3  # that are printed for one kernel
_LONGEST = 72  # characters of a list of operations


@dataclass(frozen=True)
class KernelReport:
    """One kernel of a step: what it computes, from where, what it costs and how long it takes."""

    name: str
    operations: str
    extent: str
    sources: tuple[str, ...]
    cost: Cost
    seconds: float
    shortest: float  # seconds that this machine would need at its peak
    follows: str = ""  # the kernel before it in a chain that is done piece by piece; times are of each as a whole

    @property
    def share(self) -> float:
        """Of the machine's peak, arithmetic or memory, whichever binds this kernel."""
        return self.shortest / self.seconds if self.seconds else 0.0


class ProgramExplanation:
    """The kernels of one compiled program; see the module.

    `kernels` are in the order of the step, `seconds` is their sum, `arena` and `scratch` are bytes, `stages` maps the
    stages of compiling to seconds, `peak` is what was measured for this machine. `loop_text` and `memory_plan` are
    texts that `str()` leaves out.
    """

    def __init__(
        self,
        name: str,
        native: NativeProgram,
        arrays: Sequence[np.ndarray],
        destinations: Mapping[int, np.ndarray],
        stages: Mapping[str, float],
    ) -> None:
        self.name, self.stages = name, dict(stages)
        self.memory: MemoryUse | None = None
        self._layout = layout = native.layout
        self.arena, self.scratch = layout.arena, layout.scratch
        names = names_of(layout)
        self.distinct = len(set(names))
        self.in_place = sum(layout.slots.get(layout.source(layout.outputs[o])) is not None for o in layout.writes)
        self.peak: Peak = measured_peak(float64 if _is_double(layout) else float32)
        times = kernel_seconds(native, arrays, destinations)
        before = _before_in_chain(names, layout.kernels)
        self.kernels = [self._report(*each) for each in zip(names, layout.kernels, times, before, strict=True)]

    def _report(self, name: str, kernel: Kernel, seconds: float, before: str) -> KernelReport:
        cost = cost_of(kernel)
        return KernelReport(
            name, operations_of(kernel), extent_of(kernel), tuple(sources_of(kernel)), cost,
            seconds, self.peak.shortest(cost), before,
        )  # fmt: skip

    @property
    def seconds(self) -> float:
        return sum(each.seconds for each in self.kernels)

    @property
    def cost(self) -> Cost:
        return sum((each.cost for each in self.kernels), Cost())

    @cached_property
    def loop_text(self) -> str:
        """The loops of every distinct kernel."""
        return print_kernels(self._layout)

    @cached_property
    def memory_plan(self) -> str:
        """Where in the arena each intermediate value lies, and between which kernels."""
        kernels, offsets = self._layout.kernels, self._layout.offsets
        rows = [["offset", "bytes", "value", "kernels"]]
        for number, kernel in enumerate(kernels):
            for node in (each for each in kernel.outputs if each in offsets):
                last = max((i for i, each in enumerate(kernels) if node in each.inputs), default=number)
                value = f"{node.op.name} {describe(node.shape, node.dtype)}"
                rows.append([str(offsets[node]), str(node.size * node.dtype.itemsize), value, f"{number} to {last}"])
        return "\n".join(_table(rows, "rrll"))

    # --- as text -----------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        head = [
            f"{self.name}: {len(self.kernels)} kernels ({self.distinct} distinct), {_time(self.seconds)} in kernels, "
            f"{told_bytes(self.arena)} of arena, {told_bytes(self.scratch)} of scratch, "
            f"{self.in_place} cells written in place",
            f"this machine: {self.peak.flops / 1e9:.0f} GFLOP/s; "
            + ", ".join(f"{rate / 1e9:.0f} GB/s within {told_bytes(size)}" for size, rate in self.peak.bandwidth),
        ]
        if self.memory is not None:
            head.append("memory: " + str(self.memory).partition("\n")[0])
        if self.stages:
            head.append("compiled in " + told(self.stages))
        return "\n".join([*head, "", *self._rows()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def _rows(self) -> list[str]:
        titles = ["kernel", "over", "FLOP", "bytes", "time", "GFLOP/s", "GB/s", "of peak"]
        total = KernelReport("all", "", "", (), self.cost, self.seconds, sum(each.shortest for each in self.kernels))
        rows = _table([titles, *[_cells(each) for each in (*self.kernels, total)]], "llrrrrrr")
        lines = [rows[0]]
        for row, each in zip(rows[1:-1], self.kernels, strict=True):
            lines += [row, *(f"      {text}" for text in _told_of(each))]
        return [*lines, rows[-1]]


def _before_in_chain(names: Sequence[str], kernels: Sequence[Kernel]) -> list[str]:
    """For each kernel the one before it in its chain, or nothing."""
    before = [""] * len(names)
    for place, kernel in enumerate(kernels):
        for member in range(place + 1, place + 1 + kernel.links):
            before[member] = names[member - 1]
    return before


def _told_of(kernel: KernelReport) -> list[str]:
    operations = kernel.operations
    if len(operations) > _LONGEST:
        operations = operations[: operations.rindex(" ", 0, _LONGEST)] + " ..."
    more = len(kernel.sources) - _MOST_SOURCES
    chain = [f"piece by piece after {kernel.follows}"] if kernel.follows else []
    return [operations, *chain, *kernel.sources[:_MOST_SOURCES], *([f"and {more} more lines"] if more > 0 else [])]


def _cells(kernel: KernelReport) -> list[str]:
    seconds = kernel.seconds or float("inf")
    return [
        kernel.name, kernel.extent, _count(kernel.cost.flops), told_bytes(kernel.cost.bytes), _time(kernel.seconds),
        f"{kernel.cost.flops / seconds / 1e9:.1f}", f"{kernel.cost.bytes / seconds / 1e9:.1f}",
        f"{100 * kernel.share:.0f} %",
    ]  # fmt: skip


def told(stages: Mapping[str, float]) -> str:
    """The stages of compiling with their times."""
    parts = ", ".join(f"{name} {_time(seconds)}" for name, seconds in stages.items())
    return f"{_time(sum(stages.values()))} ({parts})"


def _is_double(layout: Layout) -> bool:
    return any(node.dtype is float64 and node.size > 1 for kernel in layout.kernels for node in kernel.outputs)


def _table(rows: Sequence[Sequence[str]], alignment: str) -> list[str]:
    """Columns as wide as their widest entry."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if side == "l" else cell.rjust(width)
            for cell, width, side in zip(row, widths, alignment, strict=True)
        ).rstrip()
        for row in rows
    ]


def _count(number: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return str(int(number))


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.2f} us"
