"""`TensorBoard`: the numbers of a run as event files, which TensorBoard draws.

In: the numbers of steps and epochs. Out: files in a folder, one for training and one for validation, written by
tensorboardX (`pip install thalweg[tensorboard]`), which needs neither TensorFlow nor PyTorch.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from thalweg.errors import ConfigurationError, explain
from thalweg.train.callbacks.base import Callback, Priority, whole_number
from thalweg.train.callbacks.loggers import plain_numbers


class TensorBoard(Callback):
    """Write event files for TensorBoard: ``tensorboard --logdir logs`` shows them.

    Args:
        log_dir: a folder; ``train`` and ``validation`` are made in it. Default ``"logs"``.
        histogram_freq: also write the distribution of every parameter after every n-th epoch. Default 0: never.
        update_freq: "epoch" (default): the numbers of epochs, under ``epoch_<name>``, with the epoch as step. "batch"
            or a number n: besides, loss, learning rate and whatever callbacks watch, such as ``gradient_norm/0``, under
            ``batch_<name>`` at every or every n-th step.
        flush_seconds: how long numbers may wait before they are on disk, within an epoch. Default 10.

    Names and arguments are Keras'; ``val_accuracy`` is ``epoch_accuracy`` of the validation, so that both are one
    picture. Numbers that are not finite are left out. A run that goes on writes more files into the same folder.

    Errors: `ConfigurationError` where tensorboardX is missing, or for a folder that cannot be written.

    >>> TensorBoard("logs/first")
    TensorBoard('logs/first')
    """

    priority = Priority.RECORD
    adds_logs = False

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        update_freq: str | int = "epoch",
        flush_seconds: int = 10,
    ) -> None:
        self.log_dir = Path(log_dir)
        self.histogram_freq = whole_number("histogram_freq", histogram_freq, 0, "TensorBoard")
        steps = {"epoch": 0, "batch": 1}.get(update_freq) if isinstance(update_freq, str) else update_freq
        self.steps_between = whole_number("update_freq", steps, 0, "TensorBoard, 'epoch', 'batch' or a number:")
        self.flush_seconds = whole_number("flush_seconds", flush_seconds, 1, "TensorBoard")
        self._writers: dict[str, Any] = {}

    def handles(self, event: str) -> bool:
        return super().handles(event) and (event != "slice_end" or self.steps_between > 0)

    def on_fit_begin(self, trainer: Any) -> None:
        self._writers = {"train": self._open("train")}
        if trainer.state.validates:
            self._writers["validation"] = self._open("validation")

    def _open(self, part: str) -> Any:
        try:
            from tensorboardX import SummaryWriter  # noqa: PLC0415
        except ImportError as error:
            raise ConfigurationError(
                explain("TensorBoard's files need a package that is not installed", received=str(error),
                        where="TensorBoard", remedy="pip install 'thalweg[tensorboard]', or use CSVLogger")
            ) from error  # fmt: skip
        try:
            return SummaryWriter(str(self.log_dir / part), flush_secs=self.flush_seconds, write_to_disk=True)
        except OSError as error:
            raise ConfigurationError(
                explain("the event files cannot be written", received=error.strerror or str(error),
                        where=str(self.log_dir), remedy="choose a folder that you may write to")
            ) from error  # fmt: skip

    def on_slice_end(self, trainer: Any) -> None:
        for step, numbers in trainer.state.slice.rows():
            if step % self.steps_between == 0:
                self._write("train", "batch_", numbers, step)

    def on_epoch_end(self, trainer: Any) -> None:
        numbers, epoch = plain_numbers(trainer.state.logs), trainer.state.epoch
        held_out = {name.removeprefix("val_"): each for name, each in numbers.items() if name.startswith("val_")}
        self._write("train", "epoch_", {name: each for name, each in numbers.items() if name[:4] != "val_"}, epoch)
        if "validation" in self._writers:
            self._write("validation", "epoch_", held_out, epoch)
        if self.histogram_freq and (epoch + 1) % self.histogram_freq == 0:
            for name, each in trainer.model.named_parameters():
                self._writers["train"].add_histogram(name.replace(".", "/"), each.detach().numpy(), epoch)
        for writer in self._writers.values():
            writer.flush()

    def _write(self, part: str, prefix: str, numbers: dict[str, float], step: int) -> None:
        for name, value in numbers.items():
            if math.isfinite(value):
                self._writers[part].add_scalar(prefix + name, value, step)

    def on_fit_end(self, trainer: Any) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def __repr__(self) -> str:
        return f"TensorBoard({str(self.log_dir)!r})"
