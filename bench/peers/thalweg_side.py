"""Thalweg's worker: steps through `tw.compile`, single products and convolutions as programs in a native loop.

In and out: bench/peers/worker.py.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import llvmlite
import numpy as np

import thalweg as tw
from bench.models import BUILDERS
from bench.peers import CONVOLUTIONS
from bench.peers.thalweg_fit import fit_of
from bench.peers.thalweg_framework import FRAMEWORK
from bench.peers.thalweg_generation import generation
from bench.peers.thalweg_programs import convolution, product
from bench.peers.worker import Library, Timed, best_rate, main, repeated_epochs, repeated_texts
from bench.workloads import Workload

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
    if workload.family in CONVOLUTIONS:
        return convolution(workload)
    if workload.family == "fit":
        return repeated_epochs(fit_of(workload), workload)
    if workload.family == "generation":
        return repeated_texts(generation(workload), workload)
    if workload.family == "watched":
        return repeated_epochs(fit_of(workload, is_watched=True), workload)
    return BUILDERS[workload.family](FRAMEWORK, workload)


LIBRARY = Library(describe, calibrate, build)

if __name__ == "__main__":
    main(LIBRARY)
