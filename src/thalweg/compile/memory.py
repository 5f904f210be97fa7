"""The memory plan: where in one arena each intermediate value of a program lies.

In: the order of the nodes, their sizes and last uses. Out: an offset for each and the size of the arena, known before
anything runs. A place is used again when its value has been read for the last time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")
_ALIGNMENT = 64  # a cache line, and the widest vector


def plan_arena(
    births: Sequence[tuple[int, T]], sizes: Mapping[T, int], deaths: Mapping[T, int]
) -> tuple[dict[T, int], int]:
    """First fit: each value is born at its time and may be overwritten after the time of its death.

    >>> plan_arena([(0, "a"), (1, "b"), (2, "c")], {"a": 64, "b": 64, "c": 64}, {"a": 1, "b": 2, "c": 2})
    ({'a': 0, 'b': 64, 'c': 0}, 128)
    """
    offsets: dict[T, int] = {}
    live: list[tuple[int, int, int]] = []  # (offset, end, death), by offset
    total = 0
    for time, each in births:
        live = [block for block in live if block[2] >= time]
        size = -(-max(sizes[each], 1) // _ALIGNMENT) * _ALIGNMENT
        offset = 0
        for start, end, _ in live:
            if start - offset >= size:
                break
            offset = max(offset, end)
        offsets[each] = offset
        live.append((offset, offset + size, deaths[each]))
        live.sort()
        total = max(total, offset + size)
    return offsets, total
