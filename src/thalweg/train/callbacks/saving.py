"""`ModelCheckpoint`: weights, or everything that training goes on from, on disk while training goes on.

In: the model between two steps: at the end of epochs, every so many steps or seconds.
Out: safetensors files that appear whole or not at all, written by a thread from a copy.
"""

from __future__ import annotations

import math
import os
import string
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from thalweg.data.checks import reason_of
from thalweg.data.files import remove_half_written
from thalweg.errors import ArgumentError, ConfigurationError, explain
from thalweg.train import checkpoint
from thalweg.train.callbacks.base import Callback, Monitor, Priority, number, whole_number
from thalweg.train.callbacks.loggers import plain_numbers
from thalweg.train.choices import did_you_mean
from thalweg.train.weights import copy_state
from thalweg.train.writer import BackgroundWriter


class ModelCheckpoint(Callback):
    """Save the model at the end of epochs, or every so many steps or seconds, while training goes on.

    Args:
        filepath: where, with fields in braces: ``{epoch}`` (counted from 1), ``{step}`` and any name of the logs, with
            Python's formats: ``"run/{epoch:03d}-{val_loss:.4f}.safetensors"``. Folders are created.
        monitor: the number that decides which is best. Default ``"val_loss"``; used with `save_best_only` and
            `keep_best` only.
        verbose: accepted for Keras' sake.
        save_best_only: save only when the monitored number is better than all before. Default False.
        save_weights_only: True saves the model's parameters and buffers alone; the default False saves all that
            ``fit(resume=...)`` goes on from: optimizer, schedules, random numbers, the position in the epoch, callbacks
            and the history.
        mode: "min", "max" or "auto" (default), as for `EarlyStopping`.
        every_epochs: save after every n-th epoch. Default 1.
        initial_value_threshold: with `save_best_only`, what the first file must be better than.
        keep_last: delete this callback's older files, all but the newest n. Default None: keep all, or with `keep_best`
            the newest.
        save_freq: "epoch" (default), or a number of steps: save whenever so many were made, also within an epoch; None:
            only as `every_seconds` says.
        every_seconds: save also, or with ``save_freq=None`` only, when so much time has passed since the last file.
        keep_best: besides the newest, keep the files of the n best epochs. Default 0.

    Attributes:
        best: the best number so far. saved: the files that it has written and not deleted, oldest first.

    A copy is taken between two steps and written by a thread: beside its place, flushed to disk and renamed, so that
    whatever happens the older files are whole. If it cannot be written (a full disk), one line says so, and training
    goes on; older files are only deleted once a newer one is on disk. A file that is saved within an epoch has no
    ``val_`` numbers for its name, and counts the epoch under way as ``{epoch}``. With `save_freq` in steps or
    `every_seconds`, a run that Ctrl-C or SIGTERM stops is saved at its last step, too.

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
        *,
        save_freq: int | str | None = "epoch",
        every_seconds: float | None = None,
        keep_best: int = 0,
    ) -> None:
        where = "ModelCheckpoint"
        self.filepath = os.fspath(filepath)
        self.fields = _fields(self.filepath)
        self.watched = Monitor(monitor, mode, where)
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.every_epochs = whole_number("every_epochs", every_epochs, 1, where)
        start = initial_value_threshold
        self.initial_value_threshold = None if start is None else number("threshold", start, -math.inf, where)
        self.keep_best = whole_number("keep_best", keep_best, 0, where)
        newest = 1 if keep_last is None and keep_best else keep_last
        self.keep_last = None if newest is None else whole_number("keep_last", newest, 1, where)
        self.save_freq = self.boundary_every = None
        if save_freq != "epoch" and save_freq is not None:
            self.boundary_every = whole_number("save_freq", save_freq, 1, where)
        self.save_freq = save_freq
        self.every_seconds = None if every_seconds is None else number("every_seconds", every_seconds, 0.0, where)
        self._check_combination()
        self.best: float | None = self.initial_value_threshold
        self.saved: list[Path] = []
        self._values: dict[str, float] = {}
        self._due: Path | None = None
        self._last: tuple[int, bool] | None = None
        self._saved_at, self._has_warned = 0.0, False
        self._writer = BackgroundWriter()

    @property
    def saves_within_epochs(self) -> bool:
        """Whether files may be written between two steps of an epoch."""
        return self.boundary_every is not None or self.every_seconds is not None

    def _check_combination(self) -> None:
        if self.save_freq is None and self.every_seconds is None:
            remedy = "pass save_freq='epoch', a number of steps, or every_seconds"
            raise ArgumentError(explain("nothing says when to save", where="ModelCheckpoint", remedy=remedy))
        if self.saves_within_epochs and self.save_best_only:
            problem, remedy = "which is best is known at the end of an epoch", "use save_freq='epoch', or keep_best=1"
            raise ArgumentError(explain(problem, received="save_best_only=True", where="save_freq", remedy=remedy))

    # --- the run -----------------------------------------------------------------------------------------------------

    def on_fit_begin(self, trainer: Any) -> None:
        if self.save_best_only or self.keep_best:
            self.watched.begin(trainer)
        if self.save_best_only:
            self.best = self.watched.worst if self.best is None else self.best
        names = ["epoch", "step", *trainer.log_names()]
        if self.saves_within_epochs:
            names = [name for name in names if not name.startswith("val_") and name not in ("learning_rate", "seconds")]
        if (unknown := self.fields - set(names)) and (self.saves_within_epochs or not trainer.may_add_logs()):
            raise self._unknown_field(unknown, names)
        self._require_folder()
        self._due, self._last, self._has_warned = None, None, False
        self._saved_at = time.monotonic()

    def _require_folder(self) -> None:
        folder = Path(self.filepath).parent
        try:
            if "{" not in str(folder):
                folder.mkdir(parents=True, exist_ok=True)
                remove_half_written(folder)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigurationError(
                explain("checkpoints cannot be written here", received=reason, where=str(folder))
            ) from error

    def on_epoch_end(self, trainer: Any) -> None:
        if self.save_freq != "epoch" or (trainer.state.epoch + 1) % self.every_epochs or not self._is_wanted(trainer):
            return
        self._due = self._path(trainer, trainer.state.logs)
        if self.keep_best:
            self._values[str(self._due)] = self.watched.read(trainer)

    def on_boundary(self, trainer: Any) -> None:
        self._collect(trainer)
        state, place = trainer.state, (trainer.state.step, trainer.state.epoch_is_over)
        if self._due is None and place != self._last and self._is_time(trainer):
            self._due = self._path(trainer, state.logs if state.epoch_is_over else trainer.running_logs())
        if self._due is not None:
            self._save(trainer, self._due)
            self._due, self._last, self._saved_at = None, place, time.monotonic()

    def _is_time(self, trainer: Any) -> bool:
        state = trainer.state
        if self.saves_within_epochs and state.interrupted:
            return True
        if self.boundary_every is not None and state.step % self.boundary_every == 0:
            return self._last is None or self._last[0] != state.step  # once, not again when the epoch is over
        is_late = self.every_seconds is not None and time.monotonic() - self._saved_at >= self.every_seconds
        return is_late and not self._writer.is_busy

    def on_fit_end(self, trainer: Any) -> None:
        self.wait()
        self._collect(trainer)

    def wait(self) -> None:
        """Until what was copied last is on disk."""
        self._writer.wait()

    def _is_wanted(self, trainer: Any) -> bool:
        if not self.save_best_only:
            return True
        value = self.watched.read(trainer)
        if self.best is not None and not self.watched.is_better(value, self.best):
            return False
        self.best = value
        return True

    # --- files -------------------------------------------------------------------------------------------------------

    def _save(self, trainer: Any, path: Path) -> None:
        """Take a copy, and let the thread write it. The copy already counts this file among those that are saved."""
        self.saved = [each for each in self.saved if each != path] + [path]
        if self.save_weights_only:
            function = partial(checkpoint.save_weights, path, copy_state(trainer.model))
        else:
            function = partial(checkpoint.write, path, checkpoint.take(trainer))
        self._writer.write(path, partial(_in_its_folder, path, function))

    def _collect(self, trainer: Any) -> None:
        """Hear what the thread has done: older files may go when a newer one is there."""
        for path, error in self._writer.finished():
            if error is None:
                self._has_warned = False
                self._forget_old()
            else:
                self.saved = [each for each in self.saved if each != path or path.exists()]
                self._warn(path, error)

    def _warn(self, path: Path, error: Exception) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        is_other = bool(self.saved)
        kept = f"the newest that is there is {self.saved[-1].name}" if is_other else "there is none yet"
        message = explain(
            f"a checkpoint could not be written: {kept}; training goes on",
            received=reason_of(error) if isinstance(error, ConfigurationError) else error,
            where=str(path),
            remedy="free some space, or make the folder writable: the next one is tried as planned",
        )
        warnings.warn(message, RuntimeWarning, stacklevel=2)

    def _forget_old(self) -> None:
        if self.keep_last is None:
            return
        kept = {*self.saved[-self.keep_last :], *self._best()}
        for path in [each for each in self.saved if each not in kept]:
            path.unlink(missing_ok=True)
            self._values.pop(str(path), None)
        self.saved = [each for each in self.saved if each in kept]

    def _best(self) -> list[Path]:
        sign = -1.0 if self.watched.higher_is_better else 1.0
        known = [each for each in self.saved if math.isfinite(self._values.get(str(each), math.nan))]
        return sorted(known, key=lambda path: sign * self._values[str(path)])[: self.keep_best]

    def _path(self, trainer: Any, logs: dict[str, Any]) -> Path:
        state = trainer.state
        names = plain_numbers(logs) | {"epoch": state.epoch + 1, "step": state.step}
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

    # --- going on ----------------------------------------------------------------------------------------------------

    @property
    def root(self) -> Path:
        """The folder under which all files lie: the part of the path before the first field."""
        parts = Path(self.filepath).parent.parts
        fixed = next((index for index, part in enumerate(parts) if "{" in part), len(parts))
        return Path(*parts[:fixed])

    def files(self) -> list[Path]:
        """Those from which a run could go on: all that lie where this callback writes; none of weights alone."""
        pattern = "".join(_escaped(text) + ("*" if name is not None else "")
                          for text, name, _, _ in string.Formatter().parse(self.filepath))  # fmt: skip
        if self.save_weights_only:
            return []
        return sorted(Path(Path(pattern).anchor or ".").glob(str(Path(pattern).relative_to(Path(pattern).anchor))))

    def state_dict(self) -> dict[str, Any]:
        """Files are remembered by their place under `root`, so that a run folder may be moved."""
        root = self.root
        return {
            "best": self.best,
            "saved": [path.relative_to(root).as_posix() for path in self.saved],
            "values": {Path(path).relative_to(root).as_posix(): value for path, value in self._values.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        root = self.root
        self.best = state["best"]
        self.saved = [root / name for name in state["saved"]]
        self._values = {str(root / name): value for name, value in state["values"].items()}

    def __repr__(self) -> str:
        best = f", monitor={self.watched.name!r}, save_best_only=True" if self.save_best_only else ""
        return f"{type(self).__name__}({self.filepath!r}{best})"


def _in_its_folder(path: Path, function: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    function()


def _escaped(text: str) -> str:
    """The text with what a pattern would read as one put in brackets."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)


def _fields(template: str) -> set[str]:
    try:
        return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        where, remedy = f"ModelCheckpoint({template!r})", "close every brace; write {{ for a brace itself"
        message = explain("the file name is no template", received=error, where=where, remedy=remedy)
        raise ArgumentError(message) from None
