"""PyTorch in a fresh process.

In and out: bench/peers/fresh.py. Memory is that of the loop that makes no copy of the data: rows gathered
batch by batch.
"""

from __future__ import annotations

from bench.peers.fresh import first_step, main, memory
from bench.peers.torch_fit import fit_of
from bench.peers.torch_framework import FRAMEWORK

if __name__ == "__main__":
    main({
        "first_step": first_step(FRAMEWORK),
        "first_step_empty_cache": first_step(FRAMEWORK),
        "memory": memory(lambda workload: fit_of(workload, "rows gathered batch by batch")),
    })  # fmt: skip
