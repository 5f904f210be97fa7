"""Schedules with a shape: cosine annealing, with warm restarts, cyclical rates and the one-cycle policy.

In: the step. Out: the learning rate. t is the step, counted from 0.
Cosines and triangles are written with floors and minima instead of branches, so that a compiled step computes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from thalweg.optim.schedules.base import Schedule, is_number, require, require_counts, require_rates
from thalweg.tensor import full_like, where


def _cosine(start: float, end: float, fraction: Any) -> Any:
    """From `start` to `end` along half a cosine wave, as `fraction` goes from 0 to 1."""
    return end + (start - end) * 0.5 * (1.0 + (math.pi * fraction).cos())


def _linear(start: float, end: float, fraction: Any) -> Any:
    return start + (end - start) * fraction


@dataclass(frozen=True)
class CosineAnnealing(Schedule):
    """eta_min + (lr - eta_min) (1 + cos(π t / T_max)) / 2, and eta_min from T_max on.

    Loshchilov and Hutter 2017, "SGDR", equation 5, without restarts. PyTorch's CosineAnnealingLR lets the rate rise
    again after T_max, which those who train a little longer than planned call a mistake; here it stays down, unless
    `rises_again`.

    >>> CosineAnnealing(lr=1.0, T_max=4).values(6).round(4)
    array([1.    , 0.8536, 0.5   , 0.1464, 0.    , 0.    ])
    """

    lr: float
    T_max: int
    eta_min: float = 0.0
    rises_again: bool = False

    def __post_init__(self) -> None:
        require_rates(self, "lr", "eta_min")
        require_counts(self, "T_max")

    def formula(self, t: Any) -> Any:
        return _cosine(self.lr, self.eta_min, (t if self.rises_again else t.clamp(max=self.T_max)) / self.T_max)


@dataclass(frozen=True)
class CosineWarmRestarts(Schedule):
    """Cosine annealing that starts again from lr: after T_0 steps, then after periods that grow by the factor T_mult.

    eta_min + (lr - eta_min) (1 + cos(π c / T_i)) / 2, where c counts from the last restart and T_i = T_0 T_mult^i.
    Loshchilov and Hutter 2017, "SGDR: Stochastic gradient descent with warm restarts". As PyTorch.

    >>> CosineWarmRestarts(lr=1.0, T_0=2, T_mult=2).values(7).round(4)
    array([1.    , 0.5   , 1.    , 0.8536, 0.5   , 0.1464, 1.    ])
    """

    lr: float
    T_0: int
    T_mult: int = 1
    eta_min: float = 0.0

    def __post_init__(self) -> None:
        require_rates(self, "lr", "eta_min")
        require_counts(self, "T_0", "T_mult")

    def formula(self, t: Any) -> Any:
        start, length = self._period(t)
        return _cosine(self.lr, self.eta_min, (t - start) / length)

    def _period(self, t: Any) -> tuple[Any, Any]:
        """The step at which the period of t began, and how long it is."""
        if self.T_mult == 1:
            return (t / self.T_0).floor() * self.T_0, self.T_0
        # Period i starts at T_0 (T_mult^i - 1) / (T_mult - 1). The logarithm that inverts this can miss by a rounding
        # at a restart, so its answer is put right by comparing whole numbers.
        i = ((1.0 + t * (self.T_mult - 1) / self.T_0).log() / math.log(self.T_mult)).floor()
        i = i - (t < self._start(i)).double()
        i = i + (t >= self._start(i + 1.0)).double()
        start = self._start(i)
        return start, self._start(i + 1.0) - start

    def _start(self, i: Any) -> Any:
        return (self.T_0 * (float(self.T_mult) ** i - 1.0) / (self.T_mult - 1)).round()


CYCLE_MODES = ("triangular", "triangular2", "exp_range")


@dataclass(frozen=True)
class Cyclical(Schedule):
    """The rate goes from base_lr to max_lr in step_size_up steps, back in step_size_down, and so on.

    The height of the triangle is scaled by `mode`: 1 for "triangular", 2^-(cycle number) for "triangular2", gamma^t
    for "exp_range". `step_size_down` defaults to `step_size_up`. Smith 2017, "Cyclical learning rates for training
    neural networks". As PyTorch's CyclicLR, which also cycles the momentum: here, `momentum` takes a schedule.

    >>> Cyclical(base_lr=0.0, max_lr=1.0, step_size_up=2, mode="triangular2").values(8).round(4)
    array([0.  , 0.5 , 1.  , 0.5 , 0.  , 0.25, 0.5 , 0.25])
    """

    base_lr: float
    max_lr: float
    step_size_up: int = 2000
    step_size_down: int | None = None
    mode: str = "triangular"
    gamma: float = 1.0

    def __post_init__(self) -> None:
        require_rates(self, "base_lr", "max_lr", "gamma")
        require_counts(self, "step_size_up", *(() if self.step_size_down is None else ("step_size_down",)))
        require(self, "mode", self.mode in CYCLE_MODES, "one of " + ", ".join(CYCLE_MODES))

    def formula(self, t: Any) -> Any:
        down = self.step_size_down or self.step_size_up
        cycle = (t / (self.step_size_up + down)).floor()
        within = t - cycle * (self.step_size_up + down)
        rising = within / self.step_size_up
        falling = 1.0 - (within - self.step_size_up) / down
        height = where(within <= self.step_size_up, rising, falling)
        return self.base_lr + (self.max_lr - self.base_lr) * height * self._scale(cycle, t)

    def _scale(self, cycle: Any, t: Any) -> Any:
        if self.mode == "triangular":
            return 1.0
        return 0.5**cycle if self.mode == "triangular2" else self.gamma**t


@dataclass(frozen=True)
class OneCycle(Schedule):
    """One rise and one long fall: from max_lr / div_factor to max_lr, then far below where it began.

    The rise takes `pct_start` of the steps; the fall ends at max_lr / (div_factor final_div_factor) at step
    total_steps - 1. With `three_phase` the fall first mirrors the rise and then goes on to the end. Each part is half
    a cosine wave or, with anneal_strategy="linear", a line. Smith and Topin 2018, "Super-convergence"; Smith 2018, "A
    disciplined approach to neural network hyper-parameters".

    As PyTorch's OneCycleLR, with two differences: after the last step the rate stays at its end (PyTorch raises), and
    a phase shorter than a step is left out (PyTorch divides by zero). PyTorch also cycles the momentum: here, give
    `momentum` a schedule of its own.

    >>> OneCycle(max_lr=1.0, total_steps=11, pct_start=0.5, div_factor=4, anneal_strategy="linear")(4.5)
    1.0
    """

    max_lr: float
    total_steps: int
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False

    def __post_init__(self) -> None:
        require_rates(self, "max_lr", "div_factor", "final_div_factor")
        require_counts(self, "total_steps")
        require(self, "pct_start", 0 <= self.pct_start <= 1, "a fraction from 0 to 1")
        require(self, "anneal_strategy", self.anneal_strategy in ("cos", "linear"), "'cos' or 'linear'")
        require(self, "div_factor", self.div_factor > 0, "a number above 0")
        require(self, "final_div_factor", self.final_div_factor > 0, "a number above 0")

    def formula(self, t: Any) -> Any:
        return _through(self._corners(), self.anneal_strategy, t)

    def _corners(self) -> list[tuple[float, float]]:
        """(step, rate) at the ends of the phases."""
        first = self.max_lr / self.div_factor
        peak, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        mirrored = [(2 * self.pct_start * self.total_steps - 2, first)] if self.three_phase else []
        return [(0, first), (peak, self.max_lr), *mirrored, (last, first / self.final_div_factor)]


@dataclass(frozen=True)
class Piecewise(Schedule):
    """Through the given values at the given steps: along half cosine waves ("cos") or lines ("linear") between them.

    Before the first step the first value holds, after the last the last. Two values at one step are a jump.

    >>> Piecewise(steps=(0, 4, 6), levels=(0.95, 0.85, 0.95), anneal_strategy="linear").values(7).round(3)
    array([0.95 , 0.925, 0.9  , 0.875, 0.85 , 0.9  , 0.95 ])
    """

    steps: tuple[float, ...]
    levels: tuple[float, ...]
    anneal_strategy: str = "cos"

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        object.__setattr__(self, "levels", tuple(self.levels))
        is_rising = len(self.steps) >= 1 and all(a <= b for a, b in pairwise(self.steps))
        require(self, "steps", is_rising, "at least one step, in rising order")
        is_right = len(self.levels) == len(self.steps) and all(map(is_number, self.levels))
        require(self, "levels", is_right, f"{len(self.steps)} finite numbers of at least 0, one for each step")
        require(self, "anneal_strategy", self.anneal_strategy in ("cos", "linear"), "'cos' or 'linear'")

    def formula(self, t: Any) -> Any:
        return _through(list(zip(self.steps, self.levels, strict=True)), self.anneal_strategy, t)


def _through(corners: list[tuple[float, float]], anneal_strategy: str, t: Any) -> Any:
    """From corner (step, value) to corner; one that takes no time, or ends before step 0, is left out."""
    anneal = _cosine if anneal_strategy == "cos" else _linear
    value = full_like(t, corners[-1][1])
    phases = [(a, b) for a, b in pairwise(corners) if b[0] > a[0] and b[0] > 0]
    for (start, low), (end, high) in reversed(phases):
        fraction = ((t - start) / (end - start)).clamp(0.0, 1.0)
        value = where(t <= end, anneal(low, high, fraction), value)
    return value
