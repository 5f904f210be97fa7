"""Going on with a run that was broken off, and the numbers that a run leaves line by line.

In: a run folder whose training did not come to its end. Out: its newest checkpoint that can be read, from which
`Trainer.fit` goes on, with the bits of a run that was never broken off; histories read from metrics.jsonl.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from thalweg.errors import ConfigurationError, FileFormatError, explain
from thalweg.recipes.run_folder import RunFolder
from thalweg.train.callbacks import BackupAndRestore, EarlyStopping, History
from thalweg.train.checkpoint import Checkpoint, save_weights
from thalweg.train.resuming import checkpoints_in, newest

SECONDS_BETWEEN = 10.0
"""At least so long between two checkpoints: a short run writes none, a long one loses little."""


class ResumePoint(BackupAndRestore):
    """Save all that training goes on from, every few seconds and where it is stopped, until it has come to its end."""

    def __init__(self, folder: RunFolder, seconds: float = SECONDS_BETWEEN) -> None:
        super().__init__(folder.checkpoints, None, every_seconds=seconds)


class BestSoFar(EarlyStopping):
    """Early stopping that writes the best weights as they come."""

    def __init__(self, folder: RunFolder, monitor: str, patience: int, start_from_epoch: int) -> None:
        super().__init__(monitor, patience=patience, restore_best_weights=True, start_from_epoch=start_from_epoch)
        self.folder = folder

    def _keep(self, value: float, trainer: Any) -> None:
        super()._keep(value, trainer)
        save_weights(self.folder.weights, trainer.model)


def point_of(folder: RunFolder) -> tuple[Checkpoint, Path]:
    """The newest checkpoint of a run, and its file.

    Raises ConfigurationError for a run that has come to its end, or has no checkpoint; FileFormatError if none can be
    read.
    """
    found = newest(checkpoints_in(folder.checkpoints))
    if found is None:
        is_done = folder.results.is_file() and not _was_interrupted(folder)
        raise ConfigurationError(
            explain(
                "there is nothing to go on with",
                received="a run that has come to its end" if is_done else "a run without a checkpoint",
                expected=f"files in {folder.checkpoints.name}, written every {SECONDS_BETWEEN:g} seconds",
                where=str(folder),
                remedy=f"train again: thalweg train --config {folder.config}",
            )
        )
    return found


def place_of(checkpoint: Checkpoint) -> str:
    """Where the run was, in words."""
    position = checkpoint.position
    batches = f", {position['batch']} batches of the next" if position["batch"] else ""
    return f"after epoch {position['epoch']}{batches}"


def _was_interrupted(folder: RunFolder) -> bool:
    try:
        return bool(json.loads(folder.results.read_text(encoding="utf-8")).get("interrupted"))
    except (OSError, ValueError, AttributeError):
        return False


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


def _append(lists: dict[str, list[Any]], line: dict[str, Any]) -> None:
    length = max(map(len, lists.values()), default=0)
    for name, value in line.items():
        lists.setdefault(name, [None] * length).append(math.nan if value is None and name == "loss" else value)
    for values in lists.values():
        values.extend([None] * (length + 1 - len(values)))
