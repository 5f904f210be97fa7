"""Making tensors: from data, filled, ranges, identity.

In: Python data, NumPy arrays, shapes. Out: leaf tensors. `tensor` keeps an array's dtype; everything that is filled
defaults to float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from thalweg.compile.memory import empty_array, zero_array
from thalweg.dtype import DType, as_dtype, dtype_of_array, float32, float64, int64, scalar_dtype
from thalweg.errors import ArgumentError, DTypeError, explain
from thalweg.graph import full as full_node
from thalweg.graph import make_input
from thalweg.tensor.arrays import array_of, converted, natural_dtype
from thalweg.tensor.core import Tensor
from thalweg.tensor.devices import check_device
from thalweg.tensor.modes import modes
from thalweg.tensor.shaping import flat_ints


def tensor(data: Any, dtype: object = None, requires_grad: bool = False, *, device: object = None) -> Tensor:
    """A new leaf tensor with a copy of `data`: a number, nested lists, or an array, whose dtype is kept.

    Python floats give float32, ints int64, bools bool.

    >>> import thalweg as tw
    >>> tw.tensor([[1, 2], [3, 4]]).dtype
    thalweg.int64
    """
    check_device(device)
    if isinstance(data, Tensor):
        data = data._array()
    elif isinstance(data, (list, tuple)):
        data = _without_tensors(data)
    array = array_of(data)
    wanted = as_dtype(dtype) if dtype is not None else natural_dtype(data, array)
    if not array.size and dtype is None and not isinstance(data, (np.ndarray, np.generic)):
        wanted = float32
    return _leaf(converted(array, wanted), wanted, requires_grad)


def _without_tensors(data: Any) -> Any:
    if isinstance(data, Tensor):
        return data._array()
    return [_without_tensors(each) for each in data] if isinstance(data, (list, tuple)) else data


def _leaf(array: np.ndarray, dtype: DType, requires_grad: bool) -> Tensor:
    result = Tensor.__new__(Tensor)
    trace = modes.trace
    node = make_input(array.shape, dtype, array) if trace is None else trace.read_array(array)
    result._setup(node, leaf=True)
    if requires_grad:
        result.requires_grad_()
    return result


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the array's memory: what is written to the array later is seen by later operations."""
    if not isinstance(array, np.ndarray):
        raise DTypeError(explain("from_numpy takes a NumPy array", received=type(array).__name__))
    dtype = dtype_of_array(array)
    return _leaf(array if array.dtype == dtype.numpy else array.astype(dtype.numpy), dtype, False)


def full(
    size: int | Sequence[int],
    fill_value: float,
    dtype: object = None,
    requires_grad: bool = False,
    *,
    device: object = None,
) -> Tensor:
    """`fill_value` in every place.

    >>> import thalweg as tw
    >>> tw.full((2,), 7.0)
    tensor([7., 7.])
    """
    check_device(device)
    return _filled(
        flat_ints((size,)),
        fill_value,
        as_dtype(dtype) if dtype is not None else scalar_dtype(fill_value),
        requires_grad,
    )


def _filled(shape: tuple[int, ...], value: float, dtype: DType, requires_grad: bool) -> Tensor:
    if any(extent < 0 for extent in shape):
        raise ArgumentError(explain("an extent cannot be negative", received=shape, expected="sizes of at least 0"))
    if modes.trace is not None:
        result = Tensor._result(full_node(shape, value, dtype))
        return result.requires_grad_() if requires_grad else result
    if repr(value) in _ZEROS:
        return _leaf(zero_array(shape, dtype), dtype, requires_grad)
    array = empty_array(shape, dtype)
    np.copyto(array, value, casting="unsafe")
    return _leaf(array, dtype, requires_grad)


_ZEROS = ("0", "0.0", "False")  # not -0.0


def zeros(
    *size: int | Sequence[int], dtype: object = None, requires_grad: bool = False, device: object = None
) -> Tensor:
    """Zeros, float32 unless `dtype` says otherwise."""
    check_device(device)
    return _filled(flat_ints(size), 0, as_dtype(dtype) if dtype is not None else float32, requires_grad)


def ones(
    *size: int | Sequence[int], dtype: object = None, requires_grad: bool = False, device: object = None
) -> Tensor:
    """Ones, float32 unless `dtype` says otherwise."""
    check_device(device)
    return _filled(flat_ints(size), 1, as_dtype(dtype) if dtype is not None else float32, requires_grad)


empty = zeros  # there is no uninitialised memory to show


def zeros_like(other: Tensor, dtype: object = None, requires_grad: bool = False, *, device: object = None) -> Tensor:
    """Zeros of the shape of another tensor, and of its dtype unless `dtype` says otherwise."""
    check_device(device)
    return _filled(other.shape, 0, as_dtype(dtype) if dtype is not None else other.dtype, requires_grad)


def ones_like(other: Tensor, dtype: object = None, requires_grad: bool = False, *, device: object = None) -> Tensor:
    """Ones of the shape of another tensor, and of its dtype unless `dtype` says otherwise."""
    check_device(device)
    return _filled(other.shape, 1, as_dtype(dtype) if dtype is not None else other.dtype, requires_grad)


def full_like(
    other: Tensor, fill_value: float, dtype: object = None, requires_grad: bool = False, *, device: object = None
) -> Tensor:
    """`fill_value` in the shape of another tensor, and in its dtype unless `dtype` says otherwise."""
    check_device(device)
    return _filled(other.shape, fill_value, as_dtype(dtype) if dtype is not None else other.dtype, requires_grad)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    dtype: object = None,
    *,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below end; int64 for integers.

    >>> import thalweg as tw
    >>> tw.arange(2, 8, 3)
    tensor([2, 5])
    """
    check_device(device)
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) * step < 0:
        raise ArgumentError(explain("arange never reaches its end", received=f"start {start}, end {end}, step {step}"))
    is_whole = all(isinstance(each, (int, np.integer)) for each in (start, end, step))
    wanted = as_dtype(dtype) if dtype is not None else (int64 if is_whole else float32)
    return _leaf(np.arange(start, end, step).astype(wanted.numpy), wanted, requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    dtype: object = None,
    *,
    device: object = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` numbers from start to end, both included, and either of them a number or a tensor of one.

    >>> import thalweg as tw
    >>> tw.linspace(0, 1, 5)
    tensor([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    check_device(device)
    wanted = as_dtype(dtype) if dtype is not None else float32
    if isinstance(start, Tensor) or isinstance(end, Tensor):
        return _between(start, end, steps).to(wanted).requires_grad_(requires_grad)
    return _leaf(np.linspace(start, end, steps).astype(wanted.numpy), wanted, requires_grad)


def _between(start: Any, end: Any, steps: int) -> Tensor:
    """The numbers of `np.linspace` between ends that may be pending; in float64, whatever the ends are."""
    first, last = (each.detach().to(float64).reshape(()) if isinstance(each, Tensor) else each for each in (start, end))
    place = _leaf(np.arange(steps, dtype=np.float64), float64, False)
    values = place * ((last - first) / max(steps - 1, 1)) + first
    return values if steps < 2 else values.where(place < steps - 1, last)


def eye(
    n: int, m: int | None = None, dtype: object = None, *, device: object = None, requires_grad: bool = False
) -> Tensor:
    """Ones on the diagonal, zeros elsewhere."""
    check_device(device)
    wanted = as_dtype(dtype) if dtype is not None else float32
    return _leaf(np.eye(n, m, dtype=wanted.numpy), wanted, requires_grad)


def is_tensor(value: object) -> bool:
    """Whether it is a tensor."""
    return isinstance(value, Tensor)
