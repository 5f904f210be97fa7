"""`BackupAndRestore` and `RunFolder`: what a run that was broken off goes on from, and what a finished one leaves.

In: the run between two steps. Out: a folder with the newest checkpoints, which are gone when the run has come to its
end; for `RunFolder` also the trained model.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from thalweg.errors import ConfigurationError, explain
from thalweg.train.callbacks.base import Callback, Priority
from thalweg.train.callbacks.saving import ModelCheckpoint
from thalweg.train.checkpoint import save_weights

CHECKPOINTS = "checkpoints"
"""The folder in a run folder for what a run goes on from; it is there while the run goes on, or was broken off."""
CHECKPOINT_NAME = "step-{step:09d}.safetensors"
SECONDS_BETWEEN = 10.0
"""At least so long between two checkpoints of a run folder: a short run writes none, a long one loses little."""


class BackupAndRestore(ModelCheckpoint):
    """Save all that training goes on from, and go on from it: a run that was broken off is called again as it was.

    ``fit(..., callbacks=[BackupAndRestore(folder)])`` looks for checkpoints in the folder first, and goes on from the
    newest that can be read, as ``fit(resume=True)`` does; the result has the bits of a run that was never broken off.

    Args:
        backup_dir: a folder for this run's checkpoints alone.
        save_freq: "epoch" (default), a number of steps, or None: see `ModelCheckpoint`.
        double_checkpoint: keep the newest two (default), so that there is one to go back to if the newest is damaged.
        delete_checkpoint: delete them when the run has come to its end (default). Then the next call begins anew.
        every_seconds: see `ModelCheckpoint`.

    Names and defaults are Keras 3's, except that two checkpoints are kept.

    >>> BackupAndRestore("backup")
    BackupAndRestore('backup')
    """

    restores = True

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: int | str | None = "epoch",
        double_checkpoint: bool = True,
        delete_checkpoint: bool = True,
        *,
        every_seconds: float | None = None,
    ) -> None:
        self.backup_dir, self.delete_checkpoint = Path(backup_dir), delete_checkpoint
        template = str(self.backup_dir).replace("{", "{{").replace("}", "}}") + os.sep + CHECKPOINT_NAME
        keep_last = 2 if double_checkpoint else 1
        super().__init__(template, keep_last=keep_last, save_freq=save_freq, every_seconds=every_seconds)

    @property
    def saves_within_epochs(self) -> bool:
        """A run that is stopped from outside is saved where it stopped, also if it saves at the end of epochs."""
        return True

    def _check_combination(self) -> None:
        if self.save_freq is None and self.every_seconds is None:
            super()._check_combination()

    def on_fit_end(self, trainer: Any) -> None:
        super().on_fit_end(trainer)
        state = trainer.state
        if self.delete_checkpoint and state.exception is None and not state.interrupted:
            for path in self.files():
                path.unlink(missing_ok=True)
            self.saved = []
        with contextlib.suppress(OSError):  # it holds something, or is not there
            self.backup_dir.rmdir()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.backup_dir)!r})"


class RunFolder(Callback):
    """Leave the trained model in a folder: `model.safetensors`, written when the run ends, also by Ctrl-C.

    Args:
        folder: created if missing. One that holds another run's model is refused, unless this run goes on from it
            (``initial_epoch`` above 0, or ``fit(resume=...)``).

    Attributes:
        backup: the `BackupAndRestore` that saves the run in ``folder/checkpoints`` every ten seconds while it goes on,
            and where it is stopped; the Trainer adds it to the callbacks. ``fit(resume=True)`` goes on from there.

    >>> RunFolder("runs/first")
    RunFolder('runs/first')
    """

    priority = Priority.SAVE
    adds_logs = False

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.backup = BackupAndRestore(self.folder / CHECKPOINTS, None, every_seconds=SECONDS_BETWEEN)
        self.backup.restores = False  # only where fit is told to
        self._is_ours = False

    @property
    def model_path(self) -> Path:
        return self.folder / "model.safetensors"

    def check(self, goes_on: bool) -> None:
        """Refuse a folder that holds another run, before anything is written."""
        if self.model_path.exists() and not self._is_ours and not goes_on:
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
        self.check(trainer.state.epoch > 0 or trainer.state.is_resumed)

    def on_fit_end(self, trainer: Any) -> None:
        if trainer.state.exception is None or isinstance(trainer.state.exception, KeyboardInterrupt):
            save_weights(self.model_path, trainer.model)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.folder)!r})"
