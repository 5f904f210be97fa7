"""Hooks of tensors: functions that are called with a gradient on its way, as in PyTorch.

In: a tensor and a function. Out: a handle that removes it; while `backward` builds the graph of the gradients, each
function is called with the gradient of its tensor, which is pending then, and what it returns goes on in its place.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from thalweg.errors import DTypeError, GradientError, ShapeError, TraceError, explain
from thalweg.graph import Node
from thalweg.ops import Rule, detach, with_rule
from thalweg.tensor.core import Tensor
from thalweg.tensor.holding import bump_version
from thalweg.tensor.lazy import BY_HAND
from thalweg.tensor.modes import modes

Hook = Callable[[Tensor], Any]
_numbers = itertools.count(1)


class RemovableHandle:
    """What registering a hook returns: `remove()` takes it off again, as does the end of a `with` block."""

    def __init__(self, hooks: dict[int, Any], number: int, is_of_steps: bool = True) -> None:
        self._hooks, self.id, self._is_of_steps = hooks, number, is_of_steps

    def remove(self) -> None:
        """Take the hook off; a second time changes nothing."""
        if self._hooks.pop(self.id, None) is not None and self._is_of_steps:
            bump_version()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def attach(hooks: dict[int, Any], hook: Any, prepend: bool = False, is_of_steps: bool = True) -> RemovableHandle:
    """Put a hook into a table, behind the others or, with `prepend`, before them.

    Where compiled steps could have been traced without it (`is_of_steps`), they are traced again.
    """
    number = next(_numbers)
    others = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    hooks[number] = hook
    hooks.update(others)
    if is_of_steps:
        bump_version()
    return RemovableHandle(hooks, number, is_of_steps)


class LeafHooks:
    """The hooks of a leaf, called before and after its `.grad` is set: they stay, whatever is written to it."""

    def __init__(self) -> None:
        self.before: dict[int, Hook] = {}
        self.after: dict[int, Hook] = {}

    def __bool__(self) -> bool:
        return bool(self.before or self.after)


def register_hook(self: Tensor, hook: Hook) -> RemovableHandle:
    """Call ``hook(grad)`` in every backward pass, with the whole gradient of this tensor; a tensor that it returns
    takes the place of that gradient.

    Hooks are called in the order in which they were registered. A hook of a leaf stays with the tensor; one of a result
    belongs to the operation that made it. In a compiled step a hook runs while the step is traced, and what it computes
    is part of the program. Raises GradientError for a tensor that requires no gradient; TraceError in the body of
    `tw.scan`, and in a compiled step for a tensor that was made outside of it.

    Returns:
        A handle; `handle.remove()` takes the hook off.

    Source: PyTorch's `Tensor.register_hook`.

    >>> import thalweg as tw
    >>> x = tw.tensor([1.0, 2.0], requires_grad=True)
    >>> y = x * 3
    >>> handle = y.register_hook(lambda grad: grad * 10)
    >>> y.sum().backward()
    >>> x.grad
    tensor([30., 30.])
    """
    _check("register_hook", self, hook)
    if self._leaf:
        return attach(_of_leaf(self).before, hook)
    node = self.node
    if not node.notes & BY_HAND:
        node.notes |= BY_HAND
        node.hooks = {}
    return attach(node.hooks, hook, is_of_steps=False)


def register_post_accumulate_grad_hook(self: Tensor, hook: Hook) -> RemovableHandle:
    """Call ``hook(tensor)`` in every `backward` as soon as the gradient has been added to the `.grad` of this leaf.

    What it returns does not count. So a parameter can be updated, and its gradient dropped, before the others have
    theirs. `tw.grad` sets no `.grad` and does not call it. Raises GradientError for a tensor that is no leaf or
    requires no gradient.

    Returns:
        A handle; `handle.remove()` takes the hook off.

    Source: PyTorch's `Tensor.register_post_accumulate_grad_hook`.

    >>> import thalweg as tw
    >>> w = tw.tensor([1.0, 2.0], requires_grad=True)
    >>> def update(w):
    ...     with tw.no_grad():
    ...         w -= 0.5 * w.grad
    ...     w.grad = None
    >>> handle = w.register_post_accumulate_grad_hook(update)
    >>> (w * w).sum().backward()
    >>> w.detach(), w.grad
    (tensor([0., 0.]), None)
    """
    _check("register_post_accumulate_grad_hook", self, hook)
    if not self._leaf:
        raise GradientError(
            explain("post-accumulate hooks are for leaves", received="the result of an operation",
                    expected="a tensor that collects its gradient in .grad", remedy="use register_hook")
        )  # fmt: skip
    return attach(_of_leaf(self).after, hook)


def _check(name: str, tensor: Tensor, hook: object) -> None:
    if not callable(hook):
        raise DTypeError(
            explain(f"{name}: a hook is a function of the gradient", received=type(hook).__name__,
                    expected="a callable", remedy="pass the function itself, without calling it")
        )  # fmt: skip
    if not tensor.requires_grad:
        raise GradientError(
            explain(f"{name} on a tensor that requires no gradient", received=tensor._summary(),
                    expected="requires_grad=True, or a result that depends on such a tensor")
        )  # fmt: skip
    trace = modes.trace
    if trace is not None and (trace.is_of_loop or tensor._trace is not trace):
        where = "in the body of a scan" if trace.is_of_loop else "inside a step that is being compiled"
        raise TraceError(
            explain(f"{name} {where}", received=tensor._summary(),
                    expected="a tensor that the step itself makes, outside of scan",
                    remedy="register hooks of parameters and inputs before the step is called")
        )  # fmt: skip


def _of_leaf(tensor: Tensor) -> LeafHooks:
    hooks: LeafHooks = LeafHooks() if tensor._hooks is None else tensor._hooks
    tensor._hooks = hooks
    return hooks


class Arrivals:
    """The hooks that one backward pass meets. `collect(tensor, gradient)`, if given, is what adds to `.grad`."""

    def __init__(
        self, order: Sequence[Node], targets: Sequence[tuple[Tensor, Node]],
        collect: Callable[[Tensor, Node], None] | None,
    ) -> None:  # fmt: skip
        self.collect = collect
        self.collected: set[Node] = set()
        self.hooks: dict[Node, Mapping[int, Hook]] = {
            node: node.hooks for node in order if node.notes & BY_HAND and node.hooks
        }
        self.after: dict[Node, Tensor] = {}
        for tensor, node in targets:
            if tensor._hooks is not None and tensor._leaf:
                self.hooks[node] = tensor._hooks.before
                if tensor._hooks.after and collect is not None:
                    self.after[node] = tensor

    def __bool__(self) -> bool:
        return bool(self.hooks)

    def __call__(self, node: Node, cotangent: Node) -> Node:
        """What goes on from a node whose cotangent is whole."""
        for hook in list(self.hooks.get(node, {}).values()):
            cotangent = _answer(hook, cotangent)
        tensor = self.after.get(node)
        if tensor is not None and tensor._hooks is not None:
            assert self.collect is not None
            self.collect(tensor, cotangent)
            self.collected.add(node)
            for hook in list(tensor._hooks.after.values()):
                hook(tensor)
        return cotangent


def by_hand(values: Sequence[Node], inputs: Sequence[Node], rule: Rule) -> list[Node]:
    """The values, with a rule that is Python's: it is asked in every backward pass, also by the body of a loop.

    A loop's body is differentiated when its trace is over; what was made in it is read as it was made.
    """
    trace = modes.trace if modes.trace is not None and modes.trace.is_of_loop else None

    def asked(node: Node, cotangents: list[Node | None]) -> Sequence[Node | None]:
        before, modes.trace = modes.trace, trace
        try:
            return rule(node, cotangents)
        finally:
            modes.trace = before

    found = with_rule(values, inputs, *((rule,) if trace is None else (asked, next(_numbers))))
    for each in found[:1]:
        each.inputs[0].notes |= BY_HAND
        each.inputs[0].hooks = {}
    return found


def as_gradient(cotangent: Node) -> Tensor:
    """A cotangent as a tensor, through which gradients flow where they are recorded."""
    return Tensor._result(cotangent if modes.grad_enabled else detach(cotangent), modes.grad_enabled)


def _answer(hook: Hook, cotangent: Node) -> Node:
    given = as_gradient(cotangent)
    before = given.node
    found = hook(given)
    if found is None:
        return cotangent if given.node is before else given.node  # it was written in place
    if not isinstance(found, Tensor):
        raise DTypeError(
            explain("a hook returns a gradient or None", received=type(found).__name__, expected="a tensor, or None")
        )
    if found.shape != given.shape or found.dtype is not given.dtype:
        raise ShapeError(
            explain("a hook returned another kind of gradient", received=found._summary(), expected=given._summary())
        )
    return found.node
