"""Modules that hold modules: `Sequential`, `ModuleList`, `ModuleDict`.

In: modules, in order or by name. Out: modules whose children have the names 0, 1, ... or the given ones, as PyTorch
numbers them, so that states carry over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, Self, overload

from thalweg.errors import IndexRangeError, StateError, explain
from thalweg.nn.module import Module


class _Numbered(Module):
    """Children named by their place: indexing, slicing, iteration and changes in place, as a list has them."""

    def _at(self, index: int) -> str:
        if not -len(self) <= index < len(self):
            raise IndexRangeError(
                explain(
                    f"{type(self).__name__} has no module at this index",
                    received=index,
                    expected=f"{-len(self)} <= index < {len(self)}",
                )
            )
        return list(self._modules)[index]

    def _renumber(self, modules: Iterable[Module]) -> None:
        """Modules are checked before any is replaced."""
        kept = list(modules)
        for index, module in enumerate(kept):
            self._check(index, module)
        for name in list(self._modules):
            delattr(self, name)
        for index, module in enumerate(kept):
            self.add_module(str(index), module)

    @staticmethod
    def _check(index: int, module: Any) -> None:
        Module().add_module(str(index), module)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._modules.values()))

    @overload
    def __getitem__(self, index: slice) -> Self: ...
    @overload
    def __getitem__(self, index: int) -> Any: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)._of(list(self._modules.items())[index])
        return self._modules[self._at(index)]

    @classmethod
    def _of(cls, items: list[tuple[str, Any]]) -> Self:
        return cls(*[module for _, module in items])

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._at(index), module)

    def __delitem__(self, index: int | slice) -> None:
        kept = list(self)
        if not isinstance(index, slice):
            self._at(index)
        del kept[index]
        self._renumber(kept)

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before the one at `index`; those behind move up by one."""
        modules = list(self)
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def pop(self, index: int = -1) -> Any:
        """Take the module at `index` out and return it."""
        module = self[index]
        del self[index]
        return module


class Sequential(_Numbered):
    """Modules applied one after the other: the output of each is the input of the next.

    Takes modules, which are then named 0, 1, ..., or one mapping of names to modules.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> model
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
    )
    >>> model(tw.ones(5, 2)).shape
    (5, 3)
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        named = args[0].items() if len(args) == 1 and isinstance(args[0], Mapping) else enumerate(args)
        for name, module in named:
            self.add_module(str(name), module)

    @classmethod
    def _of(cls, items: list[tuple[str, Any]]) -> Self:
        return cls(dict(items))

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            assert module is not None
            input = module(input)
        return input

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self, *other)


class ModuleList(_Numbered):
    """A list of modules whose parameters are found; it says nothing about how they are called.

    >>> from thalweg import nn
    >>> layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    >>> len(list(layers.parameters()))
    6
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    @classmethod
    def _of(cls, items: list[tuple[str, Any]]) -> Self:
        return cls([module for _, module in items])

    def __repr__(self) -> str:
        """Neighbours that read alike are shown once, with their number."""
        if not len(self):
            return super().__repr__()
        lines, start = [], 0
        for text, run in groupby(map(repr, self)):
            stop = start + len(list(run))
            name = f"({start})" if stop == start + 1 else f"({start}-{stop - 1})"
            times = "" if stop == start + 1 else f"{stop - start} x "
            lines.append(f"{name}: {times}{text}".replace("\n", "\n  "))
            start = stop
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])


class ModuleKeyError(StateError):
    """A name under which a `ModuleDict` holds nothing; also a `KeyError`."""


class ModuleDict(Module):
    """Modules by name, in order of insertion.

    >>> from thalweg import nn
    >>> heads = nn.ModuleDict({"mean": nn.Linear(4, 1), "variance": nn.Linear(4, 1)})
    >>> list(heads.state_dict())
    ['mean.weight', 'mean.bias', 'variance.weight', 'variance.bias']
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        super().__init__()
        self.update(modules)

    def __getitem__(self, key: str) -> Any:
        if key not in self._modules:
            raise ModuleKeyError(
                explain(
                    "ModuleDict has no module of this name",
                    received=repr(key),
                    expected=", ".join(map(repr, self._modules)) or "it is empty",
                )
            )
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        self[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._modules))

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def keys(self) -> Iterable[str]:
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace modules by name."""
        for key, module in modules.items() if isinstance(modules, Mapping) else modules:
            self.add_module(key, module)

    def pop(self, key: str) -> Any:
        """Take a module out and return it."""
        module = self[key]
        del self[key]
        return module

    def clear(self) -> None:
        """Take all modules out."""
        for key in list(self):
            del self[key]
