"""Nested Python data around tensors: tuples, lists, dictionaries, named tuples, dataclasses.

In: a nested value. Out: its leaves in a fixed order, and a description of the nesting that can be compared, hashed and
filled with other leaves. What a compiled step takes and returns goes through here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterator
from typing import Any


@dataclasses.dataclass(frozen=True)
class Structure:
    """How leaves are nested: the container's type, its static keys, and the structure of each part."""

    kind: Any
    keys: Hashable = None
    parts: tuple[Structure, ...] = ()


LEAF = Structure(None)


def flatten(value: Any) -> tuple[list[Any], Structure]:
    """The leaves of a nested value, and its structure.

    >>> leaves, structure = flatten({"a": (1, 2), "b": [3]})
    >>> leaves, unflatten(structure, [10, 20, 30])
    ([1, 2, 3], {'a': (10, 20), 'b': [30]})
    """
    leaves: list[Any] = []
    return leaves, _walk(value, leaves)


def _walk(value: Any, leaves: list[Any]) -> Structure:
    if isinstance(value, dict):
        return Structure(type(value), tuple(value), tuple(_walk(each, leaves) for each in value.values()))
    if isinstance(value, (tuple, list)):
        return Structure(type(value), None, tuple(_walk(each, leaves) for each in value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = tuple(field.name for field in dataclasses.fields(value))
        return Structure(type(value), names, tuple(_walk(getattr(value, name), leaves) for name in names))
    leaves.append(value)
    return LEAF


def unflatten(structure: Structure, leaves: list[Any]) -> Any:
    """The nested value of that structure with these leaves."""
    return _build(structure, iter(leaves))


def _build(structure: Structure, leaves: Iterator[Any]) -> Any:
    if structure.kind is None:
        return next(leaves)
    parts = [_build(part, leaves) for part in structure.parts]
    if issubclass(structure.kind, dict):
        return structure.kind(zip(structure.keys, parts, strict=True))  # type: ignore[call-overload]
    if dataclasses.is_dataclass(structure.kind):
        return structure.kind(**dict(zip(structure.keys, parts, strict=True)))  # type: ignore[operator,call-overload]
    return structure.kind(*parts) if hasattr(structure.kind, "_fields") else structure.kind(parts)


def map_tree(function: Callable[[Any], Any], value: Any) -> Any:
    """The same nesting with the function applied to each leaf."""
    leaves, structure = flatten(value)
    return unflatten(structure, [function(each) for each in leaves])
