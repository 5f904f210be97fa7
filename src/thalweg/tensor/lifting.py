"""From functions of nodes to functions of tensors: how every operator and method is made.

In: a function of nodes. Out: the same function of tensors, whose result requires a gradient where an operand does, is a
view of its first operand, or replaces the value of its first operand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from thalweg import ops
from thalweg.dtype import as_dtype, dtype_of_array
from thalweg.graph import Node, make_input, next_serial
from thalweg.tensor.arithmetic import convert
from thalweg.tensor.core import Tensor
from thalweg.tensor.modes import modes
from thalweg.tensor.templates import instantiate

_AS_THEY_ARE = frozenset({int, float, bool, str, type(None)})


def lower(value: Any, flags: list[bool]) -> Any:
    """A tensor's node, arrays as leaves, sequences entry by entry; a recorded operand leaves a mark in `flags`."""
    if isinstance(value, Tensor):
        node = value.node
        if value._requires_grad:
            if modes.grad_enabled:
                flags.append(True)
            else:
                node = ops.detach(node)
        return node
    if value.__class__ in _AS_THEY_ARE:
        return value
    if isinstance(value, np.ndarray):
        return array_leaf(value)
    if isinstance(value, (list, tuple)) and any(isinstance(each, (Tensor, np.ndarray)) for each in value):
        return type(value)(lower(each, flags) for each in value)
    return value


def array_leaf(array: np.ndarray) -> Node:
    dtype = dtype_of_array(array)
    if modes.trace is not None:
        return modes.trace.read_array(array)  # type: ignore[no-any-return]
    return make_input(array.shape, dtype, np.array(array, dtype.numpy))


def lift(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of nodes as a function of tensors; the result requires a gradient if an operand does."""

    def on_tensors(*args: Any, **kwargs: Any) -> Any:
        flags: list[bool] = []
        options = {name: lower(each, flags) for name, each in kwargs.items()} if kwargs else kwargs
        return wrap(instantiate(function, [lower(each, flags) for each in args], options), bool(flags))

    on_tensors.__name__ = function.__name__.rstrip("_")
    on_tensors.__qualname__ = on_tensors.__name__
    on_tensors.__doc__ = function.__doc__
    return on_tensors


def wrap(result: Any, requires_grad: bool) -> Any:
    if isinstance(result, Node):
        return Tensor._result(result, requires_grad)
    tensors = (Tensor._result(each, requires_grad) for each in result)
    return type(result)(*tensors) if hasattr(result, "_fields") else tuple(tensors)


def lift_view(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose results show entries of its first operand: views, which in-place writes reach."""

    def on_tensor(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        flags: list[bool] = []
        node = self.node
        operands = [node, *[lower(each, flags) for each in args]]
        result = instantiate(function, operands, {k: lower(v, flags) for k, v in kwargs.items()})
        return _wrap_view(self, result)

    on_tensor.__name__ = function.__name__.rstrip("_")
    on_tensor.__doc__ = function.__doc__
    return on_tensor


def _wrap_view(base: Tensor, result: Any) -> Any:
    if isinstance(result, Node):
        if base._requires_grad and not modes.grad_enabled:
            # Made without recording: a view all the same, but one that no gradient flows through.
            result = ops.detach(result)
        return Tensor._view(base, result, base._requires_grad and modes.grad_enabled)
    return tuple(_wrap_view(base, each) for each in result)


def lift_in_place(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose result replaces the value of its first operand."""

    def on_tensor(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        flags: list[bool] = []
        since = next_serial()
        operands = [lower(each, flags) for each in (self, *args)]
        node = instantiate(function, operands, {k: lower(v, flags) for k, v in kwargs.items()})
        self._assign(node, bool(flags), since)
        return self

    on_tensor.__name__ = function.__name__.rstrip("_") + "_"
    on_tensor.__doc__ = f"In-place form of `{function.__name__.rstrip('_')}`."
    return on_tensor


def as_tensor(data: Any, dtype: object = None) -> Tensor:
    """`data` itself if it is a tensor of that dtype, else a tensor of it."""
    tensor = data if isinstance(data, Tensor) else _tensor_of(data)
    if dtype is not None and tensor.dtype is not as_dtype(dtype):
        return lift(convert)(tensor, as_dtype(dtype))  # type: ignore[no-any-return]
    return tensor


def _tensor_of(data: Any) -> Tensor:
    """A leaf; in a trace an input of the program, and an array a live one."""
    if modes.trace is None:
        return Tensor(data)
    array = data if isinstance(data, np.ndarray) else Tensor(data)._node.value
    return Tensor._result(array_leaf(array))
