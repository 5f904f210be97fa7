"""Thalweg's worker: steps through `tw.compile`, single products as native programs repeated by a native loop.

In and out: bench/peers/worker.py. Products are run as the compiler's own program of one kernel, called from a loop in
machine code, so that no Python stands between two products, as in PyTorch's C++ timer.
"""

from __future__ import annotations

import ctypes
import math
import platform
import time
from collections.abc import Callable
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numpy as np

import thalweg as tw
import thalweg.nn.functional as F
from bench.models import BUILDERS, Framework, uncompiled
from bench.peers.worker import Library, Timed, best_rate, main
from bench.workloads import Workload
from thalweg import nn, optim
from thalweg.compile.program import Program, executable_for
from thalweg.compile.target import host
from thalweg.dtype import float32
from thalweg.graph import make_input
from thalweg.ops.contract import matmul

FRAMEWORK = Framework(
    nn, F, tw.no_grad, tw.tensor, lambda parameters, lr: optim.Adam(parameters, lr=lr), tw.compile, uncompiled
)
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


def build(workload: Workload) -> Callable[[], Any] | Timed:
    return product(workload) if workload.family == "product" else BUILDERS[workload.family](FRAMEWORK, workload)


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
        table[index] = array.ctypes.data
    return Timed(_repeated_natively(native.step, table, keep=(native, *arrays)), "a loop in machine code")


def _aligned(shape: tuple[int, ...]) -> np.ndarray:
    """As PyTorch's allocator and our arena do: at a multiple of 64 bytes."""
    size = math.prod(shape)
    store = np.zeros(size + 16, np.float32)
    start = (-store.ctypes.data % 64) // 4
    return store[start : start + size].reshape(shape)


_LOOP = """
define void @repeat(ptr %step, ptr %table, i64 %calls) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  call void %step(ptr %table)
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %calls
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""


def _repeated_natively(step: Any, table: Any, keep: Any) -> Callable[[int], float]:
    """`run(calls)` for a native step; `keep` is what must live as long."""
    engine = llvm.create_lljit_compiler(host().machine(), use_jit_link=False, suppress_errors=False)
    tracker = llvm.JITLibraryBuilder().add_ir(_LOOP).export_symbol("repeat").link(engine, "repeat")
    pointer = ctypes.c_void_p
    repeat = ctypes.CFUNCTYPE(None, pointer, pointer, ctypes.c_int64)(tracker["repeat"])
    step_address, table_address = ctypes.cast(step, pointer).value, ctypes.addressof(table)

    def run(calls: int, held: Any = (keep, engine, tracker, table)) -> float:
        started = time.perf_counter()
        repeat(step_address, table_address, calls)
        return time.perf_counter() - started

    return run


LIBRARY = Library(describe, calibrate, build)

if __name__ == "__main__":
    main(LIBRARY)
