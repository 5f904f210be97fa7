"""Python data as arrays, with errors that say what cannot become a tensor.

In: numbers, nested lists, arrays, tensors (as arrays). Out: a NumPy array of numbers. Ragged rows, text, dates, objects
and missing values are refused here, before a NumPy message can confuse anyone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.compile.memory import empty_array
from thalweg.dtype import DType, bool_, dtype_of_array, float32, int64
from thalweg.errors import DataError, DTypeError, explain


def array_of(data: Any) -> np.ndarray:
    """`data` as an array of bools, integers or floating-point numbers."""
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise DataError(
            explain("these nested lists are not rectangular", received=str(error), expected="rows of equal length",
                    remedy="pad the rows, or keep them as a list of tensors")
        ) from None  # fmt: skip
    if array.dtype.kind not in "bifu":
        raise DTypeError(
            explain(
                "data of this type cannot become a tensor",
                received=_describe(data, array),
                expected="numbers, or (nested) lists or arrays of them",
                remedy="encode text and categories as numbers, and fill missing values, first",
            )
        )
    return array


def _describe(data: Any, array: np.ndarray) -> str:
    received = f"{type(data).__name__} (NumPy dtype {array.dtype})"
    if array.dtype == object and array.size:
        odd = next((each for each in array.reshape(-1) if not isinstance(each, (bool, int, float))), None)
        received += f" that holds {odd!r}"
    return received


def natural_dtype(data: Any, array: np.ndarray) -> DType:
    """An array keeps its own dtype; Python floats are float32, ints int64, bools bool."""
    if isinstance(data, (np.ndarray, np.generic)):
        return dtype_of_array(array)
    return {"b": bool_, "f": float32}.get(array.dtype.kind, int64)


def converted(array: np.ndarray, dtype: DType) -> np.ndarray:
    """A copy in `dtype`; what is too large becomes an infinity without a warning, as in PyTorch."""
    result = empty_array(array.shape, dtype)
    with np.errstate(all="ignore"):
        np.copyto(result, array, casting="unsafe")
    return result
