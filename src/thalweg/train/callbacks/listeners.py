"""Who hears which event: the callbacks of a run by event, and how long the steps may run without them.

In: callbacks in their order, the number of a step. Out: calls of their methods; which of them are part of the step's
own program; how many steps may follow each other before a callback takes part in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from thalweg.errors import ThalwegError, explain
from thalweg.train.callbacks.base import (
    EVENTS,
    LAST_EVENTS,
    STEP_EVENTS,
    TRACED_EVENTS,
    Callback,
    CallbackError,
)

ENDLESS = 1 << 62


class Listeners:
    """The callbacks of a run, looked through once, so that an event that nobody hears costs nothing.

    >>> from thalweg.train.callbacks import LambdaCallback
    >>> listeners = Listeners([LambdaCallback(on_update=lambda trainer: None, every_steps=10)])
    >>> listeners.silent_steps(0), listeners.silent_steps(1)
    (0, 9)
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = callbacks
        self._by_event = {event: [each for each in callbacks if each.handles(event)] for event in EVENTS}
        in_the_step = [each for each in callbacks if any(map(each.handles, TRACED_EVENTS))]
        self._traced = [each for each in in_the_step if each.traced]
        self._in_python = [each for each in in_the_step if not each.traced]
        self._after = [each for each in callbacks if each.handles("update") or each.handles("batch_end")]
        self._single = [*self._by_event["batch_begin"], *self._in_python, *self._after]
        self._boundaries = [each.boundary_every for each in callbacks if each.boundary_every is not None]

    def __getitem__(self, event: str) -> list[Callback]:
        return self._by_event[event]

    def traced(self, step: int) -> tuple[Callback, ...]:
        """Those whose events are part of this step's program."""
        return tuple([each for each in self._traced if step % each.every_steps == 0])

    def cut_the_step(self, step: int) -> bool:
        """Whether one of them runs as Python between the gradients of this step and its update."""
        return any(step % each.every_steps == 0 for each in self._in_python)

    def look_at_the_step(self, step: int) -> bool:
        """Whether one of them is called when this step is over, and may want to see its gradients."""
        return any(step % each.every_steps == 0 for each in self._after)

    def silent_steps(self, step: int) -> int:
        """How many steps may run one after the other before a callback is asked; 0 if it takes part in this one.

        What is traced into the program takes no part, but all of these steps must have the same program.
        """
        most = min((-step % each.every_steps for each in self._single), default=ENDLESS)
        turns = (max(-step % each.every_steps, 1) for each in self._traced if each.every_steps > 1)
        to_boundary = min((every - step % every for every in self._boundaries), default=ENDLESS)
        return min(most, to_boundary, min(turns, default=ENDLESS))


def fire(event: str, trainer: Any, callbacks: Iterable[Callback]) -> None:
    """Call the event's method of every callback whose trigger allows it.

    An error surfaces with the callback's name. At the end of a run every callback still gets its turn, so that files
    are closed; an error there does not hide the one that ended the run.
    """
    errors: list[Exception] = []
    for callback in callbacks:
        is_turn = event not in STEP_EVENTS or trainer.state.step % callback.every_steps == 0
        if not is_turn or not callback.handles(event):
            continue
        try:
            getattr(callback, f"on_{event}")(trainer)
        except Exception as error:
            errors.append(_named(error, callback, event, trainer))
            if event not in LAST_EVENTS:
                break
    if not errors:
        return
    ended_by = trainer.state.exception if event in LAST_EVENTS else None
    if ended_by is None:
        raise errors[0] from errors[0].__cause__
    for late in errors:
        ended_by.add_note(f"then, at {event}: {late}")


def _named(error: Exception, callback: Callback, event: str, trainer: Any) -> Exception:
    if isinstance(error, ThalwegError):
        error.add_note(f"in the callback {callback!r}, on_{event}")
        return error
    named = CallbackError(
        explain(
            f"the callback {type(callback).__name__} failed",
            received=f"{type(error).__name__}: {error}",
            where=f"{callback!r}.on_{event}, epoch {trainer.state.epoch + 1}, step {trainer.state.step}",
            remedy="the cause is chained above",
        )
    )
    named.__cause__ = error
    return named
