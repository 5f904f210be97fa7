"""The sides of the comparison: which process stands for each, and how a process is held to a number of threads.

In: names from the command line. Out: `SIDES`, and the environment of a worker.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Side:
    """One column of the table."""

    key: str
    label: str
    module: str
    has_thread_choice: bool = False  # measured with 1 thread too where more are allowed; the better one counts

    def thread_choices(self, threads: int) -> tuple[int, ...]:
        return (1, threads) if self.has_thread_choice and threads > 1 else (threads,)


SIDES = {
    side.key: side
    for side in (
        Side("thalweg", "Thalweg", "bench.peers.thalweg_side"),
        Side("torch", "PyTorch", "bench.peers.torch_side", has_thread_choice=True),
        Side("torch.compile", "torch.compile", "bench.peers.torch_compile_side", has_thread_choice=True),
        Side("jax", "JAX jit", "bench.peers.jax_side"),
    )
}


def environment(threads: int) -> dict[str, str]:
    """What tells OpenMP, MKL, OpenBLAS, XLA and Thalweg how many threads they may use."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "THALWEG_NUM_THREADS")
    flags = "--xla_cpu_multi_thread_eigen=false" if threads == 1 else ""
    return {**os.environ, **dict.fromkeys(names, str(threads)), "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}


def processors(threads: int) -> set[int] | None:
    """The last processors that we may use: a worker is held to them, so that no library starts threads elsewhere."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return set(sorted(os.sched_getaffinity(0))[-threads:])
