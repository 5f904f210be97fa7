"""Thalweg in a fresh process.

In and out: bench/peers/fresh.py. The code cache lies where THALWEG_CACHE says, empty or filled as the row wants it.
"""

from __future__ import annotations

from dataclasses import replace

from bench.images import image_step
from bench.models import dense
from bench.peers.fresh import first_call, first_step, main, memory
from bench.peers.thalweg_fit import fit_of
from bench.peers.thalweg_framework import FRAMEWORK
from bench.workloads import Workload
from thalweg.compile import library


def recompile(side: str, workload: Workload) -> dict[str, float]:
    """Kernels compiled for a step whose last layer has two more outputs, after the step without them or alone."""
    library.shared()  # what runs any step is no kernel of this one
    if side == "thalweg":
        dense(FRAMEWORK, workload)()
    before = library.compiled_kernels()
    dense(FRAMEWORK, replace(workload, sizes=(*workload.sizes[:-1], workload.sizes[-1] + 2)))()
    count = library.compiled_kernels() - before
    if not count:
        raise RuntimeError("no kernel was compiled for a layer of a new width")
    return {"cost": count}


if __name__ == "__main__":
    main({
        "first_step": first_step(FRAMEWORK),
        "first_step_empty_cache": first_step(FRAMEWORK),
        "first_call_empty_cache": first_call(lambda workload: image_step(FRAMEWORK, workload)),
        "memory": memory(fit_of),
        "recompile": recompile,
    })  # fmt: skip
