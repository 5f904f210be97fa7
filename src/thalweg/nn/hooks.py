"""Hooks: functions that a module calls before or after its `forward`, as in PyTorch.

In: a module and a function. Out: a handle that removes it. Adding and removing raises the version number, so a compiled
step is traced again with the hooks that are there then; a hook is Python, and runs while the step is traced.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from thalweg.errors import DTypeError, explain
from thalweg.tensor.holding import bump_version

_numbers = itertools.count()


class Hook(NamedTuple):
    """A function, and how it wants to be called."""

    function: Callable[..., Any]
    with_kwargs: bool = False
    always_call: bool = False


class RemovableHandle:
    """What registering a hook returns: `remove()` takes it off again, as does the end of a `with` block."""

    def __init__(self, hooks: dict[int, Hook], number: int) -> None:
        self._hooks, self.id = hooks, number

    def remove(self) -> None:
        """Take the hook off; a second time changes nothing."""
        if self._hooks.pop(self.id, None) is not None:
            bump_version()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def add(module: Any, table: str, hook: Hook, prepend: bool) -> RemovableHandle:
    """Put a hook into one of the module's tables, behind the others or, with `prepend`, before them."""
    if not callable(hook.function):
        received, remedy = type(hook.function).__name__, "pass the function itself, without calling it"
        raise DTypeError(
            explain("a hook is a function of the module", received=received, expected="a callable", remedy=remedy)
        )
    number, hooks = next(_numbers), module.__dict__.setdefault(table, {})
    others = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    hooks[number] = hook
    hooks.update(others)
    bump_version()
    return RemovableHandle(hooks, number)


@contextmanager
def observed(modules: Iterable[Any], function: Callable[[Any, Any], object]) -> Iterator[None]:
    """Call `function(module, result)` after every forward pass of these modules, for the length of a block.

    The hooks are gone before any step could be traced with them, so no compiled step need hear of it.
    """

    def note(module: Any, args: tuple[Any, ...], result: Any) -> None:  # what returns nothing replaces no result
        function(module, result)

    number = next(_numbers)
    tables = [each.__dict__.setdefault("_forward_hooks", {}) for each in modules]
    for table in tables:
        table[number] = Hook(note)
    try:
        yield
    finally:
        for table in tables:
            table.pop(number, None)


def before(
    module: Any, hooks: Mapping[int, Hook], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """The arguments of `forward` after the hooks that come before it."""
    for hook in list(hooks.values()):
        if not hook.with_kwargs:
            changed = hook.function(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
            continue
        changed = hook.function(module, args, dict(kwargs))
        if changed is None:
            continue
        if not isinstance(changed, tuple) or len(changed) != 2:
            received, expected = type(changed).__name__, "None, or (args, kwargs)"
            raise DTypeError(explain("a forward pre-hook with kwargs", received=received, expected=expected))
        args, kwargs = changed
    return args, kwargs


def after(module: Any, hooks: Mapping[int, Hook], args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> Any:
    """The result of a call after the hooks that come behind `forward`; one that returns something replaces it."""
    for hook in list(hooks.values()):
        called = (
            hook.function(module, args, dict(kwargs), result)
            if hook.with_kwargs
            else hook.function(module, args, result)
        )
        result = result if called is None else called
    return result


def after_failure(module: Any, hooks: Mapping[int, Hook], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """`forward` raised: only the hooks that asked for it are called, with None as the result."""
    after(module, {number: hook for number, hook in hooks.items() if hook.always_call}, args, kwargs, None)
