"""What differs from thread to thread while tensors are used: whether gradients are recorded, the trace under way.

In: `no_grad`, `enable_grad`, `set_grad_enabled`, `detect_anomaly`. Out: one thread-local record that the other files
of this room read.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, Self, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Modes(threading.local):
    """The defaults are class attributes, so that every new thread starts from them."""

    grad_enabled: bool = True
    anomaly: bool = False
    trace: Any = None


modes = Modes()


class _Mode:
    """A context manager and decorator that sets one mode and puts back what was there."""

    name: str

    def __init__(self, value: bool) -> None:
        self.value = value
        self._before: list[bool] = []

    def __enter__(self) -> Self:
        self._before.append(getattr(modes, self.name))
        setattr(modes, self.name, self.value)
        return self

    def __exit__(self, *_: object) -> None:
        setattr(modes, self.name, self._before.pop())

    def __call__(self, function: F) -> F:
        return _within(lambda: type(self)(self.value), function)


def _within(mode: Callable[[], _Mode], function: F) -> F:
    """The function with the mode set while its body runs: for a generator, while each of its steps runs."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with mode():
            return function(*args, **kwargs)

    @functools.wraps(function)
    def stepped(*args: Any, **kwargs: Any) -> Any:
        steps, sent = function(*args, **kwargs), None
        while True:
            try:
                with mode():
                    step = steps.send(sent)
            except StopIteration as end:
                return end.value
            sent = yield step

    return stepped if inspect.isgeneratorfunction(function) else wrapped  # type: ignore[return-value]


class set_recording(_Mode):
    """Record gradients inside the block, or not."""

    name = "grad_enabled"


class set_grad_enabled(_Mode):
    """Record gradients or not, by a flag; as a context manager, a decorator, or at once as in PyTorch."""

    name = "grad_enabled"

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)
        self._before.append(modes.grad_enabled)
        modes.grad_enabled = mode

    def __enter__(self) -> Self:
        return self

    def __call__(self, function: F) -> F:
        modes.grad_enabled = self._before.pop()
        return super().__call__(function)


class no_grad(_Mode):
    """Results made inside do not require a gradient: for inference, and for writing to parameters.

    >>> import thalweg as tw
    >>> w = tw.ones(2, requires_grad=True)
    >>> with tw.no_grad():
    ...     y = w * 2
    >>> y.requires_grad
    False
    """

    name = "grad_enabled"
    value = False

    def __new__(cls, function: Any = None) -> Any:
        """Also `@no_grad` without parentheses decorates."""
        mode = super().__new__(cls)
        if function is None:
            return mode
        mode.__init__()  # type: ignore[misc]
        return mode(function)

    def __init__(self) -> None:
        super().__init__(type(self).value)

    def __call__(self, function: F) -> F:
        return _within(type(self), function)


class enable_grad(no_grad):
    """Results made inside are recorded again, within a `no_grad` block."""

    value = True


class inference_mode(_Mode):
    """`no_grad` by another name of PyTorch's: nothing is recorded inside; with ``mode=False`` everything is.

    What is made inside is an ordinary tensor, which a later step may use.

    >>> import thalweg as tw
    >>> with tw.inference_mode():
    ...     (tw.ones(2, requires_grad=True) * 2).requires_grad
    False
    """

    name = "grad_enabled"

    def __new__(cls, mode: Any = True) -> Any:
        """Also `@inference_mode` without parentheses decorates."""
        return _within(cls, mode) if callable(mode) else super().__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode)

    def __call__(self, function: F) -> F:
        return _within(lambda: type(self)(not self.value), function)


class detect_anomaly(_Mode):
    """Check every value as it is computed, and name the first operation that gives a NaN or an infinity.

    Evaluation is then one operation at a time: slower, for finding a fault. Raises `NonFiniteError`.
    """

    name = "anomaly"

    def __init__(self, check: bool = True) -> None:
        super().__init__(check)


def is_grad_enabled() -> bool:
    """Whether operations are being recorded for backpropagation in this thread."""
    return modes.grad_enabled


class TraceAgain(BaseException):
    """Raised while a step is being traced, by who finds that what was traced so far meant other cells."""


class outside_trace:
    """State made inside is real, also while a step is being traced: for cells that must outlive the trace."""

    def __enter__(self) -> None:
        self._before = modes.trace
        modes.trace = None

    def __exit__(self, *_: object) -> None:
        modes.trace = self._before
