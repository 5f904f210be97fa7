"""The threads that share a step: they meet at a mailbox, walk through a table together, and sleep between steps.

In: the address of a table, and how much scratch its kernels need. Out: the step done. One caller at a time owns the
pool; another runs its step alone on its own thread, with the same bits. Workers wait in native code for 0.2 ms, where
they burn a core but answer at once, and then on a semaphore.
"""

from __future__ import annotations

import atexit
import os
import threading
import time

import numpy as np

from thalweg.compile import runtime
from thalweg.compile.cores import get_num_threads, usable_cores
from thalweg.compile.library import Shared, shared
from thalweg.compile.notices import notice

_FIRST = runtime.ASLEEP * runtime.LINE  # the word of worker 0, who is the caller and never sleeps


class Pool:
    """Workers for one runtime. They are started when a step first needs them, and end with the process."""

    def __init__(self, functions: Shared) -> None:
        self._functions = functions
        self._lock = threading.Lock()
        self._clear()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._clear)
        atexit.register(self._rest)

    def _clear(self) -> None:
        """No workers: at the beginning, and in a child process, to which a fork brings none."""
        self._lock = threading.Lock()
        self._mail = _aligned(_FIRST + runtime.LINE)
        self._bells: list[threading.Semaphore] = []
        self._wanted = 0  # workers; there are fewer where the system allows no more threads
        self._room = np.empty(0, np.uint8)
        self._patience = 1

    def step(self, address: int, scratch: int) -> None:
        """Run the table together with as many workers as `get_num_threads` allows, or alone if they are busy."""
        count = get_num_threads()
        if count == 1 or not self._lock.acquire(blocking=False):
            self._functions.alone(address)
            return
        try:
            if self._wanted != count - 1:
                self._hire(count - 1)
            self._prepare(count, scratch)
            for worker, bell in enumerate(self._bells, 1):
                if self._mail[_FIRST + worker * runtime.LINE]:
                    bell.release()
            self._functions.lead(self._mail.ctypes.data, address)
        finally:
            self._lock.release()

    def _prepare(self, count: int, scratch: int) -> None:
        """Room for each thread, on cache lines of its own; and how long to spin, not at all where cores are short."""
        each = -(-scratch // 64) * 64 + 64
        if each * count > self._room.size:
            self._room = _aligned(each * count // 8).view(np.uint8)
        mail = self._mail
        mail[runtime.ROOM * runtime.LINE] = self._room.ctypes.data
        mail[runtime.ROOM_EACH * runtime.LINE] = each
        mail[runtime.SPIN * runtime.LINE] = self._patience

    def _hire(self, workers: int) -> None:
        """Other workers in the place of those that are there, whom a mailbox that nobody writes to sends home."""
        for bell in self._bells:
            bell.release()
        self._mail = _aligned(_FIRST + (workers + 1) * runtime.LINE)
        self._patience = runtime.SPIN_AT_ROW if workers < usable_cores() else 1
        self._bells, self._wanted = [], workers
        for worker in range(1, workers + 1):
            bell = threading.Semaphore(0)
            try:
                threading.Thread(target=self._work, args=(worker, bell, self._mail), daemon=True).start()
            except RuntimeError as error:  # the limit of the user, or of the container
                remedy = f"raise the limit (ulimit -u, pids.max), or set THALWEG_THREADS={worker}"
                notice(f"only {worker} of {workers + 1} threads: {error}", "steps are as right, and slower", remedy)
                return
            self._bells.append(bell)

    def _rest(self) -> None:
        """Before the process ends, whose end takes the machine code away: no worker may still be in it."""
        with self._lock:
            self._mail[runtime.SPIN * runtime.LINE] = 0
            until = time.monotonic() + 0.1
            words = [_FIRST + worker * runtime.LINE for worker in range(1, len(self._bells) + 1)]
            while not all(self._mail[word] for word in words) and time.monotonic() < until:
                time.sleep(0.0005)

    def _work(self, worker: int, bell: threading.Semaphore, mail: np.ndarray) -> None:
        seen, place = 0, mail.ctypes.data
        while mail is self._mail:
            seen = self._functions.serve(place, worker, seen)
            bell.acquire()


def _aligned(words: int) -> np.ndarray:
    """Words of zero that begin on a cache line."""
    room = np.zeros(words + runtime.LINE, np.int64)
    start = -room.ctypes.data % 64 // 8
    return room[start : start + words]


_pools: dict[int, Pool] = {}
_lock = threading.Lock()


def pool() -> Pool:
    """The pool of the current target."""
    functions = shared()
    with _lock:
        if id(functions) not in _pools:
            _pools[id(functions)] = Pool(functions)
        return _pools[id(functions)]
