"""Schedules that only go down, or only up: constant, by steps, by a formula, and the linear warm-up.

In: the step. Out: the learning rate. `lr` is the rate that the formula starts from (for the warm-up: ends at);
t is the step, counted from 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from thalweg.optim.schedules.base import Schedule, is_count, require, require_counts, require_rates
from thalweg.tensor import full_like


@dataclass(frozen=True)
class Constant(Schedule):
    """lr at every step.

    >>> Constant(lr=0.1)(1000)
    0.1
    """

    lr: float

    def __post_init__(self) -> None:
        require_rates(self, "lr")

    def formula(self, t: Any) -> Any:
        return full_like(t, self.lr)


@dataclass(frozen=True)
class StepDecay(Schedule):
    """lr γ^⌊t / step_size⌋: the rate falls by a factor every `step_size` steps. PyTorch's StepLR.

    >>> StepDecay(lr=1.0, step_size=2, gamma=0.1).values(5)
    array([1.  , 1.  , 0.1 , 0.1 , 0.01])
    """

    lr: float
    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        require_rates(self, "lr", "gamma")
        require_counts(self, "step_size")

    def formula(self, t: Any) -> Any:
        return self.lr * self.gamma ** (t / self.step_size).floor()


@dataclass(frozen=True)
class MultiStep(Schedule):
    """lr γ^(how many milestones are at or before t): the rate falls at each milestone. PyTorch's MultiStepLR.

    >>> MultiStep(lr=1.0, milestones=(2, 3), gamma=0.1).values(4)
    array([1.  , 1.  , 0.1 , 0.01])
    """

    lr: float
    milestones: tuple[int, ...]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        require_rates(self, "lr", "gamma")
        object.__setattr__(self, "milestones", tuple(self.milestones))
        require(self, "milestones", all(map(is_count, self.milestones)), "whole numbers of at least 1")

    def formula(self, t: Any) -> Any:
        passed: Any = full_like(t, 0.0)
        for each in self.milestones:
            passed = passed + (t >= each).double()
        return self.lr * self.gamma**passed


@dataclass(frozen=True)
class Exponential(Schedule):
    """lr γ^t. PyTorch's ExponentialLR.

    >>> Exponential(lr=1.0, gamma=0.9)(2)
    0.81
    """

    lr: float
    gamma: float

    def __post_init__(self) -> None:
        require_rates(self, "lr", "gamma")

    def formula(self, t: Any) -> Any:
        return self.lr * self.gamma**t


@dataclass(frozen=True)
class Polynomial(Schedule):
    """end + (lr - end) (1 - t / total_steps)^power, and `end` from then on. PyTorch's PolynomialLR has end = 0.

    Power 1 is a straight line.

    >>> Polynomial(lr=1.0, total_steps=4, power=2.0).values(6)
    array([1.    , 0.5625, 0.25  , 0.0625, 0.    , 0.    ])
    """

    lr: float
    total_steps: int
    power: float = 1.0
    end: float = 0.0

    def __post_init__(self) -> None:
        require_rates(self, "lr", "end", "power")
        require_counts(self, "total_steps")

    def formula(self, t: Any) -> Any:
        left = 1.0 - t.clamp(max=self.total_steps) / self.total_steps
        return self.end + (self.lr - self.end) * left**self.power


@dataclass(frozen=True)
class InverseTime(Schedule):
    """lr / (1 + decay_rate t / decay_steps); with `staircase` the quotient is rounded down.

    The decay under which stochastic gradient descent provably converges on a convex problem (Robbins and Monro 1951:
    the rates sum to infinity, their squares do not).

    >>> InverseTime(lr=1.0, decay_rate=1.0).values(4).round(4)
    array([1.    , 0.5   , 0.3333, 0.25  ])
    """

    lr: float
    decay_rate: float
    decay_steps: int = 1
    staircase: bool = False

    def __post_init__(self) -> None:
        require_rates(self, "lr", "decay_rate")
        require_counts(self, "decay_steps")

    def formula(self, t: Any) -> Any:
        periods = t / self.decay_steps
        return self.lr / (1.0 + self.decay_rate * (periods.floor() if self.staircase else periods))


@dataclass(frozen=True)
class LinearWarmup(Schedule):
    """lr (s + (e - s) t / warmup_steps) with s = start_factor and e = end_factor, and lr e from then on.

    PyTorch's LinearLR.

    A large rate on fresh random weights can throw them far away; starting low avoids that (Goyal et al. 2017,
    "Accurate, large minibatch SGD", 2.2). What comes after the warm-up is `Chained` behind it. The default factor is
    PyTorch's; 0 would make the first update none at all.

    >>> LinearWarmup(lr=1.0, warmup_steps=4, start_factor=0.2).values(6)
    array([0.2, 0.4, 0.6, 0.8, 1. , 1. ])
    """

    lr: float
    warmup_steps: int
    start_factor: float = 1.0 / 3.0
    end_factor: float = 1.0

    def __post_init__(self) -> None:
        require_rates(self, "lr", "start_factor", "end_factor")
        require_counts(self, "warmup_steps")

    def formula(self, t: Any) -> Any:
        done = t.clamp(max=self.warmup_steps) / self.warmup_steps
        return self.lr * (self.start_factor + (self.end_factor - self.start_factor) * done)
