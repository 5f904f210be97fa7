"""`Function`: an operation whose gradient the user writes, as PyTorch's `torch.autograd.Function`.

In: a class with a static `forward` and `backward`. Out: `apply`, which runs the one at once and leaves the other to the
backward pass. Both are tensor operations, so both are evaluated, compiled and differentiated as anything else is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from thalweg import ops
from thalweg.errors import ArgumentError, DTypeError, GradientError, ShapeError, explain
from thalweg.graph import Node, zeros_like
from thalweg.tensor.core import Tensor
from thalweg.tensor.hooks import as_gradient, by_hand
from thalweg.tensor.modes import modes, set_recording
from thalweg.tensor.reductions import sum_to


class FunctionCtx:
    """What `forward` leaves for `backward`: tensors by `save_for_backward`, anything else as attributes.

    `needs_input_grad` says of each argument whether its gradient is wanted.
    """

    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self) -> None:
        self._saved: tuple[Tensor | None, ...] = ()
        self._kept: list[tuple[Any, Any, bool]] = []  # of each: the tensor or the index of a result; node; recorded
        self._constant: tuple[Tensor, ...] = ()
        self._materializes = True
        self._node: Node | None = None

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors, arguments and results of `forward` above all; once, and before it returns."""
        for each in tensors:
            if each is not None and not isinstance(each, Tensor):
                raise DTypeError(
                    explain("save_for_backward keeps tensors", received=type(each).__name__, expected="tensors or None",
                            remedy="set anything else as an attribute: ctx.alpha = alpha")
                )  # fmt: skip
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What `save_for_backward` was given, with the values that it had then."""
        return tuple([self._unpacked(*each) for each in self._kept]) if self._kept else self._saved

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Results of `forward` that require no gradient; whole numbers never do."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether a result that nobody used hands zeros to `backward`, as it does by default, or None."""
        self._materializes = value

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Refused: in-place writes of `forward` are not followed."""
        raise ArgumentError(
            explain("mark_dirty is not there", received=f"{len(tensors)} arguments that forward writes in place",
                    expected="a forward that returns new tensors", remedy="x = Function.apply(x)")
        )  # fmt: skip

    def _keep(self, results: Sequence[Tensor]) -> None:
        """Hold on to nodes, which no write changes; a result by its index, so that nothing holds itself."""
        place = {id(each): index for index, each in enumerate(results)}
        for each in self._saved:
            if each is None:
                self._kept.append((None, None, False))
            elif id(each) in place:
                self._kept.append((place[id(each)], None, True))
            else:
                self._kept.append((each, each.node, each.requires_grad))
        self._saved = ()

    def _unpacked(self, source: Any, node: Any, is_recorded: bool) -> Tensor | None:
        if source is None:
            return None
        if not isinstance(source, Tensor):
            assert self._node is not None
            return Tensor._result(ops.output(self._node, index=source), is_recorded)
        return source if source.node is node else Tensor._result(node, is_recorded)


class Function:
    """An operation with a gradient of its own: subclass it, and call ``YourFunction.apply(...)``.

    - ``forward(ctx, *args)``, static: computes the result, a tensor or a tuple, from tensors and other arguments. It is
      not recorded. Or ``forward(*args)`` with ``setup_context(ctx, inputs, output)`` beside it.
    - ``backward(ctx, *grads)``, static: of dLoss/dResult, one a result, dLoss/dArgument, one an argument; None for what
      is no tensor or has none. With `create_graph` it is recorded, and so may be differentiated again.

    Inside `tw.compile` both are traced, and become part of the program. Raises ArgumentError for a `backward` that
    gives another number of gradients than there are arguments, ShapeError for a gradient that cannot be summed to the
    shape of its argument.

    Source: PyTorch's `torch.autograd.Function`.

    >>> import thalweg as tw
    >>> class Step(tw.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x, slope):
    ...         ctx.save_for_backward(x)
    ...         ctx.slope = slope
    ...         return (x > 0).float()
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         s = tw.sigmoid(ctx.slope * x)
    ...         return grad * ctx.slope * s * (1 - s), None
    >>> x = tw.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    >>> y = Step.apply(x, 4.0)
    >>> y.detach()
    tensor([0., 0., 1.])
    >>> y.sum().backward()
    >>> x.grad[1]
    tensor(1.)
    """

    def __init__(self) -> None:
        raise ArgumentError(
            explain(f"{type(self).__name__} is not made into an object", received="a call of the class",
                    expected=f"{type(self).__name__}.apply(...)")
        )  # fmt: skip

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result. Every subclass must define it."""
        raise ArgumentError(
            explain("a Function without forward", received="a call of apply", expected="a static forward(ctx, ...)")
        )

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Compute the gradients of the arguments. Every subclass that is differentiated must define it."""
        raise GradientError(
            explain("a Function without backward", received="a backward pass", expected="a static backward(ctx, ...)")
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Where a subclass defines it, `forward` has no `ctx`, and this is called after it."""

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward`, and leave `backward` to the backward pass."""
        context = FunctionCtx()
        flags = [isinstance(each, Tensor) and each.requires_grad for each in args]
        context.needs_input_grad = tuple(flags)
        with set_recording(False):
            if cls.setup_context is Function.setup_context:
                result = cls.forward(context, *args)
            else:
                result = cls.forward(*args)
                cls.setup_context(context, args, result)
        return _recorded(cls, context, args, result) if modes.grad_enabled and any(flags) else result


def _recorded(cls: type[Function], context: FunctionCtx, args: Sequence[Any], result: Any) -> Any:
    """The results once more, as nodes whose chain rule is `backward`."""
    parts = list(result) if isinstance(result, (tuple, list)) else [result]
    places = [index for index, each in enumerate(parts) if isinstance(each, Tensor)]
    values = [parts[index] for index in places]
    wanted = [index for index, needed in enumerate(context.needs_input_grad) if needed]
    context._keep(values)
    count = len(parts)

    def rule(node: Node, cotangents: list[Node | None]) -> list[Node | None]:
        given: list[Tensor | None] = [None] * count
        for index, value, cotangent in zip(places, node.inputs, cotangents, strict=False):
            if cotangent is None and context._materializes:
                cotangent = zeros_like(value)
            given[index] = None if cotangent is None else as_gradient(cotangent)
        context._node = node
        try:
            return _checked(cls.__name__, cls.backward(context, *given), args, wanted)
        finally:
            context._node = None  # which holds this function: nothing is to hold itself

    nodes = by_hand([each.node for each in values], [args[index].node for index in wanted], rule)
    for index, node in zip(places, nodes, strict=True):
        is_constant = any(parts[index] is each for each in context._constant)
        parts[index] = parts[index] if is_constant else Tensor._result(node, True)
    context._constant = ()
    return type(result)(parts) if isinstance(result, (tuple, list)) else parts[0]


def _checked(name: str, found: Any, args: Sequence[Any], wanted: Sequence[int]) -> list[Node | None]:
    """The gradients of those arguments that want one, in the shape and dtype of the argument."""
    gradients = list(found) if isinstance(found, (tuple, list)) else [found]
    if len(gradients) < len(args) or any(each is not None for each in gradients[len(args) :]):
        raise ArgumentError(
            explain(f"{name}.backward returned a wrong number of gradients", received=len(gradients),
                    expected=f"{len(args)}, one for each argument of forward", remedy="return None for the others")
        )  # fmt: skip
    return [_fitting(name, gradients[index], args[index]) for index in wanted]


def _fitting(name: str, gradient: Any, argument: Tensor) -> Node | None:
    if gradient is None:
        return None
    if not isinstance(gradient, Tensor):
        raise DTypeError(
            explain(f"{name}.backward returns tensors", received=type(gradient).__name__, expected="a tensor or None")
        )
    try:
        node = sum_to(gradient.node, argument.shape)
    except ShapeError:
        raise ShapeError(
            explain(f"{name}.backward returned a gradient of another shape", received=gradient._summary(),
                    expected=argument._summary())
        ) from None  # fmt: skip
    return node if node.dtype is argument.dtype else ops.cast(node, dtype=argument.dtype.name)


def once_differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a `backward` that is not to be differentiated again; doing so raises GradientError."""

    @functools.wraps(function)
    def once(ctx: Any, *grads: Any) -> Any:
        with set_recording(False):
            found = function(ctx, *grads)
        if not modes.grad_enabled:
            return found
        parts = list(found) if isinstance(found, (tuple, list)) else [found]
        sources = ctx._node.inputs
        for index, each in enumerate(parts):
            if isinstance(each, Tensor):
                (node,) = ops.with_rule([each.node], sources, _refuse, "once_differentiable")
                parts[index] = Tensor._result(node, True)
        return tuple(parts)

    return once


def _refuse(node: Node, cotangents: list[Node | None]) -> Sequence[Node | None]:
    raise GradientError(
        explain("a second derivative of what may be differentiated once", received="once_differentiable",
                expected="one backward pass through it", remedy="write it in tensor operations, without the decorator")
    )  # fmt: skip
