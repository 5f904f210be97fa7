"""Schedulers made of schedulers: one after another, or all at once.

In: schedulers of one optimizer. Out: a scheduler whose `step` steps one of them, or each. As values without an object
that steps: `schedules.Chained` and `schedules.Product`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.errors import ArgumentError, DTypeError, explain
from thalweg.optim.lr_scheduler.base import LRScheduler, current_rates, refuse_trace
from thalweg.optim.lr_scheduler.plateau import ReduceLROnPlateau
from thalweg.optim.optimizer import Optimizer


class _OfSchedulers(LRScheduler):
    """What the two share: the check of their parts, and their state."""

    unsaved = frozenset({"optimizer", "_schedulers"})

    def __init__(self, optimizer: Optimizer | None, schedulers: Sequence[LRScheduler]) -> None:
        self._schedulers = list(schedulers)
        _check_parts(type(self).__name__, self._schedulers, optimizer)
        self.optimizer = self._schedulers[0].optimizer

    def state_dict(self) -> dict[str, Any]:
        """As the base, with the states of the parts."""
        return super().state_dict() | {"_schedulers": [each.state_dict() for each in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict({"last_epoch": 0} | dict(state_dict))
        for scheduler, each in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(each)


class SequentialLR(_OfSchedulers):
    """One scheduler after another: the next takes over at each milestone, and counts its own steps from 0. PyTorch's.

    >>> import thalweg as tw
    >>> from thalweg.optim.lr_scheduler import ExponentialLR, LinearLR, SequentialLR
    >>> optimizer = tw.optim.SGD([tw.zeros(1, requires_grad=True)], lr=1.0)
    >>> parts = [LinearLR(optimizer, start_factor=0.5, total_iters=2), ExponentialLR(optimizer, gamma=0.5)]
    >>> scheduler = SequentialLR(optimizer, parts, milestones=[2])
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(4):
    ...     optimizer.step(); scheduler.step(); rates += scheduler.get_last_lr()
    >>> rates
    [0.5, 0.75, 1.0, 0.5, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        super().__init__(optimizer, schedulers)
        if len(milestones) != len(self._schedulers) - 1:
            raise ArgumentError(explain("SequentialLR: the milestones do not fit", received=f"{len(milestones)}",
                                        expected=f"{len(self._schedulers) - 1}, one for each change"))  # fmt: skip
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        _take_back(self)
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self, epoch: float | None = None) -> None:
        """On to the next rate of the scheduler whose turn it is."""
        _refuse_epoch("SequentialLR", epoch)
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == self.last_epoch:
            scheduler._set_epoch(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_OfSchedulers):
    """All schedulers at every step: their factors multiply. PyTorch's.

    >>> import thalweg as tw
    >>> from thalweg.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR
    >>> optimizer = tw.optim.SGD([tw.zeros(1, requires_grad=True)], lr=1.0)
    >>> parts = [ConstantLR(optimizer, factor=0.5, total_iters=2), ExponentialLR(optimizer, gamma=0.5)]
    >>> scheduler = ChainedScheduler(parts)
    >>> optimizer.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        super().__init__(optimizer, schedulers)
        self._last_lr = current_rates(self.optimizer)

    def step(self, epoch: float | None = None) -> None:
        """On to the next rates of all of them."""
        _refuse_epoch("ChainedScheduler", epoch)
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = current_rates(self.optimizer)


def _take_back(scheduler: Any) -> None:
    """Undo the step that every scheduler takes when it is made: only the first of them shall have taken it."""
    if isinstance(scheduler, _OfSchedulers):
        for each in scheduler._schedulers:
            _take_back(each)
    else:
        scheduler.last_epoch -= 1
        if hasattr(scheduler, "_position"):
            scheduler._position -= 1


def _check_parts(where: str, parts: Sequence[Any], optimizer: Optimizer | None) -> None:
    if not parts:
        raise ArgumentError(explain(f"{where} is made of schedulers", received="none", expected="at least one"))
    for index, each in enumerate(parts):
        if not isinstance(each, LRScheduler) or isinstance(each, ReduceLROnPlateau):
            raise DTypeError(
                explain(f"{where}: this cannot take its turn", received=f"{type(each).__name__} at index {index}",
                        expected="schedulers whose step needs no argument")
            )  # fmt: skip
        if each.optimizer is not (optimizer or parts[0].optimizer):
            raise ArgumentError(explain(f"{where}: the schedulers move several optimizers",
                                        received=f"another optimizer at index {index}", expected="one"))  # fmt: skip


def _refuse_epoch(where: str, epoch: float | None) -> None:
    refuse_trace(where)
    if epoch is not None:
        raise ArgumentError(explain(f"{where}.step takes no epoch", received=repr(epoch), expected="step()"))
