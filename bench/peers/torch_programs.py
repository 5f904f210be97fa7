"""Single products and convolutions in PyTorch, through its own C++ timer, so that no Python stands between two calls.

In: a row of the family "product" or of the `CONVOLUTIONS`, these with the order of axes in memory. Out: something
timed; without a C++ compiler and ninja the calls come from Python, and the row says so.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils import benchmark

from bench.peers import CHANNELS_LAST, CONVOLUTIONS
from bench.peers.worker import Timed, repeated
from bench.workloads import Workload

# One statement and setup for all rows of a kind, so that the C++ compiler runs once; the extents come by the
# environment.
_READ = """
auto read = [](const char* name) { return (int64_t)atoll(std::getenv(name)); };
c10::InferenceMode guard;
"""
_PRODUCT = "at::mm_out(c, a, b);"
_PRODUCT_SETUP = _READ + """
const int64_t rows = read("BENCH_ROWS"), inner = read("BENCH_INNER"), columns = read("BENCH_COLUMNS");
auto a = read("BENCH_TURN_A") ? at::randn({inner, rows}).t() : at::randn({rows, inner});
auto b = read("BENCH_TURN_B") ? at::randn({columns, inner}).t() : at::randn({inner, columns});
auto c = at::empty({rows, columns});
"""  # fmt: skip
_CONVOLUTION = """
if (part == 0) at::conv2d(x, w, {}, ones, ones);
else at::convolution_backward(g, x, w, std::nullopt, ones, ones, ones, false, zeros, 1, {part == 1, part == 2, false});
"""
_CONVOLUTION_SETUP = _READ + """
const int64_t count = read("BENCH_COUNT"), inputs = read("BENCH_INPUTS"), outputs = read("BENCH_OUTPUTS");
const int64_t extent = read("BENCH_EXTENT"), part = read("BENCH_PART");
const auto format = read("BENCH_LAST") ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
auto x = at::randn({count, inputs, extent, extent}).contiguous(format);
auto g = at::randn({count, outputs, extent, extent}).contiguous(format);
auto w = at::randn({outputs, inputs, 3, 3}).contiguous(format);
const std::vector<int64_t> ones{1, 1}, zeros{0, 0};
"""  # fmt: skip


def product(workload: Workload) -> Timed:
    """`mm_out` on operands that lie turned over where the row says so."""
    if not _can_compile():
        return Timed(repeated(_product_from_python(workload)), "torch.mm(out=) from Python: no C++ compiler and ninja")
    names = ("BENCH_ROWS", "BENCH_INNER", "BENCH_COLUMNS", "BENCH_TURN_A", "BENCH_TURN_B")
    values = (*workload.sizes, *workload.transposes)
    return _timed(_PRODUCT, _PRODUCT_SETUP, dict(zip(names, values, strict=True)))


def _product_from_python(workload: Workload) -> Callable[[], Any]:
    m, k, n = workload.sizes
    a = torch.randn(k, m).t() if workload.transposes[0] else torch.randn(m, k)
    b = torch.randn(n, k).t() if workload.transposes[1] else torch.randn(k, n)
    c = torch.empty(m, n)
    return lambda: torch.mm(a, b, out=c)


def convolution(workload: Workload, variant: str) -> Timed:
    """`conv2d` or the part of `convolution_backward` that the row asks for; each makes its result anew."""
    part, is_last = CONVOLUTIONS.index(workload.family), variant == CHANNELS_LAST
    if not _can_compile():
        return Timed(repeated(_convolution_from_python(workload, part, is_last)),
                     "torch.ops.aten from Python: no C++ compiler and ninja")  # fmt: skip
    names = ("BENCH_COUNT", "BENCH_INPUTS", "BENCH_OUTPUTS", "BENCH_EXTENT", "BENCH_PART", "BENCH_LAST")
    values = (*workload.sizes, part, is_last)
    return _timed(_CONVOLUTION, _CONVOLUTION_SETUP, dict(zip(names, values, strict=True)))


def _convolution_from_python(workload: Workload, part: int, is_last: bool) -> Callable[[], Any]:
    count, inputs, outputs, extent = workload.sizes
    order = torch.channels_last if is_last else torch.contiguous_format
    shapes = ((count, inputs, extent, extent), (count, outputs, extent, extent), (outputs, inputs, 3, 3))
    x, g, w = (torch.randn(shape).contiguous(memory_format=order) for shape in shapes)
    ones, mask = [1, 1], [part == 1, part == 2, False]
    backward = torch.ops.aten.convolution_backward

    @torch.inference_mode()
    def call() -> Any:
        if part == 0:
            return torch.conv2d(x, w, None, ones, ones)
        return backward(g, x, w, None, ones, ones, ones, False, [0, 0], 1, mask)

    return call


def _can_compile() -> bool:
    return bool(shutil.which(os.environ.get("CXX", "c++")) and shutil.which("ninja"))


def _timed(statement: str, setup: str, settings: Mapping[str, int]) -> Timed:
    words = {name: str(int(value)) for name, value in settings.items()}
    timer = benchmark.Timer(statement, setup, global_setup="#include <cstdlib>", language="c++",
                            num_threads=torch.get_num_threads())  # fmt: skip

    def run(calls: int) -> float:
        os.environ.update(words)
        measurement = timer.timeit(calls)
        return measurement.raw_times[0]

    return Timed(run, "torch.utils.benchmark.Timer in C++")
