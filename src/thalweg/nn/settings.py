"""Checks of constructor arguments, and new parameters: what every layer's `__init__` needs.

In: what the user wrote.
Out: the same value when it makes sense, else an error that names the argument.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thalweg.dtype import DType, as_dtype, float32
from thalweg.errors import ArgumentError, DTypeError, explain
from thalweg.nn.parameter import Parameter
from thalweg.tensor.devices import check_device


def whole_number(what: str, value: int, at_least: int | None = 0) -> int:
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_whole or (at_least is not None and value < at_least):
        bound = "" if at_least is None else f" of at least {at_least}"
        raise ArgumentError(
            explain(f"{what} must be a whole number", received=repr(value), expected=f"an integer{bound}")
        )
    return int(value)


def whole_numbers(what: str, values: int | Sequence[int], at_least: int | None = 0) -> tuple[int, ...]:
    """One integer, or several."""
    several = tuple(values) if isinstance(values, (list, tuple)) else (values,)
    return tuple(whole_number(what, each, at_least) for each in several)


def per_axis(what: str, value: int | Sequence[int], axes: int, at_least: int = 0) -> tuple[int, ...]:
    """One integer for each of so many axes; a single one means the same for all."""
    numbers = whole_numbers(what, value, at_least)
    if not isinstance(value, (list, tuple)):
        return numbers * axes
    if len(numbers) != axes:
        raise ArgumentError(
            explain(f"{what} needs one number an axis", received=repr(value), expected=f"an integer, or {axes} of them")
        )
    return numbers


def positive(what: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise ArgumentError(explain(f"{what} must not be negative", received=repr(value), expected="a number >= 0"))
    return value


def new_parameter(shape: tuple[int, ...], dtype: DType) -> Parameter:
    """Zeros, to be initialised."""
    return Parameter(np.zeros(shape, dtype.numpy))


def weight_dtype(device: object, dtype: object) -> DType:
    """The dtype of a new layer's floating-point state, float32 unless told otherwise; the place can only be the CPU."""
    check_device(device)
    kind = as_dtype(dtype) if dtype is not None else float32
    if not kind.is_floating_point:
        raise DTypeError(
            explain(
                "weights are floating-point numbers",
                received=f"dtype={kind.name}",
                expected="float32 or float64",
                remedy="leave dtype out for float32",
            )
        )
    return kind
