"""Rows that need a new process for every figure: how long it takes to start, how much memory it needs.

In: a row of the "process" table and its sides. Out: for each side something that is asked like a worker and starts
`bench.peers.SIDE_fresh`, whose last line says what it found out. Time counts from before the process to that line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from bench.client import REPOSITORY, WorkerError, pin, worker_environment
from bench.peers import Setting
from bench.rows import ROWS
from bench.workloads import Workload

TABLE = "process"
_WITH_EMPTY_CACHE = ("first_step_empty_cache", "first_call_empty_cache", "recompile")


class FreshProcess:
    """Answers "build" and "run" as a worker does; each run is a process."""

    def __init__(self, side: str, setting: Setting) -> None:
        self.side, self.setting = side, setting
        self.row: Workload | None = None
        self.caches = tempfile.TemporaryDirectory()

    def ask(self, do: str, **rest: Any) -> dict[str, Any]:
        if do == "build":
            self.row = next(row for row in ROWS if row.name == rest["name"])
            self.run()  # fills the code cache, and the system's cache of files
            return {"how": "a process for every figure", "first_call": None, "first_result": None}
        return {"seconds": sum(self.run() for _ in range(rest["calls"]))}

    def run(self) -> float:
        """What one process costs, in the row's unit."""
        started = time.perf_counter()
        process = subprocess.Popen(
            self.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY,
            env=worker_environment(self.setting) | {"THALWEG_CACHE": self.cache()}, preexec_fn=pin(self.setting),
        )  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - started
        _, errors = process.communicate()
        if not line.startswith("{"):
            raise WorkerError((errors.strip().splitlines() or [f"no answer, status {process.returncode}"])[-1][:200])
        cost: float = json.loads(line).get("cost", seconds)
        return cost

    def command(self) -> Sequence[str]:
        assert self.row is not None
        library = self.side.partition(".")[0]
        return [sys.executable, "-m", f"bench.peers.{library}_fresh", self.side, self.row.name]

    def cache(self) -> str:
        """The folder for Thalweg's code: another one every time where the row wants it empty."""
        assert self.row is not None
        is_empty = self.row.family in _WITH_EMPTY_CACHE
        return tempfile.mkdtemp(dir=self.caches.name) if is_empty else self.caches.name

    def __enter__(self) -> FreshProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.caches.cleanup()
