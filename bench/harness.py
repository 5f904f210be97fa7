"""Interleaved rounds: every side runs a block of calls in turn, again and again, until the ratios are known.

In: workers, a workload and a `Plan`. Out: an `Outcome`: seconds a call for every round and side, ratios with their
uncertainty, first calls, and the reasons why a side is missing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bench.client import WorkerError
from bench.stability import Ratio, paired_ratio
from bench.workloads import Workload

OURS = "thalweg"


class Asked(Protocol):
    """What the harness needs of a worker."""

    def ask(self, do: str, **rest: Any) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Plan:
    """How long to measure. A block is many calls, so that the clock and one interruption do not matter."""

    block: float = 0.05  # seconds
    warm_up: float = 0.5
    least_rounds: int = 7
    most_rounds: int = 31
    most_seconds: float = 20.0  # of a row; a block may be a single call that takes much longer than a block
    tolerance: float = 0.04  # a ratio is stable when it is known to this part of itself


@dataclass
class Outcome:
    """One row, measured. Keys are those of `SIDES`, with "@2" behind them where threads are chosen."""

    workload: Workload
    plan: Plan
    seconds: dict[str, list[float]] = field(default_factory=dict)
    first_calls: dict[str, float | None] = field(default_factory=dict)
    first_results: dict[str, float | None] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def median(self, key: str) -> float | None:
        return statistics.median(self.seconds[key]) if self.seconds.get(key) else None

    def best(self, side: str) -> str | None:
        """The key of the side's fastest variant."""
        keys = [key for key in self.seconds if key.partition("@")[0] == side and self.seconds[key]]
        return min(keys, key=lambda key: statistics.median(self.seconds[key]), default=None)

    def ratio(self, sides: Iterable[str]) -> Ratio | None:
        """The fastest of the sides against us: above 1 we are ahead."""
        mine = self.best(OURS)
        found = [
            paired_ratio(self.seconds[key], self.seconds[mine])
            for side in sides
            if mine and (key := self.best(side)) is not None
        ]
        return min(found, key=lambda ratio: ratio.value, default=None)

    @property
    def is_stable(self) -> bool:
        ratios = [ratio for side in self.workload.peers if (ratio := self.ratio([side])) is not None]
        return all(ratio.uncertainty <= self.plan.tolerance for ratio in ratios)

    @property
    def disagreement(self) -> float:
        """How far apart the sides' first losses are, relatively: they started from the same numbers."""
        values = [each for each in self.first_results.values() if each is not None]
        return (max(values) - min(values)) / max(map(abs, values), default=1) if len(values) > 1 else 0.0


def measure(workload: Workload, workers: Mapping[str, Asked], plan: Plan) -> Outcome:
    """Build, warm up, and time the row on every side that has it."""
    outcome = Outcome(workload, plan)
    calls = {}
    for key, worker in workers.items():
        if key.partition("@")[0] not in (OURS, *workload.peers):
            continue
        try:
            calls[key] = _prepare(outcome, key, worker)
        except WorkerError as error:
            outcome.missing[key] = str(error)
    if calls:
        _rounds(outcome, {key: workers[key] for key in calls}, calls)
    return outcome


def _prepare(outcome: Outcome, key: str, worker: Asked) -> int:
    """Build and warm up; the number of calls that fill a block."""
    answer = worker.ask("build", name=outcome.workload.name)
    outcome.first_calls[key], outcome.how[key] = answer["first_call"], answer["how"]
    outcome.first_results[key] = answer["first_result"]
    calls, spent, plan = 1, 0.0, outcome.plan
    while True:
        seconds = worker.ask("run", calls=calls)["seconds"]
        spent += seconds
        if seconds < plan.block / 2:
            calls *= 2
        elif spent >= plan.warm_up:
            return max(1, round(plan.block / (seconds / calls)))


def _rounds(outcome: Outcome, workers: Mapping[str, Asked], calls: Mapping[str, int]) -> None:
    """Each round begins with another side, so that nobody always runs after the same neighbour."""
    keys, plan = list(workers), outcome.plan
    outcome.seconds = {key: [] for key in keys}
    end = time.perf_counter() + plan.most_seconds
    for number in range(plan.most_rounds):
        first = number % len(keys)
        for key in keys[first:] + keys[:first]:
            outcome.seconds[key].append(workers[key].ask("run", calls=calls[key])["seconds"] / calls[key])
        if number + 1 >= plan.least_rounds and (outcome.is_stable or time.perf_counter() > end):
            return
