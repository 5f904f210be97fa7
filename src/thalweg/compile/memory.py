"""The memory plan: where in one arena each intermediate value of a program lies; and arrays that begin on a cache line.

In: the order of the nodes, their sizes and last uses. Out: an offset for each and the size of the arena, known before
anything runs. A place is used again when its value has been read for the last time.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from thalweg.dtype import DType
from thalweg.graph import Shape

T = TypeVar("T")
_ALIGNMENT = 64  # a cache line, and the widest vector
_RESTS = (8, 4, 2)  # kernels that run before a place is used again
_LOOSER = 1.25  # times by which the arena may grow for that
_LARGE = 1 << 14  # bytes from which on the place of an array is worth four microseconds


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


def plan_loosely(
    births: Sequence[tuple[int, T]], sizes: Mapping[T, int], deaths: Mapping[T, int]
) -> tuple[dict[T, int], int]:
    """A plan in which a place is not used again at once, if it costs little: kernels side by side then wait less.

    >>> plan_loosely([(0, "a"), (1, "b"), (2, "c")], {"a": 64, "b": 640, "c": 64}, {"a": 1, "b": 2, "c": 2})
    ({'a': 0, 'b': 64, 'c': 704}, 768)
    """
    tight = plan_arena(births, sizes, deaths)
    for rest in _RESTS:
        loose = plan_arena(births, sizes, {each: death + rest for each, death in deaths.items()})
        if loose[1] <= _LOOSER * tight[1]:
            return loose
    return tight


def plan_tightly(
    births: Sequence[tuple[int, T]], sizes: Mapping[T, int], deaths: Mapping[T, int]
) -> tuple[dict[T, int], int]:
    """The largest first, each at the lowest place that is free all its life; or first fit, if that takes less.

    Pisarchyk and Lee 2020, "Efficient memory management for deep neural net inference", greedy by size: within a few
    percent of what is alive at once, where first fit leaves gaps. It takes time by the square of the number of values.

    >>> sizes, deaths = {"a": 64, "b": 64, "c": 64, "d": 128}, {"a": 1, "b": 2, "c": 3, "d": 3}
    >>> lives = [(0, "a"), (0, "b"), (1, "c"), (2, "d")], sizes, deaths
    >>> plan_arena(*lives)[1], plan_tightly(*lives)[1]
    (320, 256)
    """
    born = {each: time for time, each in births}
    offsets: dict[T, int] = {}
    placed: list[tuple[int, int, int, int]] = []  # (offset, end, birth, death), by offset
    total = 0
    for each in sorted(born, key=lambda each: -sizes[each]):
        size, birth, death = -(-max(sizes[each], 1) // _ALIGNMENT) * _ALIGNMENT, born[each], deaths[each]
        offset = 0
        for start, end, other_birth, other_death in placed:
            if birth <= other_death and other_birth <= death:
                if start - offset >= size:
                    break
                offset = max(offset, end)
        offsets[each] = offset
        insort(placed, (offset, offset + size, birth, death))
        total = max(total, offset + size)
    first_fit = plan_arena(births, sizes, deaths)
    return (offsets, total) if total < first_fit[1] else first_fit


class _Room(np.ndarray):
    """Bytes around one array, which nobody else shows: a view of the array has the array as its base, not these."""


def empty_array(shape: Shape, dtype: DType) -> np.ndarray:
    """A new array; a large one begins on a cache line.

    NumPy's own begin 16 bytes behind one, and every vector that is stored there goes to two lines: measured on layer
    norm, a step takes 1.3 times as long.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < _LARGE:
        return np.empty(shape, dtype.numpy)
    return _in_room(shape, dtype, _Room((size + _ALIGNMENT,), np.uint8))


def zero_array(shape: Shape, dtype: DType) -> np.ndarray:
    """The same, of zeros: a large one is the system's own zeros, which cost nothing until they are touched."""
    size = math.prod(shape) * dtype.itemsize
    if size < _LARGE:
        return np.zeros(shape, dtype.numpy)
    return _in_room(shape, dtype, np.zeros(size + _ALIGNMENT, np.uint8).view(_Room))


def _in_room(shape: Shape, dtype: DType, room: np.ndarray) -> np.ndarray:
    return np.ndarray(shape, dtype.numpy, room, -room.__array_interface__["data"][0] % _ALIGNMENT)


def address_of(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def has_own_memory(array: np.ndarray) -> bool:
    """Whether the array is no view of another."""
    return array.base is None or type(array.base) is _Room
