"""What every metric does with its input before it counts: arrays out of anything, and checks that name the fault.

In: predictions, targets and weights as a user or the Trainer hands them over. Out: finite NumPy arrays whose shapes
fit, one weight for each example, or an error that says what was received, what was expected and the remedy.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from thalweg.errors import ArgumentError, DTypeError, NonFiniteError, ShapeError, explain

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def as_array(value: Any, role: str, where: str) -> Array:
    """The NumPy array behind an array, a tensor, a list or a number; numbers only."""
    if hasattr(value, "detach"):
        value = value.detach()
    try:
        array: Array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    except ValueError as error:  # NumPy's word for rows of unequal length
        problem, remedy = f"the {role} is not a rectangular array", "give every row the same length"
        raise ShapeError(explain(problem, received=error, where=where, remedy=remedy)) from None
    if array.dtype.kind not in "biuf":
        raise DTypeError(
            explain(
                f"the {role} is not an array of real numbers",
                received=f"dtype {array.dtype}",
                expected="floating, integer or bool",
                where=where,
                remedy="encode names as integer labels first" if array.dtype.kind in "OUS" else "take the real part",
            )
        )
    return array


def require_finite(array: Array, role: str, where: str, infinity: bool = False) -> None:
    """Refuse NaN (and infinity unless allowed), naming the first place."""
    if array.dtype.kind != "f":
        return
    bad = np.isnan(array) if infinity else ~np.isfinite(array)
    if bad.any():
        place = tuple(int(index) for index in np.argwhere(bad)[0])
        raise NonFiniteError(
            explain(
                f"the {role} holds a number that is not finite",
                received=f"{array[place]} at position {place}, {int(bad.sum())} in all",
                expected="finite numbers" if not infinity else "numbers, no NaN",
                where=where,
                remedy="lower the learning rate or clip the gradients" if role == "prediction" else "clean the data",
            )
        )


def require_examples(array: Array, role: str, where: str) -> None:
    """Refuse a number without a batch axis."""
    if array.ndim == 0:
        raise ShapeError(
            explain(
                f"the {role} has no batch axis",
                received="a single number",
                expected="shape (N, ...), one row for each example",
                where=where,
                remedy="wrap it in a list",
            )
        )


def shape_mismatch(
    prediction: Array,
    target: Array,
    expected: str,
    where: str,
    remedy: str = "every prediction needs one target",
) -> ShapeError:
    return ShapeError(
        explain(
            "the shapes of prediction and target do not fit",
            received=f"prediction {prediction.shape}, target {target.shape}",
            expected=expected,
            where=where,
            remedy=remedy,
        )
    )


def example_weights(weight: Any, shape: tuple[int, ...], where: str) -> Array:
    """Weights in float64, one for each element of `shape`: given per example (N,), per element, or 1 everywhere."""
    if weight is None:
        return np.ones(shape)
    array = as_array(weight, "weight", where).astype(np.float64)
    require_finite(array, "weight", where)
    if array.shape != shape and array.shape != shape[:1] and array.ndim != 0:
        raise ShapeError(
            explain(
                "the weights do not fit the examples",
                received=f"weights of shape {array.shape}",
                expected=f"{shape[:1]}, one for each example" + (f", or {shape}" if len(shape) > 1 else ""),
                where=where,
            )
        )
    if (array < 0).any():
        received = f"a smallest weight of {array.min()}"
        raise ArgumentError(explain("a weight is negative", received=received, expected="0 or more", where=where))
    if 0 < array.ndim < len(shape):
        array = array.reshape(array.shape + (1,) * (len(shape) - array.ndim))
    return np.array(np.broadcast_to(array, shape))
