"""Ctrl-C during training: finish the step, then stop with everything saved.

In: SIGINT, in the main thread. Out: a call of the function that asks the loop to stop; a second Ctrl-C raises
KeyboardInterrupt at once. The handler that was there before is put back in any case.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self


class StopOnInterrupt:
    """A context in which the first Ctrl-C calls `stop` instead of raising; outside the main thread it does nothing."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self.stop = stop
        self.asked = False
        self._previous: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.getsignal(signal.SIGINT)
            # A program that ignores Ctrl-C, or handles it in C, keeps doing so.
            if callable(self._previous):
                signal.signal(signal.SIGINT, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self.stop()

    def __exit__(self, *_: object) -> None:
        if callable(self._previous):
            signal.signal(signal.SIGINT, self._previous)
