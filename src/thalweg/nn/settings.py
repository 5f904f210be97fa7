"""Checks of constructor arguments, and new parameters: what every layer's `__init__` needs.

In: what the user wrote.
Out: the same value when it makes sense, else an error that names the argument.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thalweg.dtype import DType
from thalweg.errors import ArgumentError, explain
from thalweg.nn.parameter import Parameter


def whole_number(what: str, value: int, at_least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < at_least:
        raise ArgumentError(
            explain(
                f"{what} must be a whole number", received=repr(value), expected=f"an integer of at least {at_least}"
            )
        )
    return int(value)


def whole_numbers(what: str, values: int | Sequence[int]) -> tuple[int, ...]:
    """One integer, or several."""
    several = (values,) if isinstance(values, (int, np.integer)) else tuple(values)
    return tuple(whole_number(what, each) for each in several)


def positive(what: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise ArgumentError(explain(f"{what} must not be negative", received=repr(value), expected="a number >= 0"))
    return value


def new_parameter(shape: tuple[int, ...], dtype: DType) -> Parameter:
    """Zeros, to be initialised."""
    return Parameter(np.zeros(shape, dtype.numpy))
