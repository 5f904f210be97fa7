"""Interleaved rounds: every side runs a block of calls in turn, again and again, until the ratios are known.

In: workers, a workload and a `Plan`. Out: an `Outcome`: seconds a step (or what else the row counts) for every round
and side, ratios with their uncertainty, first calls, and the reasons why a side is missing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bench.client import WorkerError
from bench.peers import SIDES
from bench.stability import Ratio, paired_ratio
from bench.workloads import Workload

OURS = "thalweg"
UNDECORATED_CALLS = 24  # until a plain loop is compiled as what it repeats


class Asked(Protocol):
    """What the harness needs of a worker."""

    def ask(self, do: str, **rest: Any) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Plan:
    """How long to measure. A block is many calls, so that the clock and one interruption do not matter."""

    block: float = 0.05  # seconds
    warm_up: float = 0.5
    warm_up_calls: int = 1  # at least
    least_rounds: int = 7
    most_rounds: int = 31
    most_seconds: float = 20.0  # of a row; a block may be a single call that takes much longer than a block
    tolerance: float = 0.04  # a ratio is stable when it is known to this part of itself
    hopeless: float = 1.5  # a side's variants that the warm-up shows slower by this factor are not measured in rounds

    def for_row(self, row: Workload) -> Plan:
        """Some rows take long, or give the same number every time."""
        least = self.least_rounds if row.rounds is None else min(row.rounds, self.least_rounds)
        most = self.most_rounds if row.unit == "seconds" else least
        calls = self.warm_up_calls if row.is_compiled else UNDECORATED_CALLS
        return replace(self, least_rounds=least, most_rounds=most, most_seconds=row.seconds or self.most_seconds,
                       warm_up_calls=calls)  # fmt: skip


@dataclass
class Contender:
    """A worker with one variant of one side in it."""

    worker: Asked
    variant: str
    calls: int = 1  # that fill a block
    steps: int = 1  # of a call
    estimate: float = 0.0  # seconds a step, from the warm-up

    def run(self, calls: int) -> float:
        seconds: float = self.worker.ask("run", calls=calls, variant=self.variant)["seconds"]
        return seconds


@dataclass
class Outcome:
    """One row, measured. Keys are those of `SIDES`; behind an "@" stands which number of threads, which variant."""

    workload: Workload
    plan: Plan
    seconds: dict[str, list[float]] = field(default_factory=dict)
    first_calls: dict[str, float | None] = field(default_factory=dict)
    first_results: dict[str, float | None] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    set_aside: dict[str, float] = field(default_factory=dict)  # seconds in the warm-up of what was far behind

    def median(self, key: str) -> float | None:
        return statistics.median(self.seconds[key]) if self.seconds.get(key) else None

    def best(self, side: str) -> str | None:
        """The key of the side's fastest variant."""
        keys = [key for key in self.seconds if side_of(key) == side and self.seconds[key]]
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


def side_of(key: str) -> str:
    """
    >>> side_of("torch@2 threads, DataLoader")
    'torch'
    """
    return key.partition("@")[0]


def variant_key(key: str, variant: str) -> str:
    """
    >>> variant_key("torch@2 threads", "DataLoader"), variant_key("torch", "DataLoader"), variant_key("jax", "")
    ('torch@2 threads, DataLoader', 'torch@DataLoader', 'jax')
    """
    return f"{key}{', ' if '@' in key else '@'}{variant}" if variant else key


def measure(workload: Workload, workers: Mapping[str, Asked], plan: Plan) -> Outcome:
    """Build, warm up, and time the row on every side that has it."""
    outcome = Outcome(workload, plan.for_row(workload))
    contenders = {}
    for key, each in _contenders(workload, workers).items():
        try:
            _prepare(outcome, key, each)
            contenders[key] = each
        except WorkerError as error:
            outcome.missing[key] = str(error)
    if contenders:
        _rounds(outcome, _without_hopeless(outcome, contenders))
    return outcome


def _contenders(workload: Workload, workers: Mapping[str, Asked]) -> dict[str, Contender]:
    return {
        variant_key(key, variant): Contender(worker, variant)
        for key, worker in workers.items()
        if side_of(key) in (OURS, *workload.peers)
        for variant in SIDES[side_of(key)].variants.get(workload.family, ("",))
    }


def _prepare(outcome: Outcome, key: str, each: Contender) -> None:
    """Build, warm up, and find out how many calls fill a block."""
    answer = each.worker.ask("build", name=outcome.workload.name, variant=each.variant)
    outcome.first_calls[key], outcome.how[key] = answer["first_call"], answer["how"]
    outcome.first_results[key] = answer["first_result"]
    each.steps = answer.get("steps", 1)
    if outcome.workload.unit != "seconds":
        return
    calls, spent, made, plan = 1, 0.0, 0, outcome.plan
    while True:
        seconds = each.run(calls)
        spent, made = spent + seconds, made + calls
        if seconds < plan.block / 2:
            calls *= 2
        elif spent >= plan.warm_up and made >= plan.warm_up_calls:
            each.calls = max(1, round(plan.block / (seconds / calls)))
            each.estimate = seconds / calls / each.steps
            return


def _without_hopeless(outcome: Outcome, contenders: Mapping[str, Contender]) -> dict[str, Contender]:
    """Leave out what cannot be the fastest of its side; its time in the warm-up is kept."""
    best: dict[str, float] = {}
    for key, each in contenders.items():
        best[side_of(key)] = min(each.estimate, best.get(side_of(key), each.estimate))
    for key, each in contenders.items():
        if each.estimate > outcome.plan.hopeless * best[side_of(key)]:
            outcome.set_aside[key] = each.estimate
    return {key: each for key, each in contenders.items() if key not in outcome.set_aside}


def _rounds(outcome: Outcome, contenders: Mapping[str, Contender]) -> None:
    """Each round begins with another side, so that nobody always runs after the same neighbour."""
    plan, end = outcome.plan, time.perf_counter() + outcome.plan.most_seconds
    outcome.seconds = {key: [] for key in contenders}
    for number in range(plan.most_rounds):
        keys = list(outcome.seconds)
        first = number % max(1, len(keys))
        for key in keys[first:] + keys[:first]:
            each = contenders[key]
            try:
                outcome.seconds[key].append(each.run(each.calls) / each.calls / each.steps)
            except WorkerError as error:
                outcome.missing[key] = str(error)
                del outcome.seconds[key]
        if number + 1 >= plan.least_rounds and (outcome.is_stable or time.perf_counter() > end):
            return
