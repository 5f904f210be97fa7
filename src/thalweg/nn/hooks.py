"""Hooks: functions that a module calls before or after its `forward`, or in the backward pass, as in PyTorch.

In: a module and a function. Out: a handle that removes it. Adding and removing raises the version number, so a compiled
step is traced again with the hooks that are there then; a hook is Python, and runs while the step is traced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

from thalweg.errors import ArgumentError, DTypeError, explain
from thalweg.graph import Node, zeros_like
from thalweg.tensor.core import Tensor
from thalweg.tensor.hooks import RemovableHandle, as_gradient, attach, by_hand
from thalweg.tensor.modes import modes

Gradients = tuple[Tensor | None, ...]


class Hook(NamedTuple):
    """A function, and how it wants to be called."""

    function: Callable[..., Any]
    with_kwargs: bool = False
    always_call: bool = False


def add(module: Any, table: str, hook: Hook, prepend: bool) -> RemovableHandle:
    """Put a hook into one of the module's tables, behind the others or, with `prepend`, before them."""
    if not callable(hook.function):
        received, remedy = type(hook.function).__name__, "pass the function itself, without calling it"
        raise DTypeError(
            explain("a hook is a function of the module", received=received, expected="a callable", remedy=remedy)
        )
    return attach(module.__dict__.setdefault(table, {}), hook, prepend)


@contextmanager
def observed(modules: Iterable[Any], function: Callable[[Any, Any], object]) -> Iterator[None]:
    """Call `function(module, result)` after every forward pass of these modules, for the length of a block.

    The hooks are gone before any step could be traced with them, so no compiled step need hear of it.
    """

    def note(module: Any, args: tuple[Any, ...], result: Any) -> None:  # what returns nothing replaces no result
        function(module, result)

    tables = [each.__dict__.setdefault("_forward_hooks", {}) for each in modules]
    handles = [attach(table, Hook(note), is_of_steps=False) for table in tables]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


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


# --- in the backward pass ---------------------------------------------------------------------------------------------


class BackwardHooks:
    """One call of a module that has such hooks: they see the gradients of its results, and then of its arguments."""

    def __init__(self, module: Any, before: Mapping[int, Any], after: Mapping[int, Any]) -> None:
        self.module = module
        self.before, self.after = [[hook.function for hook in table.values()] for table in (before, after)]
        self.count = 0  # arguments by position
        self.is_behind = False  # whether a gradient may go on to an argument
        self.grad_output: Gradients | None = None

    def on_arguments(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.count = len(args)
        marked = _marked(args, self._at_arguments)
        self.is_behind = marked is not None
        return args if marked is None else marked

    def on_result(self, result: Any) -> Any:
        parts = result if type(result) is tuple else (result,)
        marked = _marked(parts, self._at_result)
        if marked is None:
            return result
        return marked if type(result) is tuple else marked[0]

    def _at_result(self, places: Sequence[int], count: int, node: Node, cotangents: Sequence[Node | None]) -> Any:
        found = _spread(places, count, [None if each is None else as_gradient(each) for each in cotangents])
        for hook in self.before:
            found = _answer(hook(self.module, found), found)
        self.grad_output = found
        if not self.is_behind:
            self._without_arguments(found)
        return _nodes(found, places)

    def _without_arguments(self, grad_output: Gradients) -> None:
        nothing: Gradients = (None,) * self.count
        self.grad_output = None
        for hook in self.after:
            answer = hook(self.module, nothing, grad_output)
            if answer is not None and not (isinstance(answer, tuple) and all(each is None for each in answer)):
                raise ArgumentError(
                    explain("a backward hook of a module none of whose arguments requires a gradient",
                            received="a gradient", expected="None")
                )  # fmt: skip

    def _at_arguments(self, places: Sequence[int], count: int, node: Node, cotangents: Sequence[Node | None]) -> Any:
        grad_output, self.grad_output = self.grad_output, None
        if grad_output is None:  # the result does not depend on them, nor did the hooks before hear of it
            return cotangents
        whole = [zeros_like(at) if each is None else each for at, each in zip(node.inputs, cotangents, strict=False)]
        found = _spread(places, count, [as_gradient(each) for each in whole])
        for hook in self.after:
            found = _answer(hook(self.module, found, grad_output), found)
        return _nodes(found, places)


def _marked(values: tuple[Any, ...], rule: Callable[..., Any]) -> tuple[Any, ...] | None:
    """The values, those of them that require a gradient under the rule; None if nothing does."""
    places = [i for i, each in enumerate(values) if isinstance(each, Tensor) and each.requires_grad]
    if not places or not modes.grad_enabled:
        return None
    count, new = len(values), list(values)
    sources = [values[i].node for i in places]
    for i, node in zip(places, by_hand(sources, sources, lambda *g: rule(places, count, *g)), strict=True):
        new[i] = Tensor._result(node, True)
    return tuple(new)


def _spread(places: Sequence[int], count: int, gradients: Sequence[Tensor | None]) -> Gradients:
    found: list[Tensor | None] = [None] * count
    for place, each in zip(places, gradients, strict=True):
        found[place] = each
    return tuple(found)


def _answer(new: Any, old: Gradients) -> Gradients:
    """What a hook gives, one or several, in the place of what it was given."""
    if new is None:
        return old
    found = new if isinstance(new, tuple) else (new,)
    if len(found) != len(old):
        raise ArgumentError(
            explain("a backward hook returned another number of gradients", received=len(found), expected=len(old))
        )
    return found


def _nodes(gradients: Gradients, places: Sequence[int]) -> list[Node | None]:
    return [None if each is None else each.node for each in (gradients[i] for i in places)]


# --- registering them -------------------------------------------------------------------------------------------------


class TakesHooks:
    """The part of `Module` that hooks are registered with."""

    _forward_hooks: Mapping[int, Hook] = MappingProxyType({})  # a table of its own comes with the first hook
    _forward_pre_hooks: Mapping[int, Hook] = MappingProxyType({})
    _backward_hooks: Mapping[int, Hook] = MappingProxyType({})
    _backward_pre_hooks: Mapping[int, Hook] = MappingProxyType({})

    def _take(self, table: str, hook: Hook, prepend: bool) -> RemovableHandle:
        self._refuse_in_trace("hook", "registered", hook.function)
        return add(self, table, hook, prepend)

    def _refuse_in_trace(self, name: str, what: str, value: object = None) -> None:
        """Modules refuse changes in a step that is being compiled."""

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before every `forward`, as in PyTorch; a result replaces the arguments.

        With `with_kwargs` it is ``hook(module, args, kwargs)``, and what replaces them ``(args, kwargs)``. Inside a
        compiled step a hook runs while the step is traced, and what it computes is part of the program.

        Returns:
            A handle; `handle.remove()` takes the hook off.

        >>> import thalweg as tw
        >>> layer = tw.nn.ReLU()
        >>> handle = layer.register_forward_pre_hook(lambda module, args: (args[0] - 1.0,))
        >>> layer(tw.tensor([3.0]))
        tensor([2.])
        >>> handle.remove()
        """
        return self._take("_forward_pre_hooks", Hook(hook, with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, result)`` after every `forward`, as in PyTorch; its own result replaces that one.

        With `with_kwargs` it is ``hook(module, args, kwargs, result)``; with `always_call` it is called, with None as
        the result, also where `forward` raised.

        Returns:
            A handle; `handle.remove()` takes the hook off.

        >>> import thalweg as tw
        >>> layer, shapes = tw.nn.Linear(3, 2), []
        >>> with layer.register_forward_hook(lambda module, args, result: shapes.append(result.shape)):
        ...     _ = layer(tw.ones(4, 3))
        >>> shapes
        [(4, 2)]
        """
        return self._take("_forward_hooks", Hook(hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` when the gradients of the results have arrived, one a result, in a tuple.

        What it returns, a tensor or a tuple of as many, takes their place; None for results that nobody used. The
        result of `forward` is a tensor or a tuple of them: in other results no gradient is seen.

        Returns:
            A handle; `handle.remove()` takes the hook off.

        Source: PyTorch's `Module.register_full_backward_pre_hook`.

        >>> import thalweg as tw
        >>> layer = tw.nn.Tanh()
        >>> handle = layer.register_full_backward_pre_hook(lambda module, grad_output: grad_output[0] * 2)
        >>> x = tw.zeros(2, requires_grad=True)
        >>> layer(x).sum().backward()
        >>> x.grad
        tensor([2., 2.])
        """
        return self._take("_backward_pre_hooks", Hook(hook), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` when the gradients of the arguments have been computed.

        Both are tuples, with None for what is no tensor or has no gradient; arguments count by position. What it
        returns takes the place of `grad_input`. Where no argument requires a gradient it is called with the gradients
        of the results alone. In a compiled step it runs while the step is traced, as all hooks do.

        Returns:
            A handle; `handle.remove()` takes the hook off.

        Source: PyTorch's `Module.register_full_backward_hook`.

        >>> import thalweg as tw
        >>> layer, norms = tw.nn.Linear(3, 2), []
        >>> with layer.register_full_backward_hook(lambda module, grad_input, grad_output: norms.append(grad_output)):
        ...     layer(tw.ones(4, 3)).sum().backward()
        >>> norms[0][0].shape
        (4, 2)
        """
        return self._take("_backward_hooks", Hook(hook), prepend)
