"""Thalweg in a fresh process.

In and out: bench/peers/fresh.py. The code cache lies where THALWEG_CACHE says, empty or filled as the row wants it.
"""

from __future__ import annotations

from dataclasses import replace

from bench.models import BUILDERS, dense, step_of_network
from bench.peers.fresh import first_call, first_step, main, memory
from bench.peers.thalweg_fit import fit_of
from bench.peers.thalweg_framework import FRAMEWORK
from bench.prediction import FLOAT
from bench.rows_of_sequences import ATTENTIONS, SCORES
from bench.workloads import Workload
from thalweg.compile import executable, library
from thalweg.compile.native import NativeProgram


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


def attention_memory(side: str, workload: Workload) -> dict[str, float]:
    """Bytes that the step's program plans beside its arguments, or those of the scores of all heads as one matrix."""
    if side == SCORES:
        heads, context, _ = workload.sizes
        return {"cost": FLOAT * heads * context**2}
    BUILDERS[workload.family.removesuffix("_memory")](FRAMEWORK, workload)()
    natives = [each.native for each in executable._cache.values()]
    return {"cost": max(_planned(each, workload.setting.threads) for each in natives if each is not None)}


def _planned(native: NativeProgram, threads: int) -> int:
    """Values between kernels, scratch of each thread that takes part, results."""
    layout, count = native.layout, threads if native.step == native._together else 1
    results = sum(each.size * each.dtype.itemsize for each in layout.outputs)
    return layout.arena + count * layout.scratch + results


if __name__ == "__main__":
    main({
        "first_step": first_step(FRAMEWORK),
        "first_step_empty_cache": first_step(FRAMEWORK),
        "first_call_empty_cache": first_call(lambda workload: step_of_network(FRAMEWORK, workload)),
        "memory": memory(fit_of),
        "recompile": recompile,
        **{f"{family}_memory": attention_memory for family in ATTENTIONS},
    })  # fmt: skip
