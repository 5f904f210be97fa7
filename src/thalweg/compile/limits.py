"""How much memory this process may still take: of the machine, of its control groups, of its address space.

In: what Linux says of them. Out: a number of bytes, or None where nobody says. Asked before a large arena is allocated,
because the system hands out what it does not have and later kills the process that touches it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from thalweg.compile.cores import control_groups, text_of

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_ENDLESS = 1 << 60  # what a control group without a limit says is more than this


def available_memory(root: str = "/") -> int | None:
    """Bytes that this process may still take: the least that any of the limits leaves; None where none is known."""
    found = [*_of_machine(root), *_of_groups(root), *_of_address_space(root)]
    return max(0, min(found)) if found else None


def _of_machine(root: str) -> Iterator[int]:
    """What can be had without swapping: free memory, and the part of the caches that can be given up."""
    available = _numbers(text_of(os.path.join(root, "proc/meminfo")), ":").get("MemAvailable")
    if available is not None:
        yield 1024 * available


def _of_groups(root: str) -> Iterator[int]:
    """The limit of every group around this process, less what is used; caches of files that are not in use are not."""
    for version, group in control_groups(root, "memory"):
        if version == 2:
            yield from _left(group, "memory.max", "memory.current", "inactive_file")
        else:
            yield from _left(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _left(group: str, limit_name: str, usage_name: str, cache_name: str) -> Iterator[int]:
    limit, usage = (text_of(os.path.join(group, name)) for name in (limit_name, usage_name))
    if limit.isdecimal() and usage.isdecimal() and int(limit) < _ENDLESS:  # "max" is no limit
        cache = _numbers(text_of(os.path.join(group, "memory.stat")), " ").get(cache_name, 0)
        yield int(limit) - int(usage) + min(cache, int(usage))


def _of_address_space(root: str) -> Iterator[int]:
    """`ulimit -v`, less the addresses that are taken, whether anything was ever written there or not."""
    soft = resource.getrlimit(resource.RLIMIT_AS)[0] if resource is not None else -1
    pages = text_of(os.path.join(root, "proc/self/statm")).partition(" ")[0]
    if 0 <= soft < _ENDLESS and pages.isdecimal():
        yield soft - int(pages) * os.sysconf("SC_PAGE_SIZE")


def _numbers(text: str, separator: str) -> dict[str, int]:
    """The lines `name: number unit` of a file of the system."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(separator)
        with contextlib.suppress(ValueError, IndexError):
            found[name] = int(rest.split()[0])
    return found
