"""Files written while training goes on: by a thread, from copies; whoever asked hears what went wrong.

In: a function that writes one file, at a step boundary. Out: the file some time later; `finished` gives the paths that
are on disk since it was last asked, and the errors of those that are not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from thalweg.errors import ThalwegError


class BackgroundWriter:
    """One file at a time: who asks for the next waits for the one before, so that no copies pile up.

    Hashing, writing and flushing to disk let other threads run meanwhile.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._done: list[tuple[Path, Exception | None]] = []

    @property
    def is_busy(self) -> bool:
        """Whether a file is being written."""
        return self._thread is not None and self._thread.is_alive()

    def write(self, path: Path, function: Callable[[], None]) -> None:
        """Call the function, which writes this file, in the background."""
        self.wait()
        self._thread = threading.Thread(target=self._run, args=(path, function), name="thalweg-writer")
        try:
            self._thread.start()
        except RuntimeError:  # no further thread may be started: then training waits for the file
            self._thread = None
            self._run(path, function)

    def _run(self, path: Path, function: Callable[[], None]) -> None:
        try:
            function()
        except (ThalwegError, OSError, MemoryError) as error:
            self._done.append((path, error))
        else:
            self._done.append((path, None))

    def wait(self) -> None:
        """Until the last file is on disk."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def finished(self) -> list[tuple[Path, Exception | None]]:
        """What has come to its end since this was last asked."""
        done, self._done = self._done, []
        return done
