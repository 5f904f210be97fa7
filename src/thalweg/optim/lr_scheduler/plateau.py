"""Reducing the rate when a number has stopped improving.

In: an optimizer, and at each step the number that is watched. Out: smaller rates. `tw.callbacks.ReduceLROnPlateau` is
the same rule for a `Trainer`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from thalweg.errors import ArgumentError, explain
from thalweg.optim.lr_scheduler.base import LRScheduler, checked_optimizer, current_rates, for_each_group, refuse_trace
from thalweg.optim.optimizer import Optimizer


class PlateauRule:
    """When a rate is reduced and how far, for the scheduler below and for the callback of a `Trainer`.

    Settings and counts lie in the object itself, under PyTorch's names, so that a scheduler's state is PyTorch's.
    """

    mode: str  # "min" or "max"
    factor: float
    patience: int
    threshold: float
    threshold_mode: str  # "rel" or "abs"
    cooldown: int
    eps: float
    best: float
    num_bad_epochs: int
    cooldown_counter: int

    @property
    def in_cooldown(self) -> bool:
        return self.cooldown_counter > 0

    def begin_to_wait(self) -> None:
        """Nothing has been seen yet."""
        self.best = math.inf if self.mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0

    def has_waited_enough(self, value: float) -> bool:
        """Note the number of this epoch; whether the rates are to be reduced now, after which the waiting begins anew.

        NaN is never better.
        """
        if self.is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs <= self.patience:
            return False
        self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        return True

    def is_better(self, value: float) -> bool:
        """Whether the number improves on the best one by more than the threshold."""
        sign = 1.0 if self.mode == "max" else -1.0
        if self.threshold_mode == "rel":
            bound = self.best * (1.0 + sign * self.threshold)
        else:
            bound = self.best + sign * self.threshold
        return value > bound if self.mode == "max" else value < bound

    def reduced(self, rate: float, least: float) -> float:
        """The next smaller rate, or the same if it would hardly change."""
        new = max(rate * self.factor, least)
        return new if rate - new > self.eps else rate


class ReduceLROnPlateau(PlateauRule, LRScheduler):
    """lr <- max(lr · factor, min_lr), after more than `patience` steps in a row without improvement. PyTorch's.

    Better means below best · (1 - threshold) with threshold_mode "rel" (for mode "max": above best · (1 + threshold)),
    below best - threshold with "abs". After a reduction bad steps are not counted for `cooldown` steps. A change of the
    rate by less than `eps` is left out.

    >>> import thalweg as tw
    >>> optimizer = tw.optim.SGD([tw.zeros(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tw.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
    >>> for loss in [1.0, 0.9, 0.9, 0.9]:
    ...     scheduler.step(loss)
    >>> scheduler.get_last_lr()
    [0.1]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        self.optimizer = checked_optimizer(optimizer, "ReduceLROnPlateau")
        if not 0.0 <= factor < 1.0:
            received, expected = repr(factor), "at least 0 and less than 1"
            raise ArgumentError(explain("this factor reduces nothing", received=received, expected=expected))
        _check_choice("mode", mode, ("min", "max"))
        _check_choice("threshold_mode", threshold_mode, ("rel", "abs"))
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown, self.eps = threshold, threshold_mode, cooldown, eps
        self.min_lrs = for_each_group("min_lr", min_lr, optimizer)
        self.begin_to_wait()
        self.last_epoch = 0
        self._last_lr = current_rates(optimizer)

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Look at the number of this epoch."""
        refuse_trace("ReduceLROnPlateau")
        current = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self.has_waited_enough(current):
            self._reduce()
        self._last_lr = current_rates(self.optimizer)

    def _reduce(self) -> None:
        least = self.min_lrs if len(self.min_lrs) == len(self.optimizer.param_groups) else self.min_lrs[0]
        for group, low in zip(self.optimizer.param_groups, for_each_group("", least, self.optimizer), strict=True):
            group["lr"] = self.reduced(group["lr"], low)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        expected = " or ".join(map(repr, choices))
        raise ArgumentError(explain(f"ReduceLROnPlateau: unknown {name}", received=repr(value), expected=expected))
