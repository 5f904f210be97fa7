"""PyTorch's worker: eager, with Adam in its fused form; single products and convolutions through its own C++ timer.

In and out: bench/peers/worker.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from bench.framework import Framework
from bench.models import BUILDERS
from bench.peers import CHANNELS_LAST, CONVOLUTIONS
from bench.peers.torch_fit import fit_of
from bench.peers.torch_framework import FRAMEWORK
from bench.peers.torch_generation import generation
from bench.peers.torch_programs import convolution, product
from bench.peers.worker import Library, Timed, best_rate, main, repeated_epochs, repeated_texts
from bench.workloads import Workload


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
    if workload.family in CONVOLUTIONS:
        return convolution(workload, variant)
    if workload.family == "fit":
        return repeated_epochs(fit_of(workload, variant), workload)
    if workload.family == "generation":
        return repeated_texts(generation(workload), workload)
    return BUILDERS[workload.family](in_order(FRAMEWORK, variant), workload)


def in_order(framework: Framework, variant: str) -> Framework:
    """With networks and images in the memory order of a variant."""
    if variant != CHANNELS_LAST:
        return framework
    return replace(framework, arrange=lambda each: each.to(memory_format=torch.channels_last))


LIBRARY = Library(describe, calibrate, build)

if __name__ == "__main__":
    main(LIBRARY)
