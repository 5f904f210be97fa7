"""Examples of the validation part that are in the training part too: data leakage.

In: the inputs of both parts. Out: a `Leakage`: how many rows are found again, and how many would be by chance, because
few different rows are possible. Rows are compared by a hash of their bytes, so every row is read once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SAMPLE = 1000
"""Rows from which chance is estimated."""
FEW_VALUES = 20
"""A feature with no more values than that is a category, or a whole number out of few."""
MOST_BYTES = 1 << 30
"""Of larger inputs only evenly spaced rows are read; what is found then is a lower bound."""


@dataclass(frozen=True)
class Leakage:
    """What rows say about two parts of a data set."""

    share: float = 0.0
    """Share of the rows of the validation part that are in the training part."""
    count: int = 0
    example: int = -1
    """The first such row of the validation part."""
    own: float = 0.0
    """Share of the rows of the training part that stand in it more than once."""
    by_chance: float = 0.0
    """Share of rows that would be found again if each feature was drawn by itself, as often as it has each value."""
    is_categorical: bool = False
    """Whether no feature has more than a few values: then equal rows may be different examples."""

    @property
    def is_natural(self) -> bool:
        """Whether equal rows are what such data has anyway: few rows are possible, or categories repeat themselves."""
        return self.share <= 2 * self.by_chance or (self.is_categorical and self.share <= 2 * self.own)


def leakage(x: Any, x_validation: Any) -> Leakage:
    """Compare the rows of two parts; inputs of several arrays are compared in all of them.

    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> leakage(x, np.concatenate([x[:5], x[:15] + 1])).share
    0.25
    """
    parts, others = as_tuple(x), as_tuple(x_validation)
    if not len(others[0]) or any(each.shape[1:] != other.shape[1:] for each, other in zip(parts, others, strict=True)):
        return Leakage()
    training, found = row_keys(parts), row_keys(others)
    known = set(training)
    places = [place for place, key in enumerate(found) if key in known]
    own = 1 - len(known) / len(training)
    if not places:
        return Leakage(own=own)
    rows = np.concatenate([_sample(each) for each in parts], axis=1)
    chance = len(training) * coincidence(rows)
    return Leakage(
        len(places) / len(found), len(places), places[0] * _stride(others), own, float(1 - np.exp(-chance)),
        all(len(np.unique(column)) <= FEW_VALUES for column in rows.T),
    )  # fmt: skip


def as_tuple(x: Any) -> tuple[np.ndarray, ...]:
    """The arrays of the inputs."""
    return x if isinstance(x, tuple) else (x,)


def row_keys(arrays: tuple[np.ndarray, ...]) -> list[int]:
    """A 64-bit hash of each row; -0 and 0 are the same."""
    every = _stride(arrays)
    columns = [each[::every] for each in arrays]
    return [hash(tuple((row + 0).tobytes() for row in rows)) for rows in zip(*columns, strict=True)]


def coincidence(rows: np.ndarray) -> float:
    """How likely two rows are equal if features were independent: the product over features of Σ n (n-1) / N (N-1)."""
    total, size = 0.0, len(rows)
    for column in rows.T:
        counts = np.unique(column, return_counts=True)[1].astype(np.float64)
        share = float((counts * (counts - 1)).sum() / max(size * (size - 1), 1))
        if share == 0:
            return 0.0
        total += np.log(share)
    return float(np.exp(total))


def _stride(arrays: tuple[np.ndarray, ...]) -> int:
    return 1 + sum(each.nbytes for each in arrays) // MOST_BYTES


def _sample(array: np.ndarray) -> np.ndarray:
    rows = np.linspace(0, len(array) - 1, min(len(array), SAMPLE)).astype(np.int64)
    return np.asarray(array[rows]).reshape(len(rows), -1)
