"""The number formats of tensors and the rule by which two of them meet.

In: NumPy dtypes, names, Python scalars. Out: `DType` values (`float32`, `int64`, ...) and the promoted dtype of a
mixture, which follows PyTorch: the higher category wins (bool < integer < floating), and within one category a tensor
with dimensions outranks a 0-d tensor, which outranks a Python scalar.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from thalweg.errors import DTypeError, explain

BOOL, INTEGER, FLOATING = 0, 1, 2
_CATEGORY_NAMES = ("bool", "integer", "floating")


class DType:
    """One number format. There is exactly one object for each, so `is` and `==` agree.

    Compares equal to the NumPy dtype and to the name of the same format.
    """

    __slots__ = ("category", "itemsize", "name", "numpy", "rank")

    def __init__(self, name: str, numpy_type: type, category: int, rank: int) -> None:
        self.name = name
        self.numpy = np.dtype(numpy_type)
        self.category = category
        self.rank = rank
        self.itemsize = self.numpy.itemsize

    @property
    def is_floating_point(self) -> bool:
        return self.category == FLOATING

    @property
    def category_name(self) -> str:
        return _CATEGORY_NAMES[self.category]

    def __repr__(self) -> str:
        return f"thalweg.{self.name}"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DType):
            return self is other
        if isinstance(other, (np.dtype, type, str)):
            try:
                return self.numpy == np.dtype(other)
            except TypeError:
                return False
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.numpy)

    def __reduce__(self) -> tuple[Any, ...]:
        return (as_dtype, (self.name,))


bool_ = DType("bool", np.bool_, BOOL, 0)
uint8 = DType("uint8", np.uint8, INTEGER, 1)
int32 = DType("int32", np.int32, INTEGER, 2)
int64 = DType("int64", np.int64, INTEGER, 3)
float32 = DType("float32", np.float32, FLOATING, 4)
float64 = DType("float64", np.float64, FLOATING, 5)

ALL_DTYPES = (bool_, uint8, int32, int64, float32, float64)
FLOAT_DTYPES = (float32, float64)
INTEGER_DTYPES = (uint8, int32, int64)
_BY_NUMPY = {dtype.numpy: dtype for dtype in ALL_DTYPES}
# Formats that NumPy arrays arrive in and that widen without loss.
_WIDENED = {np.dtype(a): b for a, b in ((np.int8, int32), (np.int16, int32), (np.uint16, int32), (np.uint32, int64),
                                        (np.float16, float32))}  # fmt: skip


def as_dtype(value: object) -> DType:
    """The `DType` for a `DType`, a NumPy dtype, a name such as ``"float32"``, or `bool`, `int`, `float`.

    As in PyTorch, `int` means int64 and `float` means float32, Thalweg's default.

    >>> as_dtype("float64"), as_dtype(float)
    (thalweg.float64, thalweg.float32)
    """
    if isinstance(value, DType):
        return value
    if value is float:
        return float32
    try:
        numpy_dtype = np.dtype(value)  # type: ignore[call-overload]
    except TypeError:
        numpy_dtype = None
    found = _BY_NUMPY.get(numpy_dtype) if numpy_dtype is not None else None
    if found is None:
        raise DTypeError(
            explain("unknown dtype", received=repr(value), expected=_names(), remedy="pass one of these names")
        )
    return found


class FloatInfo(NamedTuple):
    """What `finfo` says of a floating-point dtype: bits, extremes, and the step from 1 to the next number, `eps`."""

    bits: int
    eps: float
    max: float
    min: float
    tiny: float
    smallest_normal: float
    resolution: float
    dtype: str


class IntegerInfo(NamedTuple):
    """What `iinfo` says of an integer dtype."""

    bits: int
    max: int
    min: int
    dtype: str


def finfo(type: object = float32) -> FloatInfo:
    """The numbers that a floating-point dtype can hold, as Python numbers. Raises DTypeError for another dtype.

    >>> finfo(float32).eps, finfo("float64").bits
    (1.1920928955078125e-07, 64)
    """
    dtype = as_dtype(type)
    if not dtype.is_floating_point:
        raise DTypeError(explain("finfo is for floating-point dtypes", received=dtype.name, remedy="use iinfo"))
    found = np.finfo(dtype.numpy)
    extremes = (float(found.eps), float(found.max), float(found.min), float(found.tiny), float(found.smallest_normal))
    return FloatInfo(found.bits, *extremes, 10.0**-found.precision, dtype.name)


def iinfo(type: object) -> IntegerInfo:
    """The numbers that an integer dtype can hold. Raises DTypeError for another dtype.

    >>> iinfo("uint8").max
    255
    """
    dtype = as_dtype(type)
    if dtype.category != INTEGER:
        raise DTypeError(explain("iinfo is for integer dtypes", received=dtype.name, remedy="use finfo"))
    found = np.iinfo(dtype.numpy)  # type: ignore[type-var]  # it is an integer's
    return IntegerInfo(found.bits, int(found.max), int(found.min), dtype.name)


def dtype_of_array(array: np.ndarray) -> DType:
    """The dtype in which a NumPy array is kept: its own, or the narrowest one that holds all its values."""
    found = _BY_NUMPY.get(array.dtype) or _WIDENED.get(array.dtype)
    if found is None and array.dtype.newbyteorder("=") in _BY_NUMPY:
        found = _BY_NUMPY[array.dtype.newbyteorder("=")]
    if found is None:
        raise DTypeError(
            explain(
                "an array of this dtype cannot become a tensor",
                received=f"dtype {array.dtype}",
                expected=_names(),
                remedy="convert it first, for example array.astype('float32')",
            )
        )
    return found


def _names() -> str:
    return ", ".join(dtype.name for dtype in ALL_DTYPES)


def promote(*dtypes: DType) -> DType:
    """The dtype of a mixture of tensors that all have dimensions: the highest of them."""
    return max(dtypes, key=lambda dtype: dtype.rank)


def scalar_dtype(value: bool | int | float) -> DType:
    """The dtype that a Python scalar has when nothing else decides."""
    if isinstance(value, bool):
        return bool_
    return int64 if isinstance(value, int) else float32


def result_dtype(dimensioned: Iterable[DType], zero_dim: Iterable[DType], scalars: Iterable[DType]) -> DType:
    """The dtype of a mixture by PyTorch's rule: a weaker rank decides only with a higher category.

    >>> result_dtype([float32], [float64], [])
    thalweg.float32
    >>> result_dtype([int64], [], [float32])
    thalweg.float32
    """
    decided: DType | None = None
    for rank in (dimensioned, zero_dim, scalars):
        dtypes = tuple(rank)
        if not dtypes:
            continue
        highest = promote(*dtypes)
        if decided is None or highest.category > decided.category:
            decided = highest
    if decided is None:
        raise DTypeError("result_dtype needs at least one operand")
    return decided
