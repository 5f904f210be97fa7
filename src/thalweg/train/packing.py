"""Nested plain state to and from what a safetensors file holds: arrays under names, and JSON for the rest.

In: dictionaries, lists, numbers, texts, None and NumPy arrays, as `state_dict` of a callback gives. Out: the same bits
again. Long lists of numbers, such as the history of every step, become arrays; nothing that could run code is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from thalweg.errors import DTypeError, explain

LONG = 32
"""Lists of more numbers than this become arrays."""
MARK = "$array"
"""The key of what stands for an array; no state may use it for itself."""


def pack(state: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """The state without arrays, fit for JSON, and the arrays that were taken out of it, by number.

    Raises DTypeError for what is neither, and names its place.

    >>> pack({"best": 0.5, "weights": np.ones(2)})
    ({'best': 0.5, 'weights': {'$array': '0', 'kind': 'array'}}, {'0': array([1., 1.])})
    """
    arrays: dict[str, np.ndarray] = {}
    return _packed(state, arrays, "the state"), arrays


def unpack(packed: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """What `pack` was given. Raises KeyError, TypeError or ValueError for what it did not make."""
    if isinstance(packed, list):
        return [unpack(each, arrays) for each in packed]
    if not isinstance(packed, dict):
        return packed
    if MARK not in packed:
        return {name: unpack(each, arrays) for name, each in packed.items()}
    array = arrays[packed[MARK]]
    return array if packed["kind"] == "array" else _listed(array, packed["missing"])


def _packed(value: Any, arrays: dict[str, np.ndarray], where: str) -> Any:
    if value is None or isinstance(value, bool | str | int | float):
        return value.item() if isinstance(value, np.generic) else value
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return _kept(np.array(value, order="C"), arrays, kind="array")
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value) and MARK not in value:
        return {name: _packed(each, arrays, f"{where}[{name!r}]") for name, each in value.items()}
    if isinstance(value, list | tuple):
        numbers = _numbers(value) if len(value) > LONG else None
        if numbers is not None:
            array, missing = numbers
            return _kept(array, arrays, kind="list", missing=missing)
        return [_packed(each, arrays, f"{where}[{index}]") for index, each in enumerate(value)]
    raise DTypeError(
        explain(
            "this cannot be saved in a checkpoint",
            received=type(value).__name__,
            expected="numbers, texts, None, NumPy arrays, and lists and dictionaries (by text) of them",
            where=where,
            remedy="give plain values in state_dict, and make the rest of them in load_state_dict",
        )
    )


def _kept(array: np.ndarray, arrays: dict[str, np.ndarray], **mark: Any) -> dict[str, Any]:
    name = str(len(arrays))
    arrays[name] = array
    return {MARK: name, **mark}


def _numbers(values: Any) -> tuple[np.ndarray, list[int]] | None:
    """A long list of whole numbers, or of floats, as an array, with the places of None; None for anything else."""
    missing = [index for index, each in enumerate(values) if each is None]
    kinds = {type(each) for each in values} - {type(None)}
    if kinds == {float}:
        array = np.array([0.0 if each is None else each for each in values] if missing else values, np.float64)
        return array, missing
    if kinds == {int} and all(-(2**63) <= each < 2**63 for each in values if each is not None):
        return np.array([0 if each is None else each for each in values] if missing else values, np.int64), missing
    return None


def _listed(array: np.ndarray, missing: list[int]) -> list[Any]:
    values: list[Any] = array.tolist()
    for index in missing:
        values[index] = None
    return values
