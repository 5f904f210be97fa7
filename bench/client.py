"""The harness's end of a worker: a process that is started, asked, and ended.

In: a side and what it runs under. Out: the answers to commands, as bench/peers/worker.py gives them.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from bench.datasets import REPOSITORY
from bench.peers import ONE_THREAD, Setting, Side, environment, processors


class WorkerError(Exception):
    """A command failed; the worker's own words."""


class Client:
    """One worker process. It ends with the `with` block."""

    def __init__(self, label: str, command: Sequence[str], setting: Setting = ONE_THREAD) -> None:
        self.label = label
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  (what libraries print: of interest if the worker dies)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, cwd=REPOSITORY,
            env=worker_environment(setting), preexec_fn=pin(setting),
        )  # fmt: skip

    def ask(self, do: str, **rest: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **rest}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise WorkerError(self._last_words()) from None
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"].splitlines()[0][:200])
        return answer

    def _last_words(self) -> str:
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"the process ended with status {self.process.returncode}"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def start(side: Side, setting: Setting) -> Client:
    """The side's worker."""
    return Client(side.label, [sys.executable, "-m", side.module], setting)


def worker_environment(setting: Setting) -> dict[str, str]:
    """The source tree beside this file is measured, whatever is installed; with its bytecode kept, as pip keeps it."""
    given = {name: value for name, value in environment(setting).items() if name != "PYTHONDONTWRITEBYTECODE"}
    path = os.pathsep.join(filter(None, [str(REPOSITORY / "src"), str(REPOSITORY), given.get("PYTHONPATH", "")]))
    return {**given, "PYTHONPATH": path}


def pin(setting: Setting) -> Any:
    """For a process that is started: hold it to the setting's processors."""
    mine = processors(setting.width)
    return None if mine is None else lambda: os.sched_setaffinity(0, mine)
