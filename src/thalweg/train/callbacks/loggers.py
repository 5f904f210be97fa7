"""Callbacks that write the numbers of a run to files, line by line, so that a crash loses none.

In: the logs of each epoch, the loss of each step. Out: a CSV table, or JSON lines. An older file of the same name is
set aside, never overwritten.
"""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import warnings
from pathlib import Path
from typing import Any, TextIO

from thalweg.errors import ArgumentError, ConfigurationError, explain
from thalweg.train.callbacks.base import Callback, Priority


class _FileLogger(Callback):
    """What both loggers share: one file, open from the first line to the end of the run."""

    priority = Priority.RECORD
    adds_logs = False

    def __init__(self, path: str | os.PathLike[str], append: bool) -> None:
        self.path = Path(path)
        self.append = append
        self._stream: TextIO | None = None

    def on_fit_begin(self, trainer: Any) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if trainer.state.is_restarted or not (self.append or trainer.state.is_resumed):
                set_aside(self.path)
            self._stream = open(self.path, "a", encoding="utf-8", newline="")  # noqa: SIM115  # closed at fit_end
        except OSError as error:
            reason = error.strerror or str(error)
            remedy = "choose a path in a folder that you may write to"
            raise ConfigurationError(
                explain("the log file cannot be written", received=reason, where=str(self.path), remedy=remedy)
            ) from error
        self.append = True  # a second fit of the same trainer goes on in the same file

    def on_fit_end(self, trainer: Any) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None

    def state_dict(self) -> dict[str, Any]:
        """How much of the file belongs to the run so far; so much is then on disk."""
        if self._stream is None:
            return {}
        self._stream.flush()
        with contextlib.suppress(OSError):  # a pipe cannot
            os.fsync(self._stream.fileno())
        return {"bytes": os.fstat(self._stream.fileno()).st_size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take out the lines of what was trained after the checkpoint: it is trained again."""
        if self._stream is None or "bytes" not in state:
            return
        found = os.fstat(self._stream.fileno()).st_size
        if found >= state["bytes"]:
            self._stream.truncate(state["bytes"])
            return
        self._stream.close()
        set_aside(self.path)  # what is left of it may end in half a line
        self._stream = open(self.path, "a", encoding="utf-8", newline="")  # noqa: SIM115  # closed at fit_end
        problem = "the log file lacks lines of the part of the run before, and a new one is begun"
        remedy = "they are in the returned history; what was left of the old file is kept beside it"
        received, expected = f"{found:,} bytes", f"{state['bytes']:,} bytes"
        message = explain(problem, received=received, expected=expected, where=str(self.path), remedy=remedy)
        warnings.warn(message, RuntimeWarning, stacklevel=2)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"


class CSVLogger(_FileLogger):
    """One line of comma-separated values for each epoch: epoch, loss, metrics, val_..., learning_rate, seconds.

    Args:
        filename: where; folders are created. The columns are those of the first epoch; what is no single number
            (a confusion matrix) is left out.
        separator: default ``","``.
        append: go on in an existing file whose columns are the same. Default False: an existing file is renamed to
            name.1.csv (.2, ...), so that nothing is lost; and so it is in a run that was to go on
            (``fit(resume=True)``) and found nothing.

    >>> CSVLogger("log.csv")
    CSVLogger('log.csv')
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        super().__init__(filename, append)
        if not isinstance(separator, str) or len(separator) != 1:
            where = "CSVLogger"
            raise ArgumentError(
                explain("a separator is one character", received=repr(separator), expected="','", where=where)
            )
        self.separator = separator
        self._columns: list[str] = []

    def on_fit_begin(self, trainer: Any) -> None:
        super().on_fit_begin(trainer)
        self._columns = self._header()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._columns = self._header()

    def _header(self) -> list[str]:
        with open(self.path, encoding="utf-8", newline="") as stream:
            return next(csv.reader(stream, delimiter=self.separator), [])

    def on_epoch_end(self, trainer: Any) -> None:
        assert self._stream is not None
        numbers = {"epoch": trainer.state.epoch} | plain_numbers(trainer.state.logs)
        writer = csv.writer(self._stream, delimiter=self.separator, lineterminator="\n")
        if not self._columns:
            self._columns = list(numbers)
            writer.writerow(self._columns)
        if missing := set(self._columns) - numbers.keys() - {"epoch"}:
            raise ConfigurationError(
                explain(
                    "this epoch lacks columns that the file has",
                    received=", ".join(numbers),
                    expected=", ".join(self._columns),
                    where=f"{self!r}, missing {', '.join(sorted(missing))}",
                    remedy="start a new file with append=False",
                )
            )
        writer.writerow([numbers[name] for name in self._columns])
        self._stream.flush()


class JSONLinesLogger(_FileLogger):
    """One JSON object a line: for every epoch its numbers, and for every `every_steps`-th step its loss and rate.

    A line of a step is ``{"event": "step", "epoch": 0, "step": 12, "loss": 0.7, "learning_rate": 0.001, ...}`` with
    what callbacks watch, such as ``"gradient_norm/0"``; of an epoch ``{"event": "epoch", "epoch": 0, "step": 45,
    ...}``; and the last ``{"event": "end", ...}`` says why the run ended. NaN and infinity, which JSON has not, are
    written as null.

    Args:
        path: where, for example ``run/metrics.jsonl``.
        every_steps: 1 (default) writes every step, 0 none.
        append: default True: lines are added to an existing file. False renames it first, and so does a run that was to
            go on (``fit(resume=True)``) and found nothing: the lines are of an attempt that is lost.

    >>> JSONLinesLogger("metrics.jsonl", every_steps=10)
    JSONLinesLogger('metrics.jsonl')
    """

    def __init__(self, path: str | os.PathLike[str], every_steps: int = 1, append: bool = True) -> None:
        super().__init__(path, append)
        self.writes_steps = every_steps != 0
        self.every_steps = every_steps if self.writes_steps else 1

    def on_slice_end(self, trainer: Any) -> None:
        if self.writes_steps:
            for step, numbers in trainer.state.slice.rows():
                if step % self.every_steps == 0:
                    self._write("step", trainer, numbers, step)

    def on_epoch_end(self, trainer: Any) -> None:
        self._write("epoch", trainer, trainer.state.logs)
        self._flush()

    def on_fit_end(self, trainer: Any) -> None:
        if self._stream is not None:
            state = trainer.state
            error = None if state.exception is None else f"{type(state.exception).__name__}: {state.exception}"
            outcome = {"interrupted": state.interrupted, "stop_reason": state.stop_reason, "error": error}
            self._write("end", trainer, outcome)
        super().on_fit_end(trainer)

    def _write(self, event: str, trainer: Any, numbers: dict[str, Any], step: int | None = None) -> None:
        assert self._stream is not None
        line = {"event": event, "epoch": trainer.state.epoch, "step": trainer.state.step if step is None else step}
        line |= {name: as_json(value) for name, value in numbers.items()}
        self._stream.write(json.dumps(line, allow_nan=False) + "\n")

    def _flush(self) -> None:
        assert self._stream is not None
        self._stream.flush()


def plain_numbers(logs: dict[str, Any]) -> dict[str, float]:
    """The entries that are single numbers; those of a dictionary under name/key."""
    found: dict[str, float] = {}
    for name, value in logs.items():
        if isinstance(value, dict):
            found |= {f"{name}/{key}": float(each) for key, each in value.items()}
        elif isinstance(value, int | float):
            found[name] = value
    return found


def as_json(value: Any) -> Any:
    """The value in JSON's types; numbers that JSON does not have become null."""
    if isinstance(value, dict):
        return {str(key): as_json(each) for key, each in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def set_aside(path: Path) -> Path | None:
    """Rename an existing file to name.1.suffix, name.2.suffix, ...: the first that is free."""
    if not path.exists():
        return None
    taken = 1
    while (other := path.with_name(f"{path.stem}.{taken}{path.suffix}")).exists():
        taken += 1
    path.rename(other)
    return other
