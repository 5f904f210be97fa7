"""The machine that figures belong to: what it is, what it reaches, how busy it is, and how long an import takes.

In: this process and workers. Out: words for the document, and `Rates` for predictions.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from bench.client import REPOSITORY, Client, WorkerError, worker_environment
from bench.peers import ONE_THREAD
from bench.prediction import Rates
from thalweg.recipes import record

QUIET = 0.3  # the load average up to which figures are worth writing down
IMPORTS = {
    "import thalweg": "import thalweg",
    "import numpy": "import numpy",
    "import torch": "import torch",
    "import jax": "import jax",
}
FIRST_COMPILATION = """
import thalweg as tw
x = tw.ones(3)
""", "tw.compile(lambda x: x + 1)(x).numpy()"  # fmt: skip


def load() -> float:
    """Processes that wanted to run, over the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def describe() -> str:
    """Processor, cores and system."""
    kind = record.machine()
    return f"{kind['processor']}, {kind['cores']} cores, {kind['system']} {kind['machine']}"


def commit() -> str:
    """The commit that is measured, and whether something is changed."""
    found = record.commit() or ""
    return found[:9] + ("-dirty" if found.endswith("-dirty") else "")


def versions(workers: Mapping[str, Client]) -> dict[str, str]:
    found: dict[str, str] = {}
    for worker in workers.values():
        found |= worker.ask("describe")["versions"]
    return found


def rates(workers: Mapping[str, Client]) -> Rates:
    """The best matrix product that any side shows, and the bandwidths that NumPy measures."""
    answers: list[dict[str, Any]] = []
    for worker in workers.values():
        try:
            answers.append(worker.ask("calibrate"))
        except WorkerError:
            continue
    bandwidths = next((each["bandwidths"] for each in answers if "bandwidths" in each), {"0": float("inf")})
    flops = max((each["flops"] for each in answers), default=float("inf"))
    return Rates(flops, {int(size): rate for size, rate in bandwidths.items()})


def start_times(sides: Iterable[str], repeats: int = 5) -> dict[str, float | None]:
    """Median seconds of imports in fresh processes; None for what is not installed."""
    wanted = {"thalweg", "numpy", *(side.partition(".")[0] for side in sides)}
    times = {
        name: _median_of_processes("", code, repeats) for name, code in IMPORTS.items() if name.split()[-1] in wanted
    }
    return times | {"first compilation of a process": _median_of_processes(*FIRST_COMPILATION, repeats)}


def _median_of_processes(setup: str, code: str, repeats: int) -> float | None:
    """Seconds that the code takes after the setup."""
    program = f"import time\n{setup}\nstarted = time.perf_counter()\n{code}\nprint(time.perf_counter() - started)"
    seconds = []
    for _ in range(repeats):
        done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, env=worker_environment(ONE_THREAD),
                              capture_output=True, text=True)  # fmt: skip
        if done.returncode:
            return None
        seconds.append(float(done.stdout.split()[-1]))
    return statistics.median(seconds)
