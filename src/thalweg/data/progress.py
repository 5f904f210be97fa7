"""A line on stderr for reading that takes longer than two seconds.

In: how much is done, out of how much. Out: one line that rewrites itself on a terminal, a plain line now and then
elsewhere. Nothing is printed for work that is over sooner.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

QUIET_SECONDS = 2.0
PLAIN_INTERVAL = 10.0
TERMINAL_INTERVAL = 0.2
Item = TypeVar("Item")


class Progress:
    """Counts `unit`s of a long read and says so: ``with Progress("scanning big.csv", "rows") as progress``."""

    def __init__(self, label: str, unit: str, total: int | None = None) -> None:
        self.label, self.unit, self.total = label, unit, total
        self.started = self.printed = time.monotonic()
        self.shown = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.shown and sys.stderr.isatty():
            sys.stderr.write("\n")

    def update(self, done: int) -> None:
        """Say that `done` units are behind us."""
        now = time.monotonic()
        interval = TERMINAL_INTERVAL if sys.stderr.isatty() else PLAIN_INTERVAL
        if now - self.started < QUIET_SECONDS or (self.shown and now - self.printed < interval):
            return
        self.shown, self.printed = True, now
        end = "\r" if sys.stderr.isatty() else "\n"
        sys.stderr.write(f"{self.label}: {self._amount(done)}{end}")
        sys.stderr.flush()

    def counted(self, items: Iterable[Item], every: int = 1 << 14) -> Iterator[Item]:
        """The items, counted as they pass."""
        for number, item in enumerate(items, 1):
            if number % every == 0:
                self.update(number)
            yield item

    def _amount(self, done: int) -> str:
        if self.total:
            return f"{done:,} of {self.total:,} {self.unit} ({100 * done / self.total:.0f} %)"
        return f"{done:,} {self.unit}"
