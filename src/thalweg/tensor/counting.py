"""What is counted, found and compared: results whose shape, or whose value in Python, depends on the entries.

In: tensors. Out: tensors without gradients, or Python bools. Values are computed at once, so inside a compiled step
these raise TraceError. `METHODS` says under which names users find them, as methods and as functions of `tw`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from thalweg.errors import ArgumentError, DTypeError, ShapeError, explain
from thalweg.tensor.core import Tensor
from thalweg.tensor.shaping import axis_of


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The positions of the entries that are not 0, one row each; with `as_tuple` a tensor for each axis.

    How many there are depends on values, so it cannot stand in a compiled step.
    """
    found = np.argwhere(input._array())
    if not as_tuple:
        return Tensor(found)
    if not input.ndim:  # a number counts as a row of one
        return (Tensor(np.zeros(len(found), np.int64)),)
    return tuple(Tensor(np.ascontiguousarray(column)) for column in found.T)


def argwhere(input: Tensor) -> Tensor:
    """The positions of the entries that are not 0, one row each: `nonzero`.

    >>> import thalweg as tw
    >>> tw.argwhere(tw.tensor([[0, 3], [4, 0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    return Tensor(np.argwhere(input._array()))


# --- different entries -----------------------------------------------------------------------------------------------


def unique(
    input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
    dim: int | None = None,
) -> Any:  # fmt: skip
    """The different entries in ascending order (with `dim` the different slices of an axis), each NaN one of its own.

    - `return_inverse`: also the position of each entry in the result;
    - `return_counts`: also how often each comes. Then the result is a tuple.

    They are sorted in any case, as PyTorch's are.

    >>> import thalweg as tw
    >>> values, counts = tw.unique(tw.tensor([3, 1, 3, 2]), return_counts=True)
    >>> values, counts
    (tensor([1, 2, 3]), tensor([1, 1, 2]))
    """
    array = input._array()
    if dim is None:
        found = np.unique(array, return_inverse=True, return_counts=True, equal_nan=False)
        shape = array.shape
    else:
        axis = _axis_with_slices("unique", input, dim)
        found = np.unique(array, return_inverse=True, return_counts=True, axis=axis, equal_nan=False)
        shape = (array.shape[axis],)
    values, inverse, counts = found
    return _answer(values, inverse.reshape(shape) if return_inverse else None, counts if return_counts else None)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The first of each run of equal entries (with `dim` of equal slices of an axis); the rest as in `unique`.

    >>> import thalweg as tw
    >>> tw.unique_consecutive(tw.tensor([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    array = input._array()
    axis = 0 if dim is None else _axis_with_slices("unique_consecutive", input, dim)
    slices = array.reshape(-1) if dim is None else np.moveaxis(array, axis, 0)
    count = len(slices)
    is_new = np.ones(count, bool)
    is_new[1:] = (slices[1:] != slices[:-1]).reshape(max(count - 1, 0), -1).any(1) if count > 1 else False
    inverse = np.cumsum(is_new) - 1
    counts = np.bincount(inverse, minlength=int(is_new.sum()))
    values = slices[is_new] if dim is None else np.moveaxis(slices[is_new], 0, axis)
    place = inverse.reshape(array.shape) if dim is None else inverse
    return _answer(values, place if return_inverse else None, counts if return_counts else None)


def _axis_with_slices(name: str, input: Tensor, dim: int) -> int:
    axis = axis_of(dim, input.ndim)
    if not input.ndim:
        raise ShapeError(explain(f"{name}: a number has no slices", received=f"dim={dim}", expected="dim=None"))
    return axis


def _answer(values: np.ndarray, *others: np.ndarray | None) -> Any:
    found = [Tensor(np.ascontiguousarray(values))]
    found += [Tensor(np.asarray(each, np.int64)) for each in others if each is not None]
    return tuple(found) if len(found) > 1 else found[0]


# --- counts ----------------------------------------------------------------------------------------------------------


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each whole number from 0 on comes in a vector, or the sum of the `weights` that stand beside it.

    The result has max(minlength, largest + 1) entries: int64, with weights float64, or float32 for those in float32.

    >>> import thalweg as tw
    >>> tw.bincount(tw.tensor([0, 2, 2]), minlength=4)
    tensor([1, 0, 2, 0])
    """
    array = input._array()
    if input.ndim != 1 or array.dtype.kind not in "iu" or (array.size and array.min() < 0):
        lowest = f", smallest {array.min()}" if array.size and array.dtype.kind in "iu" else ""
        raise ArgumentError(
            explain("bincount counts whole numbers from 0 on", received=input._summary() + lowest,
                    expected="a vector of integers, none negative")
        )  # fmt: skip
    if weights is None:
        return Tensor(np.bincount(array, minlength=minlength).astype(np.int64))
    if weights.shape != input.shape:
        raise ShapeError(explain("bincount: weights do not fit", received=weights.shape, expected=input.shape))
    found = np.bincount(array, weights._array(), minlength)
    return Tensor(found.astype(np.float32) if weights.dtype.name == "float32" else found)


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many entries fall into each of `bins` equal parts of [min, max]; what lies outside is not counted.

    Where both are equal, the smallest and the largest entry are taken. The result has the dtype of the input.

    >>> import thalweg as tw
    >>> tw.histc(tw.tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3)
    tensor([0., 2., 1., 0.])
    """
    array = input._array().reshape(-1)
    if not input.dtype.is_floating_point:
        raise DTypeError(
            explain("histc is defined for floating-point tensors", received=input.dtype.name,
                    expected="float32 or float64", remedy="use bincount for whole numbers")
        )  # fmt: skip
    low, high = float(min), float(max)
    if low == high and array.size:
        low, high = float(array.min()), float(array.max())
    if bins < 1 or high < low or not (np.isfinite(low) and np.isfinite(high)):
        raise ArgumentError(
            explain("histc needs bins, and finite bounds in order", received=f"bins={bins}, min={low}, max={high}",
                    expected="bins >= 1 and min <= max")
        )  # fmt: skip
    low, high = (low - 1, high + 1) if low == high else (low, high)
    inside = array[(array >= low) & (array <= high)]
    place = ((inside.astype(np.float64) - low) * (bins / (high - low))).astype(np.int64)
    return Tensor(np.bincount(np.minimum(place, bins - 1), minlength=bins).astype(input.dtype.numpy))


# --- comparisons that answer with a bool of Python -------------------------------------------------------------------


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    """Whether |input - other| <= atol + rtol |other| holds everywhere.

    >>> import thalweg as tw
    >>> tw.allclose(tw.tensor([1.0, 2.0]), tw.tensor([1.0, 2.000001]))
    True
    """
    return bool(input.isclose(other, rtol, atol, equal_nan).all())


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether shape and all entries are the same; a NaN equals nothing.

    >>> import thalweg as tw
    >>> tw.equal(tw.ones(2), tw.ones(3))
    False
    """
    if not isinstance(other, Tensor):
        raise DTypeError(explain("equal compares tensors", received=type(other).__name__, expected="a tensor"))
    return input.shape == other.shape and bool(np.array_equal(input._array(), other._array()))


def is_nonzero(input: Tensor) -> bool:
    """Whether the one entry of the tensor is not 0."""
    return bool(input)


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape."""
    return input.shape == other.shape


METHODS: dict[str, Callable[..., Any]] = {
    "nonzero": nonzero, "argwhere": argwhere, "unique": unique, "unique_consecutive": unique_consecutive,
    "bincount": bincount, "histc": histc, "allclose": allclose, "equal": equal, "is_nonzero": is_nonzero,
    "is_same_size": is_same_size,
}  # fmt: skip
