"""Thalweg's worker for rows about watching, with nothing watched: what the watched step is compared with.

In and out: bench/peers/worker.py.
"""

from __future__ import annotations

from bench.peers.thalweg_fit import fit_of
from bench.peers.thalweg_side import calibrate, describe
from bench.peers.worker import Library, Timed, main, repeated_epochs
from bench.workloads import Workload


def build(workload: Workload, variant: str = "") -> Timed:
    return repeated_epochs(fit_of(workload), workload)


LIBRARY = Library(describe, calibrate, build)

if __name__ == "__main__":
    main(LIBRARY)
