"""`python -m bench.kernels NAME ...`: where the time of a row goes on our side, kernel by kernel.

In: names of rows. Out: for each kernel of its native program the time, share, GFLOP/s, GB/s and operations. The program
runs as it always does, with the processor's cycle counter read after each kernel (x86 only); compare it with
`step.explain()`, which is for users.
"""

from __future__ import annotations

import ctypes
import re
import statistics
import sys
import time as clock
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.peers.thalweg_side import build
from bench.table import markdown, time
from bench.workloads import Workload, chosen
from thalweg.compile import program
from thalweg.compile.codegen import load
from thalweg.compile.fuse import Kernel
from thalweg.compile.native import NativeProgram
from thalweg.graph import Node, size_of

_WARM_UP, _SAMPLES = 0.5, 300
_CALL = re.compile(r"^  call void @k\d+_\w+\(.*\)$", re.MULTILINE)


@dataclass
class Stamped:
    """A native program that writes down the cycle counter at its beginning and after each kernel."""

    native: NativeProgram
    stamps: Any
    library: Any

    def durations(self) -> list[int]:
        """Cycles of each kernel in the last call."""
        return [b - a for a, b in zip(self.stamps[:-1], self.stamps[1:], strict=True)]


def stamp(native: NativeProgram) -> Stamped:
    """Put the counter into the program's text, and the new code into its place."""
    stamps = (ctypes.c_int64 * (len(native.layout.kernels) + 1))()
    number = iter(range(1, len(stamps)))
    head, body = native.text.split("define void @step(ptr %table) {\nentry:\n")
    body = _CALL.sub(lambda match: match.group() + "\n" + _reading(next(number), stamps), body)
    text = "\n".join([
        "declare i64 @llvm.readcyclecounter()", head, "define void @step(ptr %table) {\nentry:",
        _reading(0, stamps), body,
    ])  # fmt: skip
    library, address = load(text)
    native.step = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
    return Stamped(native, stamps, library)


def _reading(index: int, stamps: Any) -> str:
    address = ctypes.addressof(stamps) + 8 * index
    return (f"  %stamp{index} = call i64 @llvm.readcyclecounter()\n"
            f"  store volatile i64 %stamp{index}, ptr inttoptr (i64 {address} to ptr)")  # fmt: skip


def profile(call: Callable[[], Any]) -> tuple[Stamped, list[float], float]:
    """The program in which most of the time goes, seconds of its kernels, and seconds of a whole call."""
    end = clock.perf_counter() + _WARM_UP
    while clock.perf_counter() < end:
        call()
    natives = [each.native for each in program._cache.values() if each.native and each.native.layout.kernels]
    stamped = [stamp(native) for native in natives]
    samples: list[list[list[int]]] = []
    started, cycles = clock.perf_counter(), _cycles()
    for _ in range(_SAMPLES):
        call()
        samples.append([each.durations() for each in stamped])
    seconds = clock.perf_counter() - started
    rate = (_cycles() - cycles) / seconds
    totals = [sum(map(sum, (sample[i] for sample in samples))) for i in range(len(stamped))]
    which = totals.index(max(totals))
    medians = [statistics.median(each) / rate for each in zip(*(s[which] for s in samples), strict=True)]
    return stamped[which], medians, seconds / _SAMPLES


_COUNTER = """
declare i64 @llvm.readcyclecounter()
define void @step(ptr %place) {
  %now = call i64 @llvm.readcyclecounter()
  store i64 %now, ptr %place
  ret void
}
"""
_counter: list[Any] = []


def _cycles() -> int:
    """The cycle counter, now."""
    if not _counter:
        library, address = load(_COUNTER)
        _counter.extend([ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address), library])
    place = ctypes.c_int64()
    _counter[0](ctypes.addressof(place))
    return place.value


# --- words -----------------------------------------------------------------------------------------------------------


def table(kernels: Sequence[Kernel], seconds: Sequence[float], most: int = 25) -> str:
    """The dearest kinds of kernel: those of equal operations and shapes stand in one line."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index, kernel in enumerate(kernels):
        groups.setdefault((_shapes(kernel), _operations(kernel)), []).append(index)
    ordered = sorted(groups.items(), key=lambda item: -sum(seconds[i] for i in item[1]))
    rows = [[*_figures([kernels[i] for i in group], sum(seconds[i] for i in group), sum(seconds)), *words]
            for words, group in ordered[:most]]  # fmt: skip
    return markdown(["kernels", "time", "share", "GFLOP/s", "GB/s", "domain or operands", "operations"], rows)


def _figures(kernels: Sequence[Kernel], seconds: float, whole: float) -> list[str]:
    moved = sum(node.size * node.dtype.itemsize for each in kernels for node in {*each.inputs, *each.outputs})
    work = sum(_flops(node) for each in kernels for node in each.nodes)
    rates = [f"{amount / max(seconds, 1e-9) / 1e9:.3g}" if amount else "" for amount in (work, moved)]
    return [str(len(kernels)), time(seconds), f"{100 * seconds / whole:.1f} %", *rates]


def _flops(node: Node) -> int:
    if node.op.kind != "contract" or "transpose_a" not in node.attributes:
        return 0
    inner = node.inputs[0].shape[-2 if node.attributes["transpose_a"] else -1]
    return 2 * size_of(node.shape) * inner


def _shapes(kernel: Kernel) -> str:
    if kernel.is_nest:
        return f"{kernel.domain} over {kernel.axes}" if kernel.axes is not None else str(kernel.domain)
    (node,) = kernel.nodes
    flags = "".join("NT"[bool(node.attributes.get(f"transpose_{side}"))] for side in "ab")
    return f"{' '.join(str(each.shape) for each in node.inputs)} {flags}"


def _operations(kernel: Kernel) -> str:
    counts = Counter(node.op.name for node in kernel.nodes)
    return " ".join(name if count == 1 else f"{name}*{count}" for name, count in counts.most_common(10))


def report(workload: Workload) -> str:
    call = build(workload)
    if not callable(call):
        return f"{workload.name} is one kernel: see python -m bench --only {workload.name}"
    stamped, seconds, whole = profile(call)
    inside = sum(seconds)
    return (f"{workload.title}: {time(whole)} a call, {time(inside)} in {len(seconds)} kernels\n"
            + table(stamped.native.layout.kernels, seconds))  # fmt: skip


def main(names: Sequence[str]) -> int:
    for workload in chosen(names):
        print(report(workload), end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
