"""How many threads a step may use: what this process was given of the machine, and what its user chose.

In: the affinity of the process, the CPU quota of its container, the machine's table of cores, THALWEG_THREADS, and
`set_num_threads`. Out: numbers of threads. The result of a step never depends on them.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator

import numpy as np

from thalweg.errors import ArgumentError, ConfigurationError, explain

MOST_THREADS = 1024

_chosen = [0]  # by the user, or by the machine once it has been asked; 0 before that


def set_num_threads(n: int) -> None:
    """Let compiled steps use `n` threads, in the whole process, from the next step on.

    The default is THALWEG_THREADS, or else one thread for each physical core that this process may use. Results are
    the same bits with any number.

    Args:
        n: 1 to 1024. More than there are cores is allowed, and slower.

    Raises:
        ArgumentError: not a whole number, or out of that range.

    >>> import thalweg as tw
    >>> before = tw.get_num_threads()
    >>> tw.set_num_threads(2)
    >>> tw.get_num_threads()
    2
    >>> tw.set_num_threads(before)
    """
    is_whole = isinstance(n, int | np.integer) and not isinstance(n, bool)
    if not is_whole or not 1 <= n <= MOST_THREADS:
        raise ArgumentError(
            explain(
                "a number of threads is needed",
                received=f"{n!r} ({type(n).__name__})",
                expected=f"a whole number from 1 to {MOST_THREADS}",
                where="set_num_threads(n)",
                remedy="set_num_threads(1) turns threads off",
            )
        )
    _chosen[0] = int(n)


def get_num_threads() -> int:
    """How many threads a compiled step may use; a small step uses fewer.

    Raises:
        ConfigurationError: THALWEG_THREADS is not such a number.

    >>> import thalweg as tw
    >>> tw.get_num_threads() >= 1
    True
    """
    if not _chosen[0]:
        _chosen[0] = _threads_named(os.environ.get("THALWEG_THREADS", "")) or default_threads()
    return _chosen[0]


def _threads_named(text: str) -> int:
    """The number that a value of THALWEG_THREADS means; 0 if it leaves the choice to the machine."""
    digits = text.strip()
    if not digits:
        return 0
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 9 and 1 <= int(digits) <= MOST_THREADS):
        raise ConfigurationError(
            explain(
                "not a number of threads",
                received=repr(text),
                expected=f"a whole number from 1 to {MOST_THREADS}",
                where="THALWEG_THREADS",
                remedy="unset it to use every core that this process may use",
            )
        )
    return int(digits)


def usable_cores(root: str = "/") -> int:
    """How many threads of this process can run at the same moment: within affinity, quota and machine.

    Threads beyond this number take turns, so they must not spin while they wait for each other.
    """
    return min(len(_processors()), _quota(root))


def default_threads(root: str = "/") -> int:
    """As many, but one for each physical core: two hyper-threads share the units that a matrix product keeps busy."""
    return min(_physical(_processors(), root), _quota(root))


def _processors() -> set[int]:
    """The processors, as the system numbers them, on which this process may run."""
    everything = set(range(os.cpu_count() or 1))
    if not hasattr(os, "sched_getaffinity"):  # macOS, Windows
        return everything
    with contextlib.suppress(OSError):
        # As many as Python counts, which PYTHON_CPU_COUNT may lower; not those numbers: some may be offline.
        return set(sorted(os.sched_getaffinity(0))[: len(everything)])
    return everything


def _physical(processors: set[int], root: str) -> int:
    """How many cores these processors are. A core is known by the list of its hyper-threads, not by `core_id`, which
    starts again in each cluster of some ARM machines. A processor of which nothing can be read counts as one core."""
    cores = set()
    for each in processors:
        topology = os.path.join(root, f"sys/devices/system/cpu/cpu{each}/topology")
        siblings = (text_of(os.path.join(topology, name)) for name in ("core_cpus_list", "thread_siblings_list"))
        cores.add(next(filter(None, siblings), f"processor {each}"))
    return len(cores)


def _quota(root: str) -> int:
    """How many processors the control groups around this process leave it, rounded up; the most threads if all."""
    return min(map(_rounded_up, _limits(root)), default=MOST_THREADS)


def _rounded_up(limit: tuple[str, str]) -> int:
    """Microseconds of computing in a period of so many microseconds; `max` and -1 mean no limit."""
    with contextlib.suppress(ValueError):
        quota, period = map(int, limit)
        if quota > 0 and period > 0:
            return min(math.ceil(quota / period), MOST_THREADS)
    return MOST_THREADS


def _limits(root: str) -> Iterator[tuple[str, str]]:
    """Quota and period of every group that this process is in: the limit of an outer one binds the inner ones."""
    for version, group in control_groups(root, "cpu"):
        if version == 2:
            quota, _, period = text_of(os.path.join(group, "cpu.max")).partition(" ")
        else:
            quota, period = (text_of(os.path.join(group, f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
        yield quota, period


def control_groups(root: str, controller: str) -> Iterator[tuple[int, str]]:
    """Version and folder of every control group around this process that this controller may limit."""
    for line in text_of(os.path.join(root, "proc/self/cgroup")).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:  # version 2, alone or beside version 1
            yield from ((2, group) for group in _groups_around(root, ("", "unified"), path))
        elif controller in controllers.split(","):
            yield from ((1, group) for group in _groups_around(root, (controllers, controller), path))


def _groups_around(root: str, mounts: tuple[str, ...], path: str) -> Iterator[str]:
    """The folders of a control group and of those around it, under each place where the hierarchy may be mounted.

    Inside a container the path may be that of the host, which is not there: the mount itself is then the group.
    """
    names = [name for name in path.split("/") if name]
    for mount in mounts:
        for depth in range(len(names), -1, -1):
            yield os.path.join(root, "sys/fs/cgroup", mount, *names[:depth])


def text_of(path: str) -> str:
    """What stands in a file of the system, or nothing."""
    with contextlib.suppress(OSError, UnicodeDecodeError), open(path, encoding="ascii") as stream:
        return stream.read().strip()
    return ""
