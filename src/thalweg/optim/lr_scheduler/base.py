"""What every scheduler is: a count of its steps, the rates it began with, and the rates it puts into the groups.

In: an optimizer. Out: after each `step`, new rates. `FollowsSchedule` is the link to `optim.schedules`: a subclass says
which schedule it is, and the base does the rest.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

from thalweg.errors import ArgumentError, ConfigurationError, DTypeError, StateError, TraceError, explain
from thalweg.optim.optimizer import Optimizer
from thalweg.optim.schedules import Schedule
from thalweg.tensor import Tensor
from thalweg.tensor.modes import modes


class LRScheduler:
    """Base of the schedulers: a subclass overrides `get_lr`, the rates at `last_epoch`, one for each group.

    `base_lrs` are the rates that the groups had at first, `last_epoch` counts calls of `step` from 0 ("epoch" is
    PyTorch's word; call it after every batch if the arguments count batches). Not for a compiled function, where Python
    runs only once: call `step` outside, or give the optimizer a schedule of `tw.optim.schedules` as `lr`.

    Errors: `DTypeError` without an optimizer; `ConfigurationError` where `lr` is a schedule already.

    >>> import thalweg as tw
    >>> class Harmonic(tw.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [rate / (1 + self.last_epoch) for rate in self.base_lrs]
    >>> optimizer = tw.optim.SGD([tw.zeros(2, requires_grad=True)], lr=1.0)
    >>> scheduler = Harmonic(optimizer)
    >>> optimizer.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    # What is not saved: the optimizer has a state of its own, functions have none.
    unsaved: ClassVar[frozenset[str]] = frozenset({"optimizer"})

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked_optimizer(optimizer, type(self).__name__)
        for index, group in enumerate(optimizer.param_groups):
            if "initial_lr" not in group:
                if last_epoch != -1:
                    raise _unknown_beginning(type(self).__name__, index)
                group["initial_lr"] = group["lr"]
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._updates_before = optimizer.step_count
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count, self._is_initial = 0, True
        self.step()
        self._is_initial = False

    def get_lr(self) -> list[float]:
        """The rates at `last_epoch`, one for each group."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr")

    def get_last_lr(self) -> list[float]:
        """The rates that were set last."""
        return self._last_lr

    def step(self, epoch: float | None = None) -> None:
        """On to the next rates; with `epoch`, to those of that step."""
        refuse_trace(type(self).__name__)
        if epoch is None and self._step_count == 1 and self.optimizer.step_count == self._updates_before:
            warnings.warn(
                "lr_scheduler.step() was called before optimizer.step(): the first learning rate is never used. Call "
                "optimizer.step() first",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        self._set_epoch(epoch)

    def _set_epoch(self, epoch: float | None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else int(epoch)
        self._set(self.get_lr() if epoch is None else self._rates_of_epoch())

    def _rates_of_epoch(self) -> list[float]:
        """The rates at `last_epoch` wherever the groups are now."""
        return self.get_lr()

    def _set(self, rates: list[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = current_rates(self.optimizer)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, and functions, which are not saved."""
        return {name: value for name, value in vars(self).items() if name not in self.unsaved}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken, here or by PyTorch's scheduler of the same name."""
        if not isinstance(state_dict, Mapping) or "last_epoch" not in state_dict:
            raise StateError(
                explain(f"this is not the saved state of {type(self).__name__}", received=type(state_dict).__name__,
                        expected="a dict with 'last_epoch'", remedy="pass what scheduler.state_dict() gave")
            )  # fmt: skip
        known = vars(self).keys() - self.unsaved
        vars(self).update({name: self._loaded(name, each) for name, each in state_dict.items() if name in known})

    def _loaded(self, name: str, value: Any) -> Any:
        return value


class FollowsSchedule(LRScheduler):
    """A scheduler that is a schedule of each group's first rate."""

    # The rate that a chain of schedulers leaves alone (PyTorch's eta_min).
    floor: float = 0.0
    # Whether it goes on from the rate that it finds, as most of PyTorch's do, so that several multiply.
    is_chainable: ClassVar[bool] = True

    def schedule(self, base_lr: float) -> Schedule:
        """The schedule of a group that began with this rate."""
        raise NotImplementedError

    def schedules(self) -> list[Schedule]:
        """One schedule for each group."""
        return [self.schedule(each) for each in self.base_lrs]

    def get_lr(self) -> list[float]:
        if not self.is_chainable:
            return self._rates_of_epoch()
        groups = zip(self.schedules(), self.base_lrs, self.optimizer.param_groups, strict=True)
        return [self._next(schedule, base, group["lr"]) for schedule, base, group in groups]

    def _next(self, schedule: Schedule, base: float, current: float) -> float:
        """The schedule's rate; if somebody else has changed it, changed in the proportion of the schedule."""
        before = base if self.last_epoch == 0 else schedule(self.last_epoch - 1)
        after = schedule(self.last_epoch)
        if current == before:
            return after
        if before == self.floor:
            return current + after - before
        return self.floor + (current - self.floor) * (after - self.floor) / (before - self.floor)

    def _rates_of_epoch(self) -> list[float]:
        return [schedule(self.last_epoch) for schedule in self.schedules()]


def current_rates(optimizer: Optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def checked_optimizer(optimizer: Any, where: str) -> Optimizer:
    """The optimizer, if it is one whose rates are numbers."""
    if not isinstance(optimizer, Optimizer):
        raise DTypeError(explain(f"{where} moves the rate of an optimizer", received=type(optimizer).__name__,
                                 expected="an optimizer of tw.optim"))  # fmt: skip
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Schedule):
            raise ConfigurationError(
                explain("the learning rate belongs to a schedule already", received=f"lr={group['lr']!r}",
                        expected="a number as learning rate", where=where,
                        remedy="give the optimizer a number, or leave the scheduler out")
            )  # fmt: skip
    return optimizer


def refuse_trace(where: str) -> None:
    if modes.trace is not None:
        raise TraceError(
            explain(f"{where}.step() inside a compiled function would run only while it is traced",
                    remedy="call it after the compiled step, or give the optimizer a schedule: "
                           "lr=tw.optim.schedules.CosineAnnealing(...)")
        )  # fmt: skip


def for_each_group(name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """One value for each group, from one for all or a list of them."""
    count = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise ArgumentError(explain(f"{name} does not fit the parameter groups", received=f"{len(value)} values",
                                    expected=f"one value, or one for each of {count} groups"))  # fmt: skip
    return list(value)


def as_number(name: str, value: Any, where: str) -> float:
    """A number from a number or a tensor of one entry."""
    value = value.item() if isinstance(value, Tensor) else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DTypeError(explain(f"{where}: {name} is no number", received=repr(value), expected="a number"))
    return float(value)


def _unknown_beginning(where: str, index: int) -> ConfigurationError:
    return ConfigurationError(
        explain(f"{where} cannot go on: nothing says which rate the run began with", received="last_epoch >= 0",
                expected=f"'initial_lr' in param_groups[{index}]",
                remedy="load the optimizer's state first, or make the scheduler with last_epoch=-1 and load its state")
    )  # fmt: skip
