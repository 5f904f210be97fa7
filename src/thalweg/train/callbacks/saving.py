"""`ModelCheckpoint`: the weights on disk, after every epoch or when they are the best so far.

In: the model at the end of an epoch.
Out: safetensors files that appear whole or not at all.
"""

from __future__ import annotations

import math
import os
import string
from pathlib import Path
from typing import Any

from thalweg.errors import ArgumentError, ConfigurationError, explain
from thalweg.train.callbacks.base import Callback, Monitor, Priority, number, whole_number
from thalweg.train.callbacks.loggers import plain_numbers
from thalweg.train.checkpoint import save_checkpoint, save_weights
from thalweg.train.choices import did_you_mean


class ModelCheckpoint(Callback):
    """Save the model at the end of epochs.

    Args:
        filepath: where, with fields in braces: ``{epoch}`` (counted from 1), ``{step}`` and any name of the logs, with
            Python's formats: ``"run/{epoch:03d}-{val_loss:.4f}.safetensors"``. Folders are created.
        monitor: the number that decides which is best. Default ``"val_loss"``; used with `save_best_only` only.
        verbose: accepted for Keras' sake.
        save_best_only: save only when the monitored number is better than all before. Default False.
        save_weights_only: True saves the model's parameters and buffers alone; the default False adds the state of the
            optimizer and of the trainer, from which `trainer.load_checkpoint` goes on.
        mode: "min", "max" or "auto" (default), as for `EarlyStopping`.
        every_epochs: save after every n-th epoch. Default 1.
        initial_value_threshold: with `save_best_only`, what the first file must be better than.
        keep_last: delete this callback's older files, all but the newest n. Default None: keep all.

    Attributes:
        best: the best number so far. saved: the files that it has written and not deleted, oldest first.

    Every file is written beside its place, flushed to disk and renamed, so that a crash leaves the old file whole.

    >>> ModelCheckpoint("best.safetensors", save_best_only=True)
    ModelCheckpoint('best.safetensors', monitor='val_loss', save_best_only=True)
    """

    priority = Priority.SAVE
    adds_logs = False

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        every_epochs: int = 1,
        initial_value_threshold: float | None = None,
        keep_last: int | None = None,
    ) -> None:
        where = "ModelCheckpoint"
        self.filepath = os.fspath(filepath)
        self.fields = _fields(self.filepath)
        self.watched = Monitor(monitor, mode, where)
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.every_epochs = whole_number("every_epochs", every_epochs, 1, where)
        start = initial_value_threshold
        self.initial_value_threshold = None if start is None else number("threshold", start, -math.inf, where)
        self.keep_last = None if keep_last is None else whole_number("keep_last", keep_last, 1, where)
        self.best: float | None = self.initial_value_threshold
        self.saved: list[Path] = []

    def on_fit_begin(self, trainer: Any) -> None:
        if self.save_best_only:
            self.watched.begin(trainer)
            self.best = self.watched.worst if self.best is None else self.best
        names = ["epoch", "step", *trainer.log_names()]
        if (unknown := self.fields - set(names)) and not trainer.may_add_logs():
            raise self._unknown_field(unknown, names)
        self._require_folder()

    def _require_folder(self) -> None:
        folder = Path(self.filepath).parent
        try:
            if "{" not in str(folder):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigurationError(
                explain("checkpoints cannot be written here", received=reason, where=str(folder))
            ) from error

    def on_epoch_end(self, trainer: Any) -> None:
        if (trainer.state.epoch + 1) % self.every_epochs or not self._is_wanted(trainer):
            return
        path = self._path(trainer)
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            save_weights(path, trainer.model)
        else:
            save_checkpoint(path, trainer)
        self._forget_old(path)

    def _is_wanted(self, trainer: Any) -> bool:
        if not self.save_best_only:
            return True
        value = self.watched.read(trainer)
        if self.best is not None and not self.watched.is_better(value, self.best):
            return False
        self.best = value
        return True

    def _path(self, trainer: Any) -> Path:
        state = trainer.state
        names = plain_numbers(state.logs) | {"epoch": state.epoch + 1, "step": state.step}
        if unknown := self.fields - names.keys():
            raise self._unknown_field(unknown, list(names))
        try:
            return Path(self.filepath.format(**names))
        except (ValueError, TypeError) as error:
            remedy = "integers take {epoch:03d}, other numbers {val_loss:.4f}"
            raise ArgumentError(
                explain("the file name cannot be formatted", received=error, where=repr(self), remedy=remedy)
            ) from None

    def _unknown_field(self, unknown: set[str], names: list[str]) -> ConfigurationError:
        name = sorted(unknown)[0]
        return ConfigurationError(
            explain(
                "the file name has a field that this run does not produce",
                received="{" + name + "}",
                expected=", ".join(names),
                where=repr(self),
                remedy=did_you_mean(name, names) or "use one of these names",
            )
        )

    def _forget_old(self, path: Path) -> None:
        self.saved = [each for each in self.saved if each != path] + [path]
        while self.keep_last is not None and len(self.saved) > self.keep_last:
            self.saved.pop(0).unlink(missing_ok=True)

    def __repr__(self) -> str:
        best = f", monitor={self.watched.name!r}, save_best_only=True" if self.save_best_only else ""
        return f"ModelCheckpoint({self.filepath!r}{best})"


class RunFolder(Callback):
    """Leave the trained model in a folder: `model.safetensors`, written when the run ends, also by Ctrl-C.

    Args:
        folder: created if missing. One that holds another run's model is refused, unless this run goes on from it
            (``initial_epoch`` above 0).

    >>> RunFolder("runs/first")
    RunFolder('runs/first')
    """

    priority = Priority.SAVE
    adds_logs = False

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._is_ours = False

    @property
    def model_path(self) -> Path:
        return self.folder / "model.safetensors"

    def check(self, initial_epoch: int) -> None:
        """Refuse a folder that holds another run, before anything is written."""
        if self.model_path.exists() and not self._is_ours and initial_epoch == 0:
            raise ConfigurationError(
                explain(
                    "the run folder holds another run's model",
                    received=str(self.model_path),
                    expected="a new or empty folder",
                    remedy="choose another run_folder, or load the model and go on with initial_epoch=",
                )
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigurationError(
                explain("the run folder cannot be made", received=reason, where=str(self.folder))
            ) from error
        self._is_ours = True

    def on_fit_begin(self, trainer: Any) -> None:
        self.check(trainer.state.epoch)

    def on_fit_end(self, trainer: Any) -> None:
        if trainer.state.exception is None or isinstance(trainer.state.exception, KeyboardInterrupt):
            save_weights(self.model_path, trainer.model)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.folder)!r})"


def _fields(template: str) -> set[str]:
    try:
        return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        where, remedy = f"ModelCheckpoint({template!r})", "close every brace; write {{ for a brace itself"
        message = explain("the file name is no template", received=error, where=where, remedy=remedy)
        raise ArgumentError(message) from None
