"""The process that stands for one side: it obeys commands on its standard input, a line of JSON each.

In: `{"do": "describe" | "calibrate" | "quit"}`, `{"do": "build", "name": ..., "variant": ...}`,
`{"do": "run", "calls": n, "variant": ...}`. Out: one line of JSON for each; `{"error": ..., "trace": ...}` where the
command failed. The worker lives on after an error, and keeps what it built until another row comes.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np

from bench.datasets import steps_of
from bench.rows import ROWS
from bench.rows_of_sequences import ATTENTIONS
from bench.workloads import Workload

_ROWS = {row.name: row for row in ROWS}
_ANSWERS = ("image_inference", *ATTENTIONS)  # families of rows that end with an array instead of a loss


@dataclass(frozen=True)
class Timed:
    """Something that can be run many times: `run(calls)` gives seconds for all of them, of `steps` training steps each.

    `result` is the first loss, where it could be read.
    """

    run: Callable[[int], float]
    how: str = "calls from Python"
    steps: int = 1
    result: float | None = None


@dataclass(frozen=True)
class Library:
    """What a side can do. `build` gives a call (the worker repeats it) or something with its own way to be timed."""

    describe: Callable[[], dict[str, Any]]
    calibrate: Callable[[], dict[str, Any]]
    build: Callable[[Workload, str], Callable[[], Any] | Timed]  # of a row, in the variant with this name or ""


class Worker:
    """The state between commands: what is built now."""

    def __init__(self, library: Library, rows: Mapping[str, Workload] = _ROWS) -> None:
        self.library, self.rows = library, rows
        self.row: Workload | None = None
        self.built: dict[str, Timed] = {}  # by variant

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self._do(request)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}

    def _do(self, request: Mapping[str, Any]) -> dict[str, Any]:
        match request["do"]:
            case "describe":
                return self.library.describe()
            case "calibrate":
                return self.library.calibrate()
            case "build":
                return self._build(self.rows[request["name"]], request.get("variant", ""))
            case "run":
                if request.get("variant", "") not in self.built:
                    raise RuntimeError("nothing is built yet")
                gc.collect()
                return {"seconds": self.built[request.get("variant", "")].run(request["calls"])}
        raise ValueError(f"unknown command {request['do']!r}")

    def _build(self, row: Workload, variant: str) -> dict[str, Any]:
        """Also makes the first call, which is where the compilers compile, and times it."""
        if row != self.row:
            self.row, self.built = row, {}
        self.built.pop(variant, None)
        gc.collect()
        built, seconds = self.library.build(row, variant), None
        if not isinstance(built, Timed):
            started = time.perf_counter()
            result = built()
            seconds = time.perf_counter() - started
            built = Timed(repeated(built), result=comparable(result, row))
        self.built[variant] = built
        return {"how": built.how, "first_call": seconds, "first_result": built.result, "steps": built.steps}


def comparable(result: Any, row: Workload) -> float | None:
    """One number that all sides must agree about: the loss, or how large the answers are."""
    if row.family in _ANSWERS:
        return float(np.abs(np.asarray(result)).mean())
    return result if isinstance(result, float) and row.dropout == 0 else None


def repeated(call: Callable[[], Any]) -> Callable[[int], float]:
    """Time many calls in a row, as a training loop makes them."""

    def run(calls: int) -> float:
        rounds = range(calls)
        started = time.perf_counter()
        for _ in rounds:
            call()
        return time.perf_counter() - started

    return run


def repeated_epochs(fit: Callable[[int], float], workload: Workload) -> Timed:
    """Time per step of `fit(epochs)`, which gives the first epoch's mean loss.

    What is timed is fit(1 + n) less fit(1): set-up of a call of `fit` drops out on every side alike, without callbacks
    that could make a library take another path.
    """

    def run(calls: int) -> float:
        seconds = []
        for epochs in (1, 1 + calls):
            started = time.perf_counter()
            fit(epochs)
            seconds.append(time.perf_counter() - started)
        return seconds[1] - seconds[0]

    return Timed(run, "whole epochs of fit", steps_of(workload), fit(1))


def repeated_texts(write: Callable[[], np.ndarray], workload: Workload) -> Timed:
    """Time per token of whole texts, as many tokens as the context has; sides must agree about the mean token."""
    return Timed(repeated(write), "whole texts", workload.sizes[0], float(np.mean(write())))


def best_rate(work: float, call: Callable[[], Any], seconds: float = 0.3) -> float:
    """Work a second in the fastest of the calls that fit into the time."""
    call()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return work / best


def serve(worker: Worker, source: TextIO, target: TextIO) -> None:
    """Answer until the source ends or says "quit"."""
    for line in source:
        request = json.loads(line)
        if request["do"] == "quit":
            return
        target.write(json.dumps(worker.answer(request)) + "\n")
        target.flush()


def main(library: Library) -> None:
    """Answers go to what was standard output; what libraries print goes to standard error."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        serve(Worker(library), sys.stdin, answers)
