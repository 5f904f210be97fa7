"""What a callback is: methods named after the events of the loop, a trigger, and a named priority.

In: the Trainer, at each event. Out: whatever the callback does there: record, decide, save, show.
`EVENTS` is the whole list, in the order in which a run passes through it.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from typing import Any, ClassVar

from thalweg.errors import ArgumentError, ConfigurationError, DTypeError, ThalwegError, explain
from thalweg.train.choices import did_you_mean

EVENTS: dict[str, str] = {
    "fit_begin": "before the first epoch; raise here for arguments that cannot work",
    "resume": "after fit_begin, if the run goes on from a checkpoint: every callback has its state back",
    "epoch_begin": "before the first batch of an epoch; not again if the run goes on in the middle of it",
    "batch_begin": "state.inputs, targets and weights are there",
    "loss": "inside the step: state.prediction and state.loss are there, nothing is updated",
    "gradients": "inside the step: after backward, before clipping and the update; each parameter has its .grad",
    "weights": "inside the step: after the optimizer's update; each parameter has its new value",
    "update": "the parameters are updated and every value of the step is known; metrics have not seen the batch",
    "slice_end": "one step is over, or as many as run in about 50 ms: state.slice holds the numbers of each",
    "batch_end": "the loss and the metrics of the epoch include the batch",
    "validation_begin": "before the validation data is read",
    "validation_end": "state.logs holds the val_ numbers",
    "epoch_end": "a whole epoch is over; state.logs holds its numbers",
    "boundary": "between two steps, after all of the above: the state of the run is whole, and may be saved",
    "exception": "something raised; state.exception holds it",
    "fit_end": "always last: after the epochs, a stop, an interrupt or an exception",
}
# Events that happen once a batch: they reach a callback only at every `every_steps`-th step.
STEP_EVENTS = frozenset({"batch_begin", "loss", "gradients", "weights", "update", "batch_end"})
LAST_EVENTS = frozenset({"exception", "fit_end"})
# Events inside the step: those of a callback that says `traced` are part of the compiled program.
TRACED_EVENTS = frozenset({"loss", "gradients", "weights"})


class Priority(enum.IntEnum):
    """Who comes first at an event; callbacks of equal priority run in the order in which they were given."""

    MEASURE = 100
    """Adds numbers to state.logs or state.watched, so that all the others see them."""
    RECORD = 200
    """Writes down what happened, before anybody changes the learning rate."""
    DECIDE = 300
    """Stops, or changes the learning rate."""
    MEND = 350
    """Looks at what is left when the others have decided, and may put another model in its place."""
    SAVE = 400
    SHOW = 500


class CallbackError(ThalwegError, RuntimeError):
    """A callback raised something that is not an error of Thalweg's; the cause is chained."""


class Callback:
    """Base of all callbacks: override the methods of the events that you need.

    Every method takes the `Trainer` and finds the run on `trainer.state` (see `TrainingState`): `epoch`, `step`,
    `logs`, `loss`, ... `trainer.stop(reason)` ends the run at the next step boundary; a tensor put into
    `trainer.state.watched` during `on_loss` or `on_gradients` is recorded with the step.

    All of it is ordinary Python, run every time its event happens, also where the step is compiled: then the program
    is cut in two around `on_loss` and `on_gradients`, which see known values and may write to gradients. What listens
    to single steps (`on_batch_begin`, `on_loss`, `on_gradients`, `on_weights`, `on_update`, `on_batch_end`) keeps steps
    from running many at a time; to record each step without that, use `on_slice_end` and ``trainer.state.slice``.

    Attributes:
        priority: who comes first, see `Priority`.
        every_steps: the trigger of the events that happen once a batch: 10 means at steps 0, 10, 20, ...
        boundary_every: there is a boundary whenever so many steps have been made; None (default): where it suits.
        adds_logs: whether it may add names to `state.logs`, which others may then monitor.
        traced: whether `on_loss`, `on_gradients` and `on_weights` are nothing but tensor operations whose results go
            into `state.watched`. They are then part of the compiled step, where Python runs only while it is traced,
            and cost next to nothing.

    >>> class Greeter(Callback):
    ...     def on_fit_begin(self, trainer):
    ...         trainer.greeted = True
    """

    priority: ClassVar[int] = Priority.MEASURE
    every_steps: int = 1
    boundary_every: int | None = None
    adds_logs: ClassVar[bool] = True
    traced: ClassVar[bool] = False

    def on_fit_begin(self, trainer: Any) -> None: ...

    def on_resume(self, trainer: Any) -> None: ...

    def on_epoch_begin(self, trainer: Any) -> None: ...

    def on_batch_begin(self, trainer: Any) -> None: ...

    def on_loss(self, trainer: Any) -> None: ...

    def on_gradients(self, trainer: Any) -> None: ...

    def on_weights(self, trainer: Any) -> None: ...

    def on_update(self, trainer: Any) -> None: ...

    def on_slice_end(self, trainer: Any) -> None: ...

    def on_batch_end(self, trainer: Any) -> None: ...

    def on_validation_begin(self, trainer: Any) -> None: ...

    def on_validation_end(self, trainer: Any) -> None: ...

    def on_epoch_end(self, trainer: Any) -> None: ...

    def on_boundary(self, trainer: Any) -> None: ...

    def on_exception(self, trainer: Any) -> None: ...

    def on_fit_end(self, trainer: Any) -> None: ...

    def handles(self, event: str) -> bool:
        """Whether it does anything at the event."""
        return getattr(type(self), f"on_{event}") is not getattr(Callback, f"on_{event}")

    def state_dict(self) -> dict[str, Any]:
        """What it remembers of the run, for a checkpoint: numbers, texts, None, NumPy arrays, lists and dictionaries.

        Called between two steps. The default is for callbacks that remember nothing.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with what `state_dict` gave; called after `on_fit_begin`, before `on_resume`."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def in_order(callbacks: Iterable[Any]) -> list[Callback]:
    """The callbacks by priority, each checked to be one, and there once."""
    found: list[Callback] = []
    for each in callbacks:
        _check(each)
        if not any(each is other for other in found):
            found.append(each)
    return sorted(found, key=lambda callback: callback.priority)


def _check(callback: Any) -> None:
    if not isinstance(callback, Callback):
        remedy = f"make it an instance: {callback.__name__}()" if isinstance(callback, type) else None
        remedy = remedy or "derive it from tw.callbacks.Callback, or use LambdaCallback(on_epoch_end=function)"
        raise DTypeError(
            explain("this is no callback", received=repr(callback), expected="instances of Callback", remedy=remedy)
        )
    whole_number("every_steps", callback.every_steps, 1, type(callback).__name__)


# --- what callbacks share --------------------------------------------------------------------------------------------


class Monitor:
    """One number of the epoch that a callback watches, and which direction is better.

    mode "auto" asks the metric itself (`higher_is_better`); the loss is better when lower.
    """

    def __init__(self, name: str, mode: str, where: str) -> None:
        if mode not in ("auto", "min", "max"):
            expected = "'auto', 'min' or 'max'"
            raise ArgumentError(explain("unknown mode", received=repr(mode), expected=expected, where=where))
        self.name, self.mode, self.where = name, mode, where
        self.higher_is_better = mode == "max"

    def begin(self, trainer: Any) -> None:
        """Find the direction, and refuse a name that this run cannot produce."""
        if self.mode == "auto":
            self.higher_is_better = self._direction(trainer)
        names = trainer.log_names()
        if self.name not in names and not trainer.may_add_logs():
            raise self._unknown(names)

    def _direction(self, trainer: Any) -> bool:
        name = self.name.removeprefix("val_")
        if name == "loss":
            return False
        for metric in trainer.metrics:
            if metric.name == name:
                if metric.higher_is_better is None:
                    raise ArgumentError(
                        explain(f"neither direction of {name} is better", where=self.where, remedy="monitor another")
                    )
                return bool(metric.higher_is_better)
        return False

    def read(self, trainer: Any) -> float:
        """The number of this epoch."""
        if self.name not in trainer.state.logs:
            raise self._unknown(list(trainer.state.logs))
        value = trainer.state.logs[self.name]
        try:
            return float(value)
        except (TypeError, ValueError):
            expected, received = "one number an epoch", f"{self.name}: {type(value).__name__}"
            raise ConfigurationError(
                explain("this cannot be monitored", received=received, expected=expected, where=self.where)
            ) from None

    def _unknown(self, names: list[str]) -> ConfigurationError:
        remedy = did_you_mean(self.name, names) or "monitor one of these names"
        if self.name.startswith("val_") and not any(name.startswith("val_") for name in names):
            remedy = "pass validation=(x, y) or validation_split=0.2 to fit(), or monitor 'loss'"
        return ConfigurationError(
            explain(
                "this run does not produce the monitored number",
                received=repr(self.name),
                expected=", ".join(names),
                where=self.where,
                remedy=remedy,
            )
        )

    @property
    def worst(self) -> float:
        return -math.inf if self.higher_is_better else math.inf

    def is_better(self, value: float, best: float, by: float = 0.0) -> bool:
        """Whether `value` improves on `best` by more than `by`; NaN never does."""
        return value - by > best if self.higher_is_better else value + by < best


def whole_number(name: str, value: Any, least: int, where: str) -> int:
    """The value, if it is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArgumentError(
            explain(f"{name} must be a whole number", received=repr(value), expected=f"at least {least}", where=where)
        )
    return value


def number(name: str, value: Any, least: float, where: str, most: float = math.inf) -> float:
    """The value, if it is a finite number in [least, most]."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not least <= value <= most:
        expected = f"at least {least:g}" if most == math.inf else f"{least:g} to {most:g}"
        raise ArgumentError(
            explain(f"{name} is out of range", received=repr(value), expected=f"a number, {expected}", where=where)
        )
    return float(value)
