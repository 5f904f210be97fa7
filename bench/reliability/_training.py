"""A row of `bench` trained for some steps, and what became of it as a checksum; run as a program, a process for each.

In: `python -m bench.reliability._training STEPS TIMES ROW ...`. Out: for each row a line of JSON: its name, and for
each time it was trained the checksum of its weights, the state of its optimizer and all of its losses.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import thalweg as tw
from bench import framework as shared
from bench.models import BUILDERS
from bench.peers.thalweg_framework import FRAMEWORK
from bench.rows import ROWS
from bench.workloads import Workload

RATE = 1e-3  # large enough that a different bit in a gradient changes weights
FAMILIES = ("dense", "image_step", "sequence_step")


def rows() -> list[Workload]:
    """Every network of bench/ that is trained by a compiled step, once; not the series of batches and widths."""
    found: dict[Any, Workload] = {}
    for each in ROWS:
        if each.family in FAMILIES and each.is_compiled and each.table not in ("batch", "width"):
            what = (each.family, each.network, each.sizes, each.has_batch_norm)
            found.setdefault(what, each)
    return list(found.values())


def checksums(row: Workload, steps: int, times: int) -> Iterator[str]:
    """Of one training after the other, each from the beginning."""
    for _ in range(times):
        made: list[Any] = []

        def adam(parameters: Any, lr: float, made: list[Any] = made) -> Any:
            made.append(tw.optim.Adam(parameters, lr=RATE))
            return made[-1]

        tw.manual_seed(0)
        step = BUILDERS[row.family](replace(FRAMEWORK, adam=adam), row)
        losses = np.array([step() for _ in range(steps)])
        yield _checksum(made[0], losses)


def _checksum(optimizer: Any, losses: np.ndarray) -> str:
    found = hashlib.sha256(losses.tobytes())
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for each in (parameter, *optimizer.state[parameter].values()):
                found.update(each.detach().numpy().tobytes())
    return found.hexdigest()[:16]


if __name__ == "__main__":
    assert shared.LEARNING_RATE < RATE
    wanted = {row.name: row for row in rows()}
    for name in sys.argv[3:]:
        found = list(checksums(wanted[name], int(sys.argv[1]), int(sys.argv[2])))
        print(json.dumps({"name": name, "checksums": found}), flush=True)
