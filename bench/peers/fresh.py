"""The end of a fresh process that does the work of one row and says what it cost.

In: the names of a side and a row on the command line. Out: a line of JSON; `cost` where the row counts something else
than the time that the parent process takes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.datasets import examples
from bench.framework import Framework
from bench.models import dense
from bench.rows import ROWS
from bench.workloads import Workload

Task = Callable[[str, Workload], dict[str, float]]


def first_step(framework: Framework) -> Task:
    """Build the network, train on one batch, read the loss."""

    def task(side: str, workload: Workload) -> dict[str, float]:
        dense(framework, workload)()
        return {}

    return task


def first_call(builder: Callable[[Workload], Callable[[], Any]]) -> Task:
    """Seconds of the first call alone: the libraries are imported, the network is built."""

    def task(side: str, workload: Workload) -> dict[str, float]:
        call = builder(workload)
        started = time.perf_counter()
        call()
        return {"cost": time.perf_counter() - started}

    return task


def memory(fit_of: Callable[[Workload], Callable[[int], float]]) -> Task:
    """The most that was resident while an epoch was trained, less the training set."""

    def task(side: str, workload: Workload) -> dict[str, float]:
        fit_of(workload)(1)
        return {"cost": most_resident() - sum(array.nbytes for array in examples(workload))}

    return task


def most_resident() -> int:
    """Bytes. The counter of getrusage would begin with what the parent had."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def main(tasks: dict[str, Task]) -> None:
    side, name = sys.argv[1:]
    workload = next(row for row in ROWS if row.name == name)
    print(json.dumps(tasks[workload.family](side, workload)), flush=True)
