"""Thalweg's worker: steps through `tw.compile`, single products as native programs repeated by a native loop.

In and out: bench/peers/worker.py. Products are run as the compiler's own program of one kernel, called from a loop in
machine code, so that no Python stands between two products, as in PyTorch's C++ timer.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable
from typing import Any

import llvmlite
import numpy as np

import thalweg as tw
from bench.models import BUILDERS
from bench.peers.thalweg_fit import fit_of
from bench.peers.thalweg_framework import FRAMEWORK
from bench.peers.worker import Library, Timed, best_rate, main, repeated_epochs
from bench.workloads import Workload
from thalweg.compile.executable import executable_for
from thalweg.compile.program import Program
from thalweg.compile.runtime import STEPS
from thalweg.dtype import float32
from thalweg.graph import make_input
from thalweg.ops.contract import matmul

_WORKING_SETS = (1 << 20, 8 << 20, 64 << 20, 256 << 20)  # second-level cache, third, beyond


def describe() -> dict[str, Any]:
    return {"versions": {"thalweg": tw.__version__, "python": platform.python_version(), "numpy": np.__version__,
                         "llvmlite": llvmlite.__version__}}  # fmt: skip


def calibrate() -> dict[str, Any]:
    """NumPy's product of 1,024 square; the best rate at which it moves memory, for several sizes of the working set."""
    a, b, c = (np.ones((1024, 1024), np.float32) for _ in range(3))
    flops = best_rate(2 * 1024**3, lambda: np.matmul(a, b, out=c))
    return {"flops": flops, "bandwidths": {size: _bandwidth(size) for size in _WORKING_SETS}}


def _bandwidth(size: int) -> float:
    """Two streams read and a third written, the same in place, or only reading: a floor wants the best."""
    x, y, z = (np.ones(size // 12, np.float32) for _ in range(3))
    bytes_each = x.nbytes
    return max(
        best_rate(3 * bytes_each, lambda: np.add(x, y, out=z), 0.1),
        best_rate(3 * bytes_each, lambda: np.minimum(x, y, out=x), 0.1),
        best_rate(2 * bytes_each, lambda: np.dot(x, y), 0.1),
    )


def build(workload: Workload, variant: str = "") -> Callable[[], Any] | Timed:
    if workload.family == "product":
        return product(workload)
    if workload.family == "fit":
        return repeated_epochs(fit_of(workload), workload)
    return BUILDERS[workload.family](FRAMEWORK, workload)


def product(workload: Workload) -> Timed:
    """One matrix product as a program of its own."""
    m, k, n = workload.sizes
    turn_a, turn_b = workload.transposes
    a, b = make_input((k, m) if turn_a else (m, k), float32), make_input((n, k) if turn_b else (k, n), float32)
    native = executable_for(Program((a, b), (matmul(a, b, transpose_a=turn_a, transpose_b=turn_b),))).native
    if native is None:
        raise RuntimeError("the product has no native program")
    random = np.random.default_rng(0)
    arrays = [_aligned(shape) for shape in (a.shape, b.shape, (m, n))]
    for array in arrays[:2]:
        array[...] = random.standard_normal(array.shape)
    table = native.new_table()
    for index, array in enumerate(arrays):
        table.places[index] = array.ctypes.data

    def run(calls: int, held: Any = arrays) -> float:
        table.words[STEPS] = calls
        started = time.perf_counter()
        native.step(table.address)
        return time.perf_counter() - started

    return Timed(run, "a loop in machine code")


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """As PyTorch's allocator and our arena do: at a multiple of 64 bytes."""
    size = math.prod(shape)
    store = np.zeros(size + 16, np.float32)
    start = (-store.ctypes.data % 64) // 4
    return store[start : start + size].reshape(shape)


LIBRARY = Library(describe, calibrate, build)

if __name__ == "__main__":
    main(LIBRARY)
