"""Which rows of a step must be done before a row may begin.

In: for each row the memory that it reads and writes. Out: for each row how many of the rows before it, in order, must
be done: up to the last one that writes what it reads or writes, or reads what it writes. Intermediate values share
memory when their lives do not overlap, so it is places that count, not values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Access:
    """Bytes `start` to `end` of a memory: the arena, or the array of an input or output."""

    memory: int
    start: int
    end: int
    writes: bool


def needs(rows: Sequence[Sequence[Access]], links: Sequence[int]) -> list[int]:
    """How many rows must be done before each row; before a chain, what any of its rows needs of those before it.

    A row with `links` is the first of a chain, in which so many rows behind it are done with it, piece by piece.

    >>> a, b = Access(0, 0, 64, True), Access(0, 64, 128, True)
    >>> needs([[a], [b], [Access(0, 0, 64, False)], [Access(0, 100, 101, True)]], [0, 0, 0, 0])
    [0, 0, 1, 2]
    >>> needs([[a], [b], [Access(0, 0, 64, False)], [Access(0, 100, 101, True)]], [0, 0, 1, 0])
    [0, 0, 2, 2]
    """
    flat = [(row, *_numbers(access)) for row, accesses in enumerate(rows) for access in accesses]
    table = np.array(flat, np.int64).reshape(-1, 5)
    begins = np.searchsorted(table[:, 0], np.arange(len(rows)))
    result: list[int] = []
    first, last_of_chain = 0, -1
    for row, accesses in enumerate(rows):
        if row > last_of_chain:
            first, last_of_chain = row, row + links[row]
        before, last = table[: begins[first]], 0
        for access in accesses:
            memory, start, end, writes = _numbers(access)
            meets = (before[:, 1] == memory) & (before[:, 2] < end) & (before[:, 3] > start)
            meets &= (before[:, 4] | writes) != 0
            last = max(last, int(before[meets, 0].max(initial=-1)) + 1)
        result.append(last)
        result[first] = max(result[first], last)
    return result


def _numbers(access: Access) -> tuple[int, int, int, int]:
    return access.memory, access.start, access.end, int(access.writes)
