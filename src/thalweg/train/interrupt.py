"""Ctrl-C and SIGTERM during training: finish the step, then stop with everything saved.

In: SIGINT or SIGTERM, in the main thread. Out: a call of the function that asks the loop to stop; a second Ctrl-C
raises KeyboardInterrupt at once. The handlers that were there before are put back in any case. After SIGTERM the
process ends as it would have: by the program's own handler, or with SystemExit and status 143.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

TERMINATED = 128 + signal.SIGTERM
"""The exit status that shells and supervisors know for a process that SIGTERM ended."""


class StopOnInterrupt:
    """A context in which the first signal calls `stop(what)` instead of ending the process.

    Outside the main thread it does nothing.
    """

    def __init__(self, stop: Callable[[str], None]) -> None:
        self.stop = stop
        self.asked = self.is_terminated = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number, handler in ((signal.SIGINT, self._interrupted), (signal.SIGTERM, self._terminated)):
                previous = signal.getsignal(number)
                # A program that ignores a signal, or handles it in C, keeps doing so; Ctrl-C that kills at once, too.
                if callable(previous) or (number == signal.SIGTERM and previous is signal.SIG_DFL):
                    self._previous[number] = signal.signal(number, handler)
        return self

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self.stop("Ctrl-C")

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        self.asked = self.is_terminated = True
        self.stop("SIGTERM")

    def __exit__(self, kind: object, error: object, *_: object) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        if self.is_terminated and error is None:
            if callable(self._previous[signal.SIGTERM]):
                os.kill(os.getpid(), signal.SIGTERM)
            else:
                raise SystemExit(TERMINATED)
