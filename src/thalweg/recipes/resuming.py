"""Going on with a run that was broken off: a checkpoint beside the weights, and the numbers that were there already.

In: a run folder whose training did not come to its end. Out: the Trainer where the last checkpoint left it, the best
epoch so far, and one history of both parts of the run. The weights are the bits of a run that was never broken off.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from thalweg.data.files import atomic_write
from thalweg.errors import ConfigurationError, FileFormatError, explain
from thalweg.recipes.run_folder import RunFolder
from thalweg.train import Trainer
from thalweg.train.callbacks import Callback, EarlyStopping, History, Priority, Watch
from thalweg.train.checkpoint import load_weights, save_checkpoint, save_weights

SECONDS_BETWEEN = 10.0
"""At least so long between two checkpoints: a short run writes none, a long one loses little."""


class ResumePoint(Callback):
    """Save all that training goes on from, and what was watched of it, at the end of an epoch, every few seconds."""

    priority = Priority.SAVE
    adds_logs = False

    def __init__(self, folder: RunFolder, watch: Watch, seconds: float = SECONDS_BETWEEN) -> None:
        self.folder, self.watch, self.seconds = folder, watch, seconds
        self.saved = time.monotonic()

    def on_epoch_end(self, trainer: Any) -> None:
        if time.monotonic() - self.saved >= self.seconds and trainer.state.epoch + 1 < trainer.state.epochs:
            self.watch.record.save(self.folder.record)  # before the checkpoint: it may hold more epochs, never fewer
            save_checkpoint(self.folder.checkpoint, trainer)
            self.saved = time.monotonic()


class BestSoFar(EarlyStopping):
    """Early stopping that writes the best weights as they come, and remembers an earlier part of the run."""

    def __init__(self, folder: RunFolder, monitor: str, patience: int, start_from_epoch: int) -> None:
        super().__init__(monitor, patience=patience, restore_best_weights=True, start_from_epoch=start_from_epoch)
        self.folder = folder
        self.before: Before | None = None

    def _keep(self, value: float, trainer: Any) -> None:
        super()._keep(value, trainer)
        save_weights(self.folder.weights, trainer.model)

    def on_fit_begin(self, trainer: Any) -> None:
        super().on_fit_begin(trainer)
        values = self.before.history.history.get(self.watched.name, []) if self.before is not None else []
        for epoch, value in enumerate(values):
            if epoch < self.start_from_epoch:
                continue
            self.waited += 1
            if value is not None and self.watched.is_better(value, self.best, self.min_delta):
                self.best, self.best_epoch, self.waited = value, epoch, 0
        if self.best_epoch >= 0 and self.before is not None:
            self._best_weights = load_weights(self.before.folder.weights)


@dataclass
class Before:
    """What an earlier part of a run has left."""

    folder: RunFolder
    history: History
    seconds: float

    @property
    def epochs(self) -> int:
        return len(self.history.epoch)


def put_back(trainer: Trainer, folder: RunFolder) -> Before:
    """The Trainer as the last checkpoint has it, and the numbers up to it; later lines are taken out of the file.

    Raises ConfigurationError for a run that has come to its end, or has no checkpoint.
    """
    if not folder.checkpoint.is_file():
        is_done = folder.results.is_file() and not _was_interrupted(folder)
        raise ConfigurationError(
            explain(
                "there is nothing to go on with",
                received="a run that has come to its end" if is_done else "a run without a checkpoint",
                expected=f"{folder.checkpoint.name}, written every {SECONDS_BETWEEN:g} seconds",
                where=str(folder),
                remedy=f"train again: thalweg train --config {folder.config}",
            )
        )
    trainer.load_checkpoint(folder.checkpoint)
    history = kept_history(folder, trainer.epochs_trained)
    return Before(folder, history, sum(value or 0.0 for value in history.history.get("seconds", [])))


def _was_interrupted(folder: RunFolder) -> bool:
    try:
        return bool(json.loads(folder.results.read_text(encoding="utf-8")).get("interrupted"))
    except (OSError, ValueError, AttributeError):
        return False


def kept_history(folder: RunFolder, epochs: int) -> History:
    """The numbers of the first epochs out of metrics.jsonl, which then holds no others."""
    kept = [line for line in recorded_lines(folder) if line["epoch"] < epochs]
    with atomic_write(folder.metrics) as stream:
        stream.write("".join(json.dumps(line) + "\n" for line in kept).encode("utf-8"))
    return history_of(kept)


def recorded_lines(folder: RunFolder) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl that hold the numbers of a step or an epoch. FileFormatError for a damaged file."""
    try:
        lines = [json.loads(line) for line in folder.metrics.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [line for line in lines if line.get("event") in ("step", "epoch") and line["epoch"] >= 0]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = "train again: the file is damaged"
        raise FileFormatError(
            explain("the numbers of the run cannot be read", received=error, where=str(folder.metrics), remedy=remedy)
        ) from None


def history_of(lines: Iterable[Mapping[str, Any]]) -> History:
    """The history that these lines were written of."""
    history = History()
    for each in lines:
        line = dict(each)
        event = line.pop("event")
        if event == "step":
            _append(history.steps, line)
        else:
            history.epoch.append(line.pop("epoch"))
            line.pop("step", None)
            _append(history.history, line)
    return history


def joined(before: History, after: History) -> History:
    """One history of two parts of a run; it ended as the second part did."""
    whole = History()
    whole.epoch = before.epoch + after.epoch
    for name in ("history", "steps"):
        setattr(whole, name, _side_by_side(getattr(before, name), getattr(after, name)))
    whole.interrupted, whole.stop_reason = after.interrupted, after.stop_reason
    return whole


def _side_by_side(first: dict[str, list[Any]], second: dict[str, list[Any]]) -> dict[str, list[Any]]:
    lengths = [max(map(len, each.values()), default=0) for each in (first, second)]
    names = [*first, *(name for name in second if name not in first)]
    return {
        name: first.get(name, [None] * lengths[0]) + second.get(name, [None] * lengths[1]) for name in names
    }  # fmt: skip


def _append(lists: dict[str, list[Any]], line: dict[str, Any]) -> None:
    length = max(map(len, lists.values()), default=0)
    for name, value in line.items():
        lists.setdefault(name, [None] * length).append(math.nan if value is None and name == "loss" else value)
    for values in lists.values():
        values.extend([None] * (length + 1 - len(values)))
