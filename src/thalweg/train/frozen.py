"""Numbers that Python holds beside the tensors: what a trace freezes, and has to be made again for when they change.

In: losses, penalties, optimizers, callbacks. Out: the plain values that they can reach by name, to be compared with
those of another time. Modules are left out: they count every change of an attribute by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import MethodType
from typing import Any

from thalweg.nn.module import Module

PlainValues = dict[tuple[int, str], Any]
_ABSENT = object()


def plain_values(objects: Iterable[Any]) -> PlainValues:
    """Numbers, texts, entries of dictionaries and lengths of lists: attributes of objects, variables of functions.

    >>> factor = 2.0
    >>> plain_values([lambda prediction, target: factor])
    {(0, 'factor'): 2.0}
    """
    found: PlainValues = {}
    for place, each in enumerate(objects):
        for name, value in _variables(each):
            if isinstance(value, dict):
                named = ((key, entry) for key, entry in value.items() if isinstance(key, str) and _is_plain(entry))
                found |= {(place, f"{name}[{key!r}]"): entry for key, entry in named}
            elif isinstance(value, list):
                found[place, f"the length of {name}"] = len(value)
            elif _is_plain(value):
                found[place, name] = value
    return found


def first_change(before: PlainValues, after: PlainValues) -> str | None:
    """The name of a value that is new, or not what it was."""
    changes = (
        name for (place, name), value in after.items() if not _is_same(before.get((place, name), _ABSENT), value)
    )
    return next(changes, None)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, int | float | str)


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and bool(one == other or (one != one and other != other)))


def _variables(each: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds, and what a function or method reads from around it."""
    owner = each.__self__ if isinstance(each, MethodType) else each
    if not isinstance(owner, Module):
        for name, value in list(getattr(owner, "__dict__", {}).items()):
            yield f"{getattr(owner, '__name__', type(owner).__name__)}.{name}", value
    function = getattr(each, "__func__", each)
    code = getattr(function, "__code__", None)
    if code is None:
        return
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # a variable that has no value yet
            continue
    for name in code.co_names:
        if name in function.__globals__ and not name.startswith("__"):  # attributes are among these names
            yield name, function.__globals__[name]
