"""Callbacks that end a run: when it no longer improves, and when the loss is no longer a number.

In: the numbers of each epoch, the loss of each step.
Out: `trainer.stop(reason)`, and the best weights put back.
"""

from __future__ import annotations

import math
from typing import Any

from thalweg.train.callbacks.base import Callback, Monitor, Priority, number, whole_number
from thalweg.train.weights import copy_state


class EarlyStopping(Callback):
    """Stop when a monitored number has not improved for `patience` epochs.

    Args:
        monitor: a name from the logs, default ``"val_loss"``.
        min_delta: what counts as an improvement: better by more than this. Default 0.
        patience: epochs without improvement after which to stop. Default 0: at the first.
        verbose: accepted for Keras' sake; the reason is in `history.stop_reason`.
        mode: "min", "max" or "auto" (default), which asks the metric and takes the lower loss.
        baseline: the epochs without improvement are counted until the number is better than this, too.
        restore_best_weights: at the end of the run put back the weights of the best epoch, whether the run was stopped,
            interrupted, or came to its last epoch. Default False.
        start_from_epoch: epochs at the start that are not looked at. Default 0.

    Attributes:
        best, best_epoch: the best number and its epoch (from 0). stopped_epoch: where it stopped, or None.

    Arguments and documented rules are those of Keras 3; Prechelt, "Early stopping - but when?" (1998).

    >>> EarlyStopping("val_accuracy", patience=3, restore_best_weights=True)
    EarlyStopping(monitor='val_accuracy', patience=3)
    """

    priority = Priority.DECIDE
    adds_logs = False

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        where = "EarlyStopping"
        self.watched = Monitor(monitor, mode, where)
        self.min_delta = abs(number("min_delta", min_delta, -math.inf, where))
        self.patience = whole_number("patience", patience, 0, where)
        self.baseline = None if baseline is None else number("baseline", baseline, -math.inf, where)
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = whole_number("start_from_epoch", start_from_epoch, 0, where)
        self.best, self.best_epoch, self.stopped_epoch = math.nan, -1, None
        self.waited = 0
        self._best_weights: dict[str, Any] | None = None

    def on_fit_begin(self, trainer: Any) -> None:
        self.watched.begin(trainer)
        self.best, self.best_epoch, self.stopped_epoch = self.watched.worst, -1, None
        self.waited, self._best_weights = 0, None

    def on_epoch_end(self, trainer: Any) -> None:
        if trainer.state.epoch < self.start_from_epoch:
            return
        value = self.watched.read(trainer)
        self.waited += 1
        if self.watched.is_better(value, self.best, self.min_delta):
            self._keep(value, trainer)
        if self.waited >= max(self.patience, 1) and trainer.state.epoch > 0:
            self.stopped_epoch = trainer.state.epoch
            trainer.stop(self._reason())

    def _keep(self, value: float, trainer: Any) -> None:
        self.best, self.best_epoch = value, trainer.state.epoch
        if self.restore_best_weights:
            self._best_weights = copy_state(trainer.model)
        if self.baseline is None or self.watched.is_better(value, self.baseline, self.min_delta):
            self.waited = 0

    def _reason(self) -> str:
        has_best = self.best_epoch >= 0
        best = f"the best was {self.best:.6g} in epoch {self.best_epoch + 1}" if has_best else "it never did"
        return f"{self.watched.name} has not improved for {self.waited} epochs; {best}"

    def state_dict(self) -> dict[str, Any]:
        names = ("best", "best_epoch", "stopped_epoch", "waited")
        return {name: getattr(self, name) for name in names} | {"best_weights": self._best_weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self.stopped_epoch, self.waited = state["stopped_epoch"], state["waited"]
        self._best_weights = state["best_weights"] if self.restore_best_weights else None

    def on_fit_end(self, trainer: Any) -> None:
        if self._best_weights is not None and trainer.state.exception is None:
            trainer.model.load_state_dict(self._best_weights)
        self._best_weights = None

    def __repr__(self) -> str:
        return f"EarlyStopping(monitor={self.watched.name!r}, patience={self.patience})"


class TerminateOnNaN(Callback):
    """Stop at the first step whose loss is NaN or infinite. The weights are then spoilt already; see ModelCheckpoint.

    >>> TerminateOnNaN()
    TerminateOnNaN()
    """

    priority = Priority.DECIDE
    adds_logs = False

    def on_slice_end(self, trainer: Any) -> None:
        loss = trainer.state.loss.item()  # of the last step: a slice ends where the loss is no number
        if not math.isfinite(loss):
            trainer.stop(f"the loss is {loss} at step {trainer.state.step}, epoch {trainer.state.epoch + 1}")
