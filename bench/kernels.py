"""`python -m bench.kernels NAME ...`: where the time of a row goes on our side, kernel by kernel.

In: names of rows. Out: for each kernel of its native program the time, share, GFLOP/s, GB/s and operations. The program
runs as it always does, on one thread, with the processor's cycle counter read around each kernel; compare it with
`step.explain()`, which is for users.
"""

from __future__ import annotations

import sys
import time as clock
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from bench.peers.thalweg_side import build
from bench.rows import chosen
from bench.table import markdown, time
from bench.workloads import Workload
from thalweg.compile import executable
from thalweg.compile.fuse import Kernel
from thalweg.compile.inside.cost import flops_of
from thalweg.compile.inside.variants import ticks_per_second
from thalweg.compile.library import shared
from thalweg.compile.native import NativeProgram

_WARM_UP, _SAMPLES = 0.5, 300
_TICKS, _LONG = 4, 1 << 62


def profile(call: Callable[[], Any]) -> tuple[NativeProgram, list[float], float]:
    """The program in which most of the time goes, the shortest seconds of its kernels, and of a whole call."""
    end = clock.perf_counter() + _WARM_UP
    while clock.perf_counter() < end:
        call()
    natives = [each.native for each in executable._cache.values() if each.native and each.native.layout.kernels]
    for native in natives:
        native.walk_by(shared().timed)
        native.rows[:, _TICKS] = _LONG
    best = float("inf")
    for _ in range(_SAMPLES):
        started = clock.perf_counter()
        call()
        best = min(best, clock.perf_counter() - started)
    ran = [native for native in natives if native.rows[0, _TICKS] != _LONG]
    which = max(ran, key=lambda native: native.rows[:, _TICKS].sum())
    ticks = which.rows[: len(which.layout.kernels), _TICKS]
    return which, [float(each) / ticks_per_second() for each in ticks], best


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
    work = sum(flops_of(node) for each in kernels for node in each.nodes)
    rates = [f"{amount / max(seconds, 1e-9) / 1e9:.3g}" if amount else "" for amount in (work, moved)]
    return [str(len(kernels)), time(seconds), f"{100 * seconds / whole:.1f} %", *rates]


def _shapes(kernel: Kernel) -> str:
    if kernel.is_nest:
        return f"{kernel.domain} over {kernel.axes}" if kernel.axes is not None else str(kernel.domain)
    node = kernel.nodes[0]  # what else there is happens as it stores
    turned = [node.attributes[each] for each in ("transpose_a", "transpose_b") if each in node.attributes]
    flags = "".join("NT"[each] for each in turned)
    return f"{' '.join(str(each.shape) for each in node.inputs)} {flags}"


def _operations(kernel: Kernel) -> str:
    counts = Counter(node.op.name for node in kernel.nodes)
    return " ".join(name if count == 1 else f"{name}*{count}" for name, count in counts.most_common(10))


def report(workload: Workload) -> str:
    call = build(workload)
    if not callable(call):
        return f"{workload.name} is one kernel: see python -m bench --only {workload.name}"
    native, seconds, whole = profile(call)
    inside = sum(seconds)
    return (f"{workload.title}: {time(whole)} a call, {time(inside)} in {len(seconds)} kernels\n"
            + table(native.layout.kernels, seconds))  # fmt: skip


def main(names: Sequence[str]) -> int:
    for workload in chosen(names):
        print(report(workload), end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
