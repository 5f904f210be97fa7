"""`ProgressBar`: how training is going, for whoever waits: a live line at a terminal, plain lines elsewhere.

In: the running loss and metrics.
Out: text on a stream, by default stderr, so that a program's output stays its own.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, TextIO

from thalweg.train.callbacks.base import Callback, Priority
from thalweg.train.callbacks.loggers import plain_numbers

REFRESH_SECONDS = 0.1
LINE_SECONDS = 2.0
BATCH_LINE_SECONDS = 10.0


class ProgressBar(Callback):
    """Show epoch, loss, metrics, examples a second and the time left.

    Args:
        stream: where, default stderr. A terminal gets a live line for the epoch under way; a file or a pipe gets
            plain lines.
        every_epoch: a lasting line for every epoch. Default False: at most one in two seconds, and the last.

    >>> ProgressBar(every_epoch=True)
    ProgressBar()
    """

    priority = Priority.SHOW
    adds_logs = False

    def __init__(self, stream: TextIO | None = None, every_epoch: bool = False) -> None:
        self.stream = stream
        self.every_epoch = every_epoch
        self._live: Any = None

    def on_fit_begin(self, trainer: Any) -> None:
        self._stream = self.stream or sys.stderr
        self._started = self._refreshed = self._printed = time.monotonic()
        self._first_epoch, self._examples_before = float(trainer.state.epoch), 0
        self._last_line = ""
        if self._stream is not None and self._stream.isatty() and os.environ.get("TERM") != "dumb":
            self._live = _live_line(self._stream)
            self._task = self._live.add_task("", total=None, numbers="")
            self._live.start()

    def on_resume(self, trainer: Any) -> None:
        """What was done before the run was broken off took no time of this one."""
        state = trainer.state
        self._epoch_started, self._examples_before = time.monotonic(), state.examples
        self._first_epoch = state.epoch + (state.batch / state.batches if state.batches else 0.0)

    def on_epoch_begin(self, trainer: Any) -> None:
        self._epoch_started, self._examples_before = time.monotonic(), 0

    def on_slice_end(self, trainer: Any) -> None:
        now = time.monotonic()
        if self._live is not None and now - self._refreshed >= REFRESH_SECONDS:
            self._refreshed = now
            done, total = trainer.state.batch + 1, trainer.state.batches
            text = self._numbers(trainer, trainer.running_logs(), now)
            self._live.update(
                self._task, completed=done, total=total, description=_epoch(trainer), numbers=text, refresh=True
            )
        elif self._live is None and now - self._printed >= BATCH_LINE_SECONDS:
            batch = f"batch {trainer.state.batch + 1}" + (f"/{trainer.state.batches}" if trainer.state.batches else "")
            self._print(f"{_epoch(trainer)}  {batch}  {self._numbers(trainer, trainer.running_logs(), now)}", now)

    def on_epoch_end(self, trainer: Any) -> None:
        now = time.monotonic()
        self._last_line = f"{_epoch(trainer)}  {self._numbers(trainer, trainer.state.logs, now, epochs_only=True)}"
        if self.every_epoch or now - self._printed >= LINE_SECONDS:
            self._print(self._last_line, now)
            self._last_line = ""

    def on_fit_end(self, trainer: Any) -> None:
        if getattr(self, "_last_line", ""):
            self._print(self._last_line, time.monotonic())
        if trainer.state.stop_reason:
            self._print(f"stopped: {trainer.state.stop_reason}", time.monotonic())
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, line: str) -> None:
        """A lasting line above the live one, for what other callbacks have to tell while training."""
        self._print(line, self._printed)

    def _print(self, line: str, now: float) -> None:
        self._printed = now
        if self._live is not None:
            self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)
        elif self._stream is not None:  # a program without a terminal may have no stderr at all
            self._stream.write(line + "\n")
            self._stream.flush()

    def _numbers(self, trainer: Any, logs: dict[str, Any], now: float, epochs_only: bool = False) -> str:
        shown = {name: value for name, value in plain_numbers(logs).items() if name not in ("learning_rate", "seconds")}
        parts = [f"{name} {value:.4f}" if 1e-3 <= abs(value) < 1e5 else f"{name} {value:.3g}"
                 for name, value in shown.items()]  # fmt: skip
        speed = (trainer.state.examples - self._examples_before) / max(now - self._epoch_started, 1e-9)
        parts.append(f"{speed:,.0f} examples/s")
        left = self._seconds_left(trainer, now, epochs_only)
        return "  ".join(parts + ([f"left {_clock(left)}"] if left is not None else []))

    def _seconds_left(self, trainer: Any, now: float, is_epoch_over: bool) -> float | None:
        """By the share of the epochs that is done, the one under way included where its length is known."""
        state = trainer.state
        if not is_epoch_over and not state.batches:
            return None
        done = state.epoch - self._first_epoch + (1.0 if is_epoch_over else (state.batch + 1) / state.batches)
        total = state.epochs - self._first_epoch
        return (now - self._started) * max(total - done, 0.0) / done if done else None


def _live_line(stream: TextIO) -> Any:
    """A line that rewrites itself. Rich is imported only here, where there is a terminal: it takes 0.03 s."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

    columns = TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.fields[numbers]}")
    return Progress(*columns, console=Console(file=stream), transient=True, auto_refresh=False)


def _epoch(trainer: Any) -> str:
    width = len(str(trainer.state.epochs))
    return f"epoch {trainer.state.epoch + 1:>{width}}/{trainer.state.epochs}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
