"""Modules that hold parameters: `ParameterList` and `ParameterDict`, whose entries optimizers and states see.

In: parameters, in order or by name; tensors become parameters. Out: modules that behave as a list or a dict, with the
names 0, 1, ... or the given ones in the state, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from thalweg.errors import IndexRangeError, StateError, explain
from thalweg.nn.module import Module
from thalweg.nn.parameter import Parameter
from thalweg.tensor.core import Tensor


def _parameter(value: Any) -> Any:
    """A tensor becomes a parameter; anything else is kept as it is, as in PyTorch."""
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


class ParameterKeyError(StateError):
    """A name under which a `ParameterDict` holds nothing; also a `KeyError`."""


class ParameterList(Module):
    """Parameters in order: indexing, slicing, `append`, `extend`, `+=`.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> parts = nn.ParameterList([nn.Parameter(tw.zeros(2)), tw.ones(3)])
    >>> list(parts.state_dict()), len(parts)
    (['0', '1'], 2)
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _name(self, index: int) -> str:
        if not -self._size <= index < self._size:
            raise IndexRangeError(explain("ParameterList has no entry at this index", received=index,
                                          expected=f"{-self._size} <= index < {self._size}"))  # fmt: skip
        return str(index % self._size)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(self[each] for each in range(*index.indices(self._size)))
        return getattr(self, self._name(index))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._name(index), _parameter(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(self._size))

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def append(self, value: Any) -> Self:
        """Add one at the end."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add several at the end."""
        for each in list(values):
            self.append(each)
        return self

    def pop(self, index: int = -1) -> Any:
        """Take one out and return it; those behind it move up."""
        kept = list(self)
        taken = kept.pop(int(self._name(index)))
        for name in range(self._size):
            delattr(self, str(name))
        self._size = 0
        self.extend(kept)
        return taken

    def extra_repr(self) -> str:
        return "\n".join(f"({number}): {_described(each)}" for number, each in enumerate(self))


class ParameterDict(Module):
    """Parameters by name, in order of insertion.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> parts = nn.ParameterDict({"left": nn.Parameter(tw.zeros(2)), "right": tw.ones(3)})
    >>> list(parts.state_dict()), "left" in parts
    (['left', 'right'], True)
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._names: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._names:
            raise ParameterKeyError(explain("ParameterDict has no entry of this name", received=repr(key),
                                            expected=", ".join(map(repr, self._names)) or "it is empty"))  # fmt: skip
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._check_name(key)
        setattr(self, key, _parameter(value))
        self._names[key] = None

    def __delitem__(self, key: str) -> None:
        self[key]
        del self._names[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._names))

    def __reversed__(self) -> Iterator[str]:
        return iter(list(self._names)[::-1])

    def __contains__(self, key: str) -> bool:
        return key in self._names

    def keys(self) -> Iterable[str]:
        return self._names.keys()

    def values(self) -> Iterable[Any]:
        return [self[key] for key in self]

    def items(self) -> Iterable[tuple[str, Any]]:
        return [(key, self[key]) for key in self]

    def get(self, key: str, default: Any = None) -> Any:
        """The entry of this name, or `default`."""
        return self[key] if key in self else default  # noqa: SIM401

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The entry of this name, which becomes `default` if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A new one with these names, all of one value."""
        return ParameterDict((key, default) for key in keys)

    def copy(self) -> ParameterDict:
        """A new one that holds the same parameters."""
        return ParameterDict(self.items())

    def update(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Add or replace by name."""
        pairs: Any = parameters.items() if isinstance(parameters, (Mapping, ParameterDict)) else parameters
        for key, value in pairs:
            self[key] = value

    def pop(self, key: str) -> Any:
        """Take one out and return it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take the last one out and return its name and value."""
        key = list(self)[-1]
        return key, self.pop(key)

    def clear(self) -> None:
        """Take all out."""
        for key in self:
            del self[key]

    def extra_repr(self) -> str:
        return "\n".join(f"({key}): {_described(value)}" for key, value in self.items())


def _described(value: Any) -> str:
    if isinstance(value, Parameter):
        return f"Parameter containing: [{value.dtype.name} of shape {value.shape}]"
    return f"Object of type: {type(value).__name__}"
