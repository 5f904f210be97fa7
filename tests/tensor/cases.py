"""One call in the table of functions, and the arrays that such calls are made with.

In: shapes. Out: cases, and seeded arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

rng = np.random.default_rng(7)


@dataclass
class Case:
    """One call. `is_flat`: PyTorch gives a gradient of zeros where Thalweg knows that there is none."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    is_flat: bool = False


def case(*args: Any, **kwargs: Any) -> Case:
    return Case(args, kwargs)


def flat(*args: Any, **kwargs: Any) -> Case:
    return Case(args, kwargs, is_flat=True)


def real(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    return rng.uniform(low, high, shape)


def positive(*shape: int) -> np.ndarray:
    return real(*shape, low=0.3, high=3.0)


def distinct(*shape: int) -> np.ndarray:
    return (rng.permutation(int(np.prod(shape))).reshape(shape) - 4.0) * 0.37


def whole(*shape: int, high: int = 5, dtype: Any = np.int64) -> np.ndarray:
    return rng.integers(0, high, shape).astype(dtype)


def mask(*shape: int) -> np.ndarray:
    return rng.integers(0, 2, shape).astype(bool)
