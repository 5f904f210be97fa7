"""Schedules made of schedules: one after another, or multiplied.

In: schedules. Out: a schedule, so that a warm-up, a plateau and a decay need no class of their own.
They nest to any depth, and are saved and restored with what they are made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from thalweg.errors import ArgumentError, explain
from thalweg.optim.schedules.base import Schedule, is_count, require
from thalweg.tensor import where


def _take_schedules(owner: Schedule) -> None:
    given = getattr(owner, "schedules")  # noqa: B009
    if isinstance(given, Schedule) or not all(isinstance(each, Schedule) for each in given) or not given:
        raise ArgumentError(
            explain(f"{type(owner).__name__} is made of schedules", received=repr(given),
                    expected="a sequence of at least one schedule", remedy="wrap a plain rate in schedules.Constant")
        )  # fmt: skip
    object.__setattr__(owner, "schedules", tuple(given))


@dataclass(frozen=True)
class Chained(Schedule):
    """One schedule after another: the next takes over at each milestone, and counts its own steps from 0 there.

    PyTorch's SequentialLR. (PyTorch's ChainedScheduler multiplies: that is `Product`.)

    >>> from thalweg.optim.schedules import Exponential, LinearWarmup
    >>> warm_then_decay = Chained([LinearWarmup(1.0, 2, start_factor=0.0), Exponential(1.0, 0.5)], milestones=[2])
    >>> warm_then_decay.values(5)
    array([0.  , 0.5 , 1.  , 0.5 , 0.25])
    """

    schedules: tuple[Schedule, ...]
    milestones: tuple[int, ...]

    def __post_init__(self) -> None:
        _take_schedules(self)
        object.__setattr__(self, "milestones", tuple(self.milestones))
        expected = f"{len(self.schedules) - 1} rising steps, one for each change of schedule"
        is_right = len(self.milestones) == len(self.schedules) - 1 and all(map(is_count, self.milestones))
        require(self, "milestones", is_right and all(a < b for a, b in pairwise(self.milestones)), expected)

    def formula(self, t: Any) -> Any:
        starts = (0, *self.milestones)
        # A schedule whose turn has not come is asked for its first value, not for one before its time.
        values = [each.formula((t - start).clamp(min=0.0)) for each, start in zip(self.schedules, starts, strict=True)]
        chosen = values[0]
        for start, value in zip(self.milestones, values[1:], strict=True):
            chosen = where(t >= start, value, chosen)
        return chosen


@dataclass(frozen=True)
class Product(Schedule):
    """The product of schedules at the same step, for example a decay times a warm-up whose own rate is 1.

    PyTorch's ChainedScheduler, where each scheduler multiplies the rate that the others left.

    >>> from thalweg.optim.schedules import Exponential, LinearWarmup
    >>> Product([Exponential(0.8, 0.5), LinearWarmup(1.0, 2, start_factor=0.5)]).values(3)
    array([0.4, 0.3, 0.2])
    """

    schedules: tuple[Schedule, ...]

    def __post_init__(self) -> None:
        _take_schedules(self)

    def formula(self, t: Any) -> Any:
        value = self.schedules[0].formula(t)
        for each in self.schedules[1:]:
            value = value * each.formula(t)
        return value
