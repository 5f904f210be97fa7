"""What every schedule is: a pure function of the step, written once in tensor operations.

In: a step, as a Python number, a tensor, or many at once. Out: the hyper-parameter at that step: a Python float, a
float64 tensor that a compiled step can compute for itself, or an array to draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, overload

import numpy as np

from thalweg.dtype import float64
from thalweg.errors import ArgumentError, explain
from thalweg.tensor import Tensor, no_grad, tensor
from thalweg.tensor.modes import outside_trace

CONFIG_KEY = "schedule"
Numbers = int | float | np.integer | np.floating


@dataclass(frozen=True)
class Schedule:
    """Base of the schedules: subclasses are frozen dataclasses with a `formula`.

    The fields are the configuration, and are all that a schedule knows: it has no state, so the value at a step does
    not depend on which steps were asked for before. Steps count from 0: the first update uses `schedule(0)`.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Halving(Schedule):
    ...     lr: float
    ...     def formula(self, t):
    ...         return self.lr * 0.5**t
    >>> Halving(0.8)(2)
    0.2
    >>> Halving(0.8).values(3)
    array([0.8, 0.4, 0.2])
    """

    kinds: ClassVar[dict[str, type[Schedule]]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        Schedule.kinds[cls.__name__] = cls

    def formula(self, t: Any) -> Any:
        """The value at step `t`, a float64 tensor of any shape, in operations that work entry by entry."""
        raise NotImplementedError(f"{type(self).__name__} has no formula")

    @overload
    def __call__(self, step: Tensor) -> Tensor: ...

    @overload
    def __call__(self, step: float) -> float: ...

    def __call__(self, step: Tensor | float) -> Tensor | float:
        """The value at `step`: a Python float for a Python number, a float64 tensor for a tensor."""
        if isinstance(step, Tensor):
            with no_grad():
                value: Tensor = self.formula(step.to(float64))
            return value
        with outside_trace(), no_grad():
            return float(self.formula(tensor(_checked_step(step), dtype=float64)).item())

    def values(self, steps: int | Sequence[float]) -> np.ndarray:
        """The values at steps 0 to `steps` - 1, or at each of `steps`, as a float64 array: ready to be drawn.

        >>> from thalweg.optim import schedules
        >>> schedules.Exponential(lr=1.0, gamma=0.5).values(4)
        array([1.   , 0.5  , 0.25 , 0.125])
        """
        wanted = range(steps) if isinstance(steps, int) else [_checked_step(each) for each in steps]
        with outside_trace(), no_grad():
            t = tensor(np.array(wanted, dtype=np.float64))
            return self.formula(t).numpy()  # type: ignore[no-any-return]

    def to_config(self) -> dict[str, Any]:
        """This schedule as JSON values; `from_config` gives it back.

        >>> from thalweg.optim import schedules
        >>> schedules.StepDecay(lr=0.1, step_size=30).to_config()
        {'schedule': 'StepDecay', 'lr': 0.1, 'step_size': 30, 'gamma': 0.1}
        """
        return {CONFIG_KEY: type(self).__name__} | {
            each.name: _plain(getattr(self, each.name)) for each in fields(self)
        }


def is_config(value: object) -> bool:
    """Whether this is what `to_config` gives."""
    return isinstance(value, Mapping) and CONFIG_KEY in value


def _plain(value: Any) -> Any:
    if isinstance(value, Schedule):
        return value.to_config()
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _checked_step(step: Any) -> float:
    if not is_number(step):
        raise ArgumentError(
            explain("a schedule is a function of the step", received=repr(step), expected="a number of at least 0")
        )
    return float(step)


def require(schedule: Schedule, name: str, is_right: bool, expected: str) -> None:
    """Raise unless the setting `name` of `schedule` is as expected."""
    if not is_right:
        raise ArgumentError(
            explain(
                f"{type(schedule).__name__}: {name} is not allowed",
                received=repr(getattr(schedule, name)),
                expected=expected,
            )
        )


def require_rates(schedule: Schedule, *names: str) -> None:
    """Each named setting must be a finite number of at least 0."""
    for name in names:
        require(schedule, name, is_number(getattr(schedule, name)), "a finite number of at least 0")


def require_counts(schedule: Schedule, *names: str) -> None:
    """Each named setting must be a whole number of at least 1."""
    for name in names:
        require(schedule, name, is_count(getattr(schedule, name)), "a whole number of at least 1")


def is_number(value: object) -> bool:
    return isinstance(value, Numbers) and not isinstance(value, bool) and 0 <= float(value) < math.inf


def is_count(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 1
