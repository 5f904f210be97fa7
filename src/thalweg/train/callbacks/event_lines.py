"""The events of a run as lines of a log: beginning, epochs, interruptions, errors, the end.

In: the Trainer, at its events. Out: events of an `EventLog`: records of the logger ``thalweg``, and JSON lines in a
file if it has one.
"""

from __future__ import annotations

from typing import Any

from thalweg.train.callbacks.base import Callback, Priority
from thalweg.train.callbacks.event_log import EventLog


class LogEvents(Callback):
    """One line for each event of a run that matters to who reads a log: not each step, each epoch.

    Nothing is shown unless somebody listens to the logger ``thalweg``: `tw.train.log_to()` does, with
    ``format="json"`` for machines.

    Args:
        log: where the lines go, by default the logger alone; ``tw.train.EventLog(run, path)`` writes a file too.

    >>> LogEvents().priority.name
    'RECORD'
    """

    priority = Priority.RECORD
    adds_logs = False

    def __init__(self, log: EventLog | None = None) -> None:
        self.log = EventLog() if log is None else log

    def on_fit_begin(self, trainer: Any) -> None:
        self.log.event("fit_begin", epochs=trainer.state.epochs, step=trainer.state.step)

    def on_epoch_end(self, trainer: Any) -> None:
        self.log.event("epoch_end", epoch=trainer.state.epoch, step=trainer.state.step, **trainer.state.logs)

    def on_exception(self, trainer: Any) -> None:
        error = trainer.state.exception
        self.log.event("exception", "error", error=f"{type(error).__name__}: {error}".split("\n")[0])

    def on_fit_end(self, trainer: Any) -> None:
        state = trainer.state
        level = "warning" if state.interrupted else "info"
        self.log.event("fit_end", level, step=state.step, interrupted=state.interrupted, stop_reason=state.stop_reason)
