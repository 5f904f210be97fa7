"""`LambdaCallback`: a callback out of plain functions.

In: functions of the trainer, by event.
Out: a callback that calls them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thalweg.errors import DTypeError, explain
from thalweg.train.callbacks.base import EVENTS, Callback, Priority
from thalweg.train.choices import unknown_name


class LambdaCallback(Callback):
    """Call functions at events: ``LambdaCallback(on_epoch_end=lambda trainer: print(trainer.state.logs))``.

    Args:
        **functions: on_<event>=function, each taking the trainer; the events are in `tw.callbacks.EVENTS`.
        priority: default `Priority.MEASURE`, so that what it adds to ``trainer.state.logs`` is recorded.
        every_steps: for the events that happen once a batch: at every n-th step only.
        traced: whether the functions of `on_loss` and `on_gradients` are tensor operations only, which may become
            part of the compiled step; see `Callback`.

    >>> LambdaCallback(on_epoch_end=lambda trainer: None)
    LambdaCallback(on_epoch_end)
    """

    def __init__(
        self,
        *,
        priority: int = Priority.MEASURE,
        every_steps: int = 1,
        traced: bool = False,
        **functions: Callable[[Any], object],
    ) -> None:
        self.priority = priority  # type: ignore[misc]
        self.every_steps = every_steps
        self.traced = traced  # type: ignore[misc]
        self.functions = functions
        for name, function in functions.items():
            if name.removeprefix("on_") not in EVENTS or not name.startswith("on_"):
                raise unknown_name("event", name, [f"on_{event}" for event in EVENTS], "LambdaCallback")
            if not callable(function):
                raise DTypeError(explain(f"{name} takes a function of the trainer", received=repr(function)))

    def handles(self, event: str) -> bool:
        return f"on_{event}" in self.functions

    def __repr__(self) -> str:
        return f"LambdaCallback({', '.join(self.functions)})"


def _call(event: str) -> Callable[[LambdaCallback, Any], None]:
    def method(self: LambdaCallback, trainer: Any) -> None:
        self.functions[f"on_{event}"](trainer)

    return method


for _event in EVENTS:
    setattr(LambdaCallback, f"on_{_event}", _call(_event))
