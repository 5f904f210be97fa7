"""Memory for intermediate values, lent to one step at a time: programs that never run at once need only one room.

In: how many bytes a step needs. Out: a room for them, until it is given back. A network that meets a dozen shapes of
batch has a dozen programs; with a room for each, a translator that needs 1 GiB took ten.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref

import numpy as np

_ALIGNMENT = 64


class Rooms:
    """The rooms that are free now: as many as there were steps at once, each as large as any of them asked for."""

    def __init__(self) -> None:
        self._wanted: dict[int, int] = {}  # bytes, of each program that is alive
        self._numbers = itertools.count()
        self._clear()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._clear)

    def _clear(self) -> None:
        """Nothing free: at the beginning, and in a child process, whose parent may be in the middle of taking."""
        self._free: list[np.ndarray] = []
        self._lock = threading.Lock()

    @property
    def bytes_free(self) -> int:
        """What is kept for the next step."""
        return sum(each.size for each in self._free)

    def expect(self, size: int, owner: object) -> None:
        """The owner will take rooms of this size as long as it lives; no larger ones are kept than somebody expects."""
        number = next(self._numbers)
        self._wanted[number] = size
        weakref.finalize(owner, self._forget, number).atexit = False

    def _forget(self, number: int) -> None:
        self._wanted.pop(number, None)
        if self._lock.acquire(blocking=False):  # who holds it looks himself; here the collector may have come between
            self._trim()
            self._lock.release()

    def _trim(self) -> None:
        most = max(tuple(self._wanted.values()), default=0)
        self._free = [each for each in self._free if each.size <= most + _ALIGNMENT]

    def take(self, size: int) -> np.ndarray:
        """A room of so many bytes, or more, that nobody else has until it is given back."""
        with self._lock:
            room = self._free.pop() if self._free else None
        if room is None or room.size < size + _ALIGNMENT:
            room = None  # the system has it back before it is asked for a larger one
            room = new_room(size)
        return room

    def give_back(self, room: np.ndarray) -> None:
        """It may be lent to another step."""
        with self._lock:
            self._free.append(room)
            self._trim()


def new_room(size: int) -> np.ndarray:
    """So many bytes, and as many more as it takes to begin on a cache line."""
    return np.empty(size + _ALIGNMENT, np.uint8)


def start_of(room: np.ndarray) -> int:
    """The address of its first cache line."""
    return -(-room.ctypes.data // _ALIGNMENT) * _ALIGNMENT


rooms = Rooms()
