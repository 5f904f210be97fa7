"""The schedulers that are one formula of the first rate: by steps, exponential, linear, polynomial, cosine.

In: an optimizer and the numbers of the formula. Out: the rates of the schedule of that name. Several of them on one
optimizer multiply, as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from thalweg.errors import ArgumentError, explain
from thalweg.optim import schedules
from thalweg.optim.lr_scheduler.base import FollowsSchedule
from thalweg.optim.optimizer import Optimizer
from thalweg.optim.schedules import Schedule


class StepLR(FollowsSchedule):
    """lr γ^⌊t / step_size⌋. PyTorch's; the schedule is `schedules.StepDecay`.

    >>> import thalweg as tw
    >>> optimizer = tw.optim.SGD([tw.zeros(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tw.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for _ in range(4):
    ...     optimizer.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def schedule(self, base_lr: float) -> Schedule:
        return schedules.StepDecay(base_lr, self.step_size, self.gamma)


class MultiStepLR(FollowsSchedule):
    """lr γ^(how many milestones are at or before t). PyTorch's; the schedule is `schedules.MultiStep`.

    >>> import thalweg as tw
    >>> optimizer = tw.optim.SGD([tw.zeros(1, requires_grad=True)], lr=1.0)
    >>> tw.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[30, 80]).milestones
    (30, 80)
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = tuple(sorted(milestones)), gamma
        super().__init__(optimizer, last_epoch)

    def schedule(self, base_lr: float) -> Schedule:
        return schedules.MultiStep(base_lr, self.milestones, self.gamma)

    def _loaded(self, name: str, value: Any) -> Any:
        if name != "milestones":
            return value
        times = value.items() if isinstance(value, Mapping) else [(each, 1) for each in value]  # PyTorch: a Counter
        return tuple(sorted(int(each) for each, count in times for _ in range(count)))


class ConstantLR(FollowsSchedule):
    """lr · factor during `total_iters` steps, then lr. PyTorch's; two `schedules.Constant` after each other.

    >>> import thalweg as tw
    >>> optimizer = tw.optim.SGD([tw.zeros(1, requires_grad=True)], lr=1.0)
    >>> tw.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5).get_last_lr()
    [0.5]
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        require_share("ConstantLR", "factor", factor)
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def schedule(self, base_lr: float) -> Schedule:
        parts = [schedules.Constant(base_lr * self.factor), schedules.Constant(base_lr)]
        return schedules.Chained(tuple(parts), (self.total_iters,))


class LinearLR(FollowsSchedule):
    """From lr · start_factor to lr · end_factor in `total_iters` steps. PyTorch's; `schedules.LinearWarmup`.

    >>> import thalweg as tw
    >>> optimizer = tw.optim.SGD([tw.zeros(1, requires_grad=True)], lr=1.0)
    >>> tw.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=4).get_last_lr()
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        require_share("LinearLR", "start_factor", start_factor, above=True)
        require_share("LinearLR", "end_factor", end_factor)
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def schedule(self, base_lr: float) -> Schedule:
        return schedules.LinearWarmup(base_lr, self.total_iters, self.start_factor, self.end_factor)


class ExponentialLR(FollowsSchedule):
    """lr γ^t. PyTorch's; the schedule is `schedules.Exponential`.

    >>> import thalweg as tw
    >>> optimizer = tw.optim.SGD([tw.zeros(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tw.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    >>> optimizer.step(); scheduler.step()
    >>> optimizer.param_groups[0]["lr"]
    0.9
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def schedule(self, base_lr: float) -> Schedule:
        return schedules.Exponential(base_lr, self.gamma)


class PolynomialLR(FollowsSchedule):
    """lr (1 - t / total_iters)^power, then 0. PyTorch's; the schedule is `schedules.Polynomial`.

    >>> import thalweg as tw
    >>> optimizer = tw.optim.SGD([tw.zeros(1, requires_grad=True)], lr=1.0)
    >>> tw.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=4).schedules()[0].values(5)
    array([1.  , 0.75, 0.5 , 0.25, 0.  ])
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def schedule(self, base_lr: float) -> Schedule:
        return schedules.Polynomial(base_lr, self.total_iters, self.power)


class CosineAnnealingLR(FollowsSchedule):
    """eta_min + (lr - eta_min) (1 + cos(π t / T_max)) / 2, which after T_max rises again, as PyTorch's does.

    `schedules.CosineAnnealing` is the same and stays down.

    >>> import thalweg as tw
    >>> optimizer = tw.optim.SGD([tw.zeros(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tw.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    >>> scheduler.schedules()[0].values(5).round(3)
    array([1. , 0.5, 0. , 0.5, 1. ])
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    @property
    def floor(self) -> float:  # type: ignore[override]
        return self.eta_min

    def schedule(self, base_lr: float) -> Schedule:
        return schedules.CosineAnnealing(base_lr, self.T_max, self.eta_min, rises_again=True)


def require_share(where: str, name: str, value: float, above: bool = False) -> None:
    if not 0.0 <= value <= 1.0 or (above and value == 0):
        expected = "a number above 0 and at most 1" if above else "a number from 0 to 1"
        raise ArgumentError(explain(f"{where}: {name} is out of range", received=repr(value), expected=expected))
