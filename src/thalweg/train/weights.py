"""A model's state as NumPy arrays: copied out, so that later updates do not change it.

In: a module, or any mapping of names to tensors or arrays.
Out: a dictionary of arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from thalweg.errors import DTypeError, explain
from thalweg.nn.module import Module
from thalweg.tensor import Tensor


def copy_state(source: Any) -> dict[str, np.ndarray]:
    """Parameters and buffers (or the entries of a mapping) as arrays of their own."""
    return {name: as_array(value, name) for name, value in as_mapping(source).items()}


def as_mapping(source: Any) -> Mapping[str, Any]:
    """The module's own tensors by name, or the mapping itself."""
    if isinstance(source, Module):
        return source.state_dict(keep_vars=True)
    state = source.state_dict() if hasattr(source, "state_dict") else source
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        expected = "a module, or a dictionary of names and tensors or arrays"
        raise DTypeError(explain("this has no weights to save", received=type(source).__name__, expected=expected))
    return state


def as_array(value: Any, name: str) -> np.ndarray:
    """A copy in row-major order; a 0-d value stays 0-d."""
    if isinstance(value, Tensor):
        return np.array(value._array(), order="C", copy=True)
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    array = np.array(value, order="C", copy=True)
    if array.dtype.kind not in "biuf":
        received = f"{name}: {type(value).__name__} ({array.dtype})"
        raise DTypeError(explain("weights are numbers", received=received, expected="tensors, or arrays of numbers"))
    return array
