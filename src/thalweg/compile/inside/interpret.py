"""Running loop text in Python: slow, plain, and with every access to memory checked.

In: the text of one kernel and an array for each of its buffers. Out: the arrays, written as the kernel writes them. An
index past the end of a buffer, which native code would not notice, is an error here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from thalweg import ops
from thalweg.graph import Primitive
from thalweg.ops.random import words_at


class Buffer:
    """Memory in row-major order, read and written at places or at vectors of places, some lanes only where masked."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array.reshape(-1)

    def at(self, start: int) -> Buffer:
        return Buffer(self.array[start:])

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, tuple):
            return self.array[self._checked(key)]
        places, mask = self._masked(key)
        result = np.zeros(mask.shape, self.array.dtype)
        result[mask] = self.array[self._checked(places[mask])]
        return result

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, tuple):
            self.array[self._checked(key)] = value
            return
        places, mask = self._masked(key)
        self.array[self._checked(places[mask])] = np.broadcast_to(value, mask.shape)[mask]

    def _masked(self, key: tuple[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
        places, mask = key
        places = np.reshape(places, -1)
        return places, np.broadcast_to(mask, places.shape)

    def _checked(self, places: Any) -> Any:
        if np.any(np.less(places, 0)) or np.any(np.greater_equal(places, self.array.size)):
            raise IndexError(f"the kernel reads or writes place {places} of a buffer of {self.array.size} entries")
        return places


def run(text: str, buffers: Mapping[str, np.ndarray], pieces: int = 1) -> list[tuple[int, int]]:
    """Run all pieces of a kernel on its buffers, by their names; the bad positions that it recorded, as (place, value).

    The last piece comes first: none may need another. With `pieces` 0 the kernel is done as a whole.
    """
    recorded: list[tuple[int, int]] = []
    names: dict[str, Any] = {**_WORDS, "record": lambda place, value: recorded.append((int(place), int(value)))}
    exec(text, names)
    function = names[text.partition("(")[0].split()[-1]]
    wanted = function.__code__.co_varnames[: function.__code__.co_argcount]
    with np.errstate(all="ignore"):
        for piece in reversed(range(pieces)) if pieces else (-1,):
            function(*[piece if name == "piece" else Buffer(buffers[name]) for name in wanted])
    return recorded


def _converted(dtype: str, x: Any) -> Any:
    return np.asarray(x).astype(dtype)[()]


def _fma(a: Any, b: Any, c: Any) -> Any:
    """In one rounding for float32; float64 has no wider format here and rounds twice."""
    return np.asarray(np.float64(a) * b + c).astype(np.result_type(a, b, c))[()]


def _in_halves(combine: Callable[[Any, Any], Any], x: np.ndarray) -> Any:
    while x.size > 1:
        x = combine(x[: x.size // 2], x[x.size // 2 :])
    return x[0]


def _truncated_quotient(a: Any, b: Any) -> Any:
    return np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))


def _shift_right(x: Any, by: int) -> Any:
    """Zeros come in from the left, also for a negative number."""
    return (np.asarray(x, np.int64).view(np.uint64) >> np.uint64(by)).view(np.int64)[()]


def _meaning(record: Primitive) -> Callable[..., Any]:
    def meaning(*x: Any) -> Any:
        result: np.ndarray = np.asarray(record.numpy(*map(np.asarray, x)))
        return result[()]

    return meaning


_WORDS: dict[str, Any] = {
    **{each.name: _meaning(each) for each in vars(ops).values() if isinstance(each, Primitive)},
    "lanes": np.arange,
    "first": lambda count, lanes: np.arange(lanes) < count,
    "vector": lambda lanes, value, dtype: np.full(lanes, dtype(value)),
    "room": lambda entries, dtype: Buffer(np.full(entries, dtype(0))),
    "vector_of": lambda *x: np.array(x),
    "transpose": lambda *rows: tuple(np.stack(np.broadcast_arrays(*rows)).T),
    "shuffle": lambda a, b, picks: np.concatenate([a, b])[picks],
    "in_halves": _in_halves,
    "select": lambda condition, yes, no: np.asarray(np.where(condition, yes, no))[()],
    "below": lambda x, extent: (np.asarray(x) >= 0) & (np.asarray(x) < extent),
    "not_": np.logical_not,
    "any_lane": np.any,
    "bits": lambda x, dtype: np.asarray(x).view(dtype)[()],
    "fma": _fma,
    "random_words": words_at,
    "truncated_quotient": _truncated_quotient,
    "truncated_remainder": lambda a, b: a - b * _truncated_quotient(a, b),
    "shift_right": _shift_right,
    "fmod": np.fmod,
    "copysign": np.copysign,
    "floor_divide": np.floor_divide,
    "remainder": np.remainder,
    "fabs": np.abs,
    "pow": np.power,
    "sign": np.sign,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "inf": np.inf,
    "nan": np.nan,
    **{name: partial(_converted, name) for name in ("float32", "float64", "uint8", "int32", "int64")},
    "bool_": partial(_converted, "bool"),
}  # fmt: skip
