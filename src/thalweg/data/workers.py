"""Doing the next reads while the program computes.

In: tasks, in order, and a number of threads. Out: their results, in the same order whatever the number of threads.
Threads, never forked processes: a fork copies locks that native code holds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def run_in_order(tasks: Iterable[Callable[[], Result]], workers: int, ahead: int) -> Generator[Result, None, None]:
    """Yield the result of each task in order; with `workers` threads up to `ahead` results are prepared in advance.

    An exception of a task is raised when its turn comes. Closing the iterator drops what has not begun and waits for
    the rest.

    >>> list(run_in_order([lambda: 1, lambda: 2], workers=2, ahead=4))
    [1, 2]
    """
    if workers == 0:
        for task in tasks:
            yield task()
        return
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="thalweg-data") as pool:
        try:
            for task in tasks:
                pending.append(pool.submit(task))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
