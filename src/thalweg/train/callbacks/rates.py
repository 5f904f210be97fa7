"""Callbacks that change the learning rate between epochs: on a plateau, or by a function of the epoch.

In: a monitored number, or the epoch. Out: new rates in the optimizer's groups, from the next step on. Rates that change
with every step are schedules of the optimizer (`tw.optim.schedules`), not callbacks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from thalweg.errors import ArgumentError, DTypeError, explain
from thalweg.optim.lr_scheduler.plateau import PlateauRule
from thalweg.train.callbacks.base import Callback, Monitor, Priority, number, whole_number
from thalweg.train.learning_rate import learning_rates, require_settable, set_learning_rates

# What is saved of a plateau, by the names that stand in files: those of the callback's first version.
_SAVED = {
    "best": "best", "bad_epochs": "num_bad_epochs", "cooling": "cooldown_counter", "reduced_epochs": "reduced_epochs"
}  # fmt: skip


class ReduceLROnPlateau(PlateauRule, Callback):
    """Multiply the learning rate by `factor` when a monitored number has stopped improving.

    lr <- max(lr · factor, min_lr), after more than `patience` epochs in a row without improvement. Better means lower
    than best · (1 - threshold) with ``threshold_mode="rel"`` (for mode "max": higher than best · (1 + threshold)), and
    lower than best - threshold with "abs".

    Args:
        monitor: a name from the logs, default ``"val_loss"``.
        factor: in [0, 1), default 0.1. patience: default 10.
        mode: "min", "max" or "auto" (default), as for `EarlyStopping`.
        threshold: default 1e-4. threshold_mode: "rel" (default) or "abs".
        cooldown: epochs after a reduction during which bad epochs are not counted. Default 0.
        min_lr: no rate goes below; a number, or one for each parameter group. Default 0.
        eps: a smaller change of the rate is left out. Default 1e-8.
        min_delta: Keras' name: the same as threshold with threshold_mode="abs".

    Arguments and rules are PyTorch's `ReduceLROnPlateau`, as a callback.

    >>> ReduceLROnPlateau(factor=0.5, patience=3)
    ReduceLROnPlateau(monitor='val_loss', factor=0.5, patience=3)
    """

    priority = Priority.DECIDE
    adds_logs = False

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
        min_delta: float | None = None,
    ) -> None:
        where = "ReduceLROnPlateau"
        self.watched = Monitor(monitor, mode, where)
        self.factor = number("factor", factor, 0.0, where, 1.0)
        if self.factor == 1.0:
            raise ArgumentError(explain("a factor of 1 reduces nothing", expected="less than 1", where=where))
        self.patience = whole_number("patience", patience, 0, where)
        self.threshold = number("threshold", threshold if min_delta is None else min_delta, 0.0, where)
        self.threshold_mode = _threshold_mode(threshold_mode) if min_delta is None else "abs"
        self.cooldown = whole_number("cooldown", cooldown, 0, where)
        rates = [min_lr] if isinstance(min_lr, int | float) else list(min_lr)
        self.min_lr = [number("min_lr", each, 0.0, where) for each in rates]
        self.eps = number("eps", eps, 0.0, where)
        self._reset()

    def _reset(self) -> None:
        self.mode = "max" if self.watched.higher_is_better else "min"
        self.begin_to_wait()
        self.reduced_epochs: list[int] = []

    def on_fit_begin(self, trainer: Any) -> None:
        require_settable(trainer.optimizer, repr(self))
        groups = len(trainer.optimizer.param_groups)
        if len(self.min_lr) not in (1, groups):
            received, expected = f"{len(self.min_lr)} rates", f"1, or one for each of {groups} parameter groups"
            raise ArgumentError(explain("min_lr does not fit", received=received, expected=expected, where=repr(self)))
        self.watched.begin(trainer)
        self._reset()

    def on_epoch_end(self, trainer: Any) -> None:
        if self.has_waited_enough(self.watched.read(trainer)):
            self._reduce(trainer)

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, attribute) for name, attribute in _SAVED.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, attribute in _SAVED.items():
            setattr(self, attribute, state[name])
        self.reduced_epochs = list(state["reduced_epochs"])

    def _reduce(self, trainer: Any) -> None:
        before = learning_rates(trainer.optimizer)
        lowest = self.min_lr * (len(before) // len(self.min_lr))
        after = [self.reduced(rate, least) for rate, least in zip(before, lowest, strict=True)]
        if after != before:
            set_learning_rates(trainer.optimizer, after)
            self.reduced_epochs.append(trainer.state.epoch)

    def __repr__(self) -> str:
        name = self.watched.name
        return f"ReduceLROnPlateau(monitor={name!r}, factor={self.factor:g}, patience={self.patience})"


def _threshold_mode(mode: str) -> str:
    if mode not in ("rel", "abs"):
        where = "ReduceLROnPlateau"
        raise ArgumentError(
            explain("unknown threshold_mode", received=repr(mode), expected="'rel' or 'abs'", where=where)
        )
    return mode


class LearningRateScheduler(Callback):
    """Set the learning rate at the start of every epoch: schedule(epoch) or schedule(epoch, lr), as in Keras.

    Args:
        schedule: a function of the epoch (from 0), and if it takes two arguments of the rate in force; it returns the
            new rate for all groups.

    >>> LearningRateScheduler(lambda epoch: 0.1 / (1 + epoch))
    LearningRateScheduler()
    """

    priority = Priority.DECIDE
    adds_logs = False

    def __init__(self, schedule: Callable[..., float]) -> None:
        if not callable(schedule):
            expected = "a function of the epoch"
            raise DTypeError(explain("this is no schedule", received=repr(schedule), expected=expected))
        self.schedule = schedule
        self._takes_rate = _count_arguments(schedule) >= 2

    def on_fit_begin(self, trainer: Any) -> None:
        require_settable(trainer.optimizer, repr(self))

    def on_epoch_begin(self, trainer: Any) -> None:
        rates = learning_rates(trainer.optimizer)
        arguments = (trainer.state.epoch, rates[0]) if self._takes_rate else (trainer.state.epoch,)
        rate = number("the learning rate", float(self.schedule(*arguments)), 0.0, repr(self))
        set_learning_rates(trainer.optimizer, [rate] * len(rates))


def _count_arguments(function: Callable[..., Any]) -> int:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    return sum(each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) for each in parameters)
