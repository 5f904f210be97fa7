"""`History`: every number of a run, by epoch and by step, in lists that can be plotted.

In: the logs of each epoch and the loss of each step.
Out: `.history`, `.steps`, and how the run ended.
"""

from __future__ import annotations

import time
from typing import Any

from thalweg.report.curves import history_html
from thalweg.train.callbacks.base import Callback, Priority


class History(Callback):
    """The record that `Trainer.fit` returns.

    Attributes:
        history: a list for each name, one entry a whole epoch: ``loss``, the metrics, the same with ``val_`` before
            them, ``learning_rate``, ``seconds``.
        epoch: the numbers of these epochs, from 0.
        steps: a list for each name, one entry a step, of whole and of interrupted epochs: ``step``, ``epoch``,
            ``loss``, ``learning_rate``, and what callbacks watch, such as ``gradient_norm/0``. A quantity that is
            watched every few steps is None in between.
        interrupted: whether Ctrl-C ended the run.
        stop_reason: why it ended before its last epoch, or None.

    >>> import thalweg as tw
    >>> trainer = tw.Trainer(tw.nn.Linear(1, 1), loss="mse", progress=False)
    >>> history = trainer.fit([[0.0], [1.0]], [[0.0], [1.0]], epochs=3)
    >>> len(history["loss"]), history.epoch
    (3, [0, 1, 2])
    """

    priority = Priority.RECORD
    adds_logs = False

    def __init__(self) -> None:
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []
        self.steps: dict[str, list[Any]] = {"step": [], "epoch": [], "loss": [], "learning_rate": []}
        self.interrupted = False
        self.stop_reason: str | None = None
        self._started = 0.0

    def __getitem__(self, name: str) -> list[Any]:
        return self.history[name]

    def on_epoch_begin(self, trainer: Any) -> None:
        self._started = time.perf_counter()

    def on_slice_end(self, trainer: Any) -> None:
        numbers = trainer.state.slice
        columns = {"step": numbers.steps, "epoch": [numbers.epoch] * len(numbers), "loss": numbers.loss}
        _extend(self.steps, columns | {"learning_rate": numbers.learning_rate} | numbers.watched, len(numbers))

    def on_epoch_end(self, trainer: Any) -> None:
        state = trainer.state
        state.logs.setdefault("learning_rate", state.learning_rate)
        state.logs.setdefault("seconds", time.perf_counter() - self._started)
        self.epoch.append(state.epoch)
        _extend(self.history, {name: [value] for name, value in state.logs.items()}, 1)

    def state_dict(self) -> dict[str, Any]:
        seconds = time.perf_counter() - self._started  # of the epoch under way
        return {"history": self.history, "epoch": self.epoch, "steps": self.steps, "seconds": seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history, self.epoch, self.steps = state["history"], state["epoch"], state["steps"]
        self._started = time.perf_counter() - state["seconds"]

    def on_fit_end(self, trainer: Any) -> None:
        self.interrupted = trainer.state.interrupted
        self.stop_reason = trainer.state.stop_reason

    def _repr_html_(self) -> str:
        """The last and the best epoch as a table, and the curves where matplotlib is there, for notebooks."""
        return history_html(self.steps, self.history)

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items() if _is_number(values[-1]))
        return f"History({len(self.epoch)} epochs: {last})" if self.epoch else "History(0 epochs)"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _extend(lists: dict[str, list[Any]], columns: dict[str, list[Any]], count: int) -> None:
    """Add `count` entries to every list; a name that is new, or missing this time, is filled with None."""
    for name in columns.keys() - lists.keys():
        lists[name] = [None] * max(map(len, lists.values()), default=0)
    for name, values in lists.items():
        values.extend(columns.get(name) or [None] * count)
