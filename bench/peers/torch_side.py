"""PyTorch's worker: eager, with Adam in its fused form; single products through its own C++ timer.

In and out: bench/peers/worker.py. Without a C++ compiler and ninja the products run from Python, and the row says so.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch.utils import benchmark

from bench.models import BUILDERS
from bench.peers.torch_fit import fit_of
from bench.peers.torch_framework import FRAMEWORK
from bench.peers.worker import Library, Timed, best_rate, main, repeated, repeated_epochs
from bench.workloads import Workload

# One statement and setup for every product, so that the C++ compiler runs once; the extents come by the environment.
_SETUP = """
auto read = [](const char* name) { return (int64_t)atoll(std::getenv(name)); };
c10::InferenceMode guard;
const int64_t rows = read("BENCH_ROWS"), inner = read("BENCH_INNER"), columns = read("BENCH_COLUMNS");
auto a = read("BENCH_TURN_A") ? at::randn({inner, rows}).t() : at::randn({rows, inner});
auto b = read("BENCH_TURN_B") ? at::randn({columns, inner}).t() : at::randn({inner, columns});
auto c = at::empty({rows, columns});
"""


def describe() -> dict[str, Any]:
    return {"versions": {"torch": torch.__version__}, "threads": torch.get_num_threads()}


def calibrate() -> dict[str, Any]:
    def rate(size: int) -> float:
        a, b, c = (torch.ones(size, size) for _ in range(3))
        return best_rate(2 * size**3, lambda: torch.mm(a, b, out=c))

    return {"flops": max(rate(512), rate(1024))}


def build(workload: Workload, variant: str = "") -> Callable[[], Any] | Timed:
    torch.manual_seed(0)
    if workload.family == "product":
        return product(workload)
    if workload.family == "fit":
        return repeated_epochs(fit_of(workload, variant), workload)
    return BUILDERS[workload.family](FRAMEWORK, workload)


def product(workload: Workload) -> Timed:
    """`mm_out` on operands that lie turned over where the row says so."""
    if not (shutil.which(os.environ.get("CXX", "c++")) and shutil.which("ninja")):
        return Timed(repeated(_product_from_python(workload)), "torch.mm(out=) from Python: no C++ compiler and ninja")
    names = ("BENCH_ROWS", "BENCH_INNER", "BENCH_COLUMNS", "BENCH_TURN_A", "BENCH_TURN_B")
    settings = dict(zip(names, map(str, map(int, (*workload.sizes, *workload.transposes))), strict=True))
    timer = benchmark.Timer("at::mm_out(c, a, b);", _SETUP, global_setup="#include <cstdlib>", language="c++",
                            num_threads=torch.get_num_threads())  # fmt: skip

    def run(calls: int) -> float:
        os.environ.update(settings)
        measurement = timer.timeit(calls)
        return measurement.raw_times[0]

    return Timed(run, "torch.utils.benchmark.Timer in C++")


def _product_from_python(workload: Workload) -> Callable[[], Any]:
    m, k, n = workload.sizes
    a = torch.randn(k, m).t() if workload.transposes[0] else torch.randn(m, k)
    b = torch.randn(n, k).t() if workload.transposes[1] else torch.randn(k, n)
    c = torch.empty(m, n)
    return lambda: torch.mm(a, b, out=c)


LIBRARY = Library(describe, calibrate, build)

if __name__ == "__main__":
    main(LIBRARY)
