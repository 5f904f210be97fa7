"""Schedulers that go up and down: warm restarts, triangles, and the one cycle; the last two move the momentum too.

In: an optimizer and the numbers of the cycle. Out: rates, whatever the groups had before; and with `cycle_momentum` the
momentum (Adam's first beta) the other way: low where the rate is high.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Sequence
from typing import Any

from thalweg.errors import ArgumentError, ConfigurationError, explain
from thalweg.optim import schedules
from thalweg.optim.lr_scheduler.base import FollowsSchedule, as_number, checked_optimizer, for_each_group
from thalweg.optim.optimizer import Optimizer
from thalweg.optim.schedules import Schedule


class CosineAnnealingWarmRestarts(FollowsSchedule):
    """Cosine annealing that begins again after T_0 steps, then after periods that grow by T_mult.

    PyTorch's; the schedule is `schedules.CosineWarmRestarts`. `step(epoch)` takes fractions, so that the rate can move
    with every batch: ``scheduler.step(epoch + batch / batches)``.

    >>> import thalweg as tw
    >>> optimizer = tw.optim.SGD([tw.zeros(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tw.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> scheduler.step(0.5)
    >>> round(scheduler.get_last_lr()[0], 4)
    0.8536
    """

    is_chainable = False

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        self._position = float(last_epoch)
        super().__init__(optimizer, last_epoch)

    def schedule(self, base_lr: float) -> Schedule:
        return schedules.CosineWarmRestarts(base_lr, self.T_0, self.T_mult, self.eta_min)

    def _set_epoch(self, epoch: float | None) -> None:
        if epoch is not None and epoch < 0:
            raise ArgumentError(explain("an epoch is no negative number", received=repr(epoch), expected="0 or more"))
        self._position = self._position + 1 if epoch is None else float(epoch)
        self.last_epoch = self.last_epoch + 1 if epoch is None else math.floor(epoch)
        self._set([schedule(self._position) for schedule in self.schedules()])

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict({"_position": float(state_dict.get("last_epoch", 0))} | dict(state_dict))


class _MovesMomentum(FollowsSchedule):
    """A scheduler that also moves the momentum."""

    is_chainable = False
    cycle_momentum = False

    def _take_momentum(self, base_momentum: Any, max_momentum: Any) -> None:
        """Remember the momenta of the groups, if they have any."""
        if not {"momentum", "betas"} & self.optimizer.defaults.keys():
            raise ConfigurationError(
                explain(f"{type(self).__name__}: {type(self.optimizer).__name__} has no momentum that could cycle",
                        received="cycle_momentum=True", expected="an optimizer with 'momentum' or 'betas'",
                        remedy="pass cycle_momentum=False")
            )  # fmt: skip
        self.base_momentums = for_each_group("base_momentum", base_momentum, self.optimizer)
        self.max_momentums = for_each_group("max_momentum", max_momentum, self.optimizer)

    def _set_momentum(self, momenta: Sequence[float]) -> None:
        for group, momentum in zip(self.optimizer.param_groups, momenta, strict=True):
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum


class CyclicLR(_MovesMomentum):
    """From base_lr to max_lr in step_size_up steps, back in step_size_down, and so on. PyTorch's; `schedules.Cyclical`.

    `scale_fn`, a function of the cycle's number from 1 or, with scale_mode="iterations", of the step, takes the place
    of `mode` and scales the height.

    >>> import thalweg as tw
    >>> optimizer = tw.optim.SGD([tw.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    >>> scheduler = tw.optim.lr_scheduler.CyclicLR(optimizer, base_lr=0.1, max_lr=0.5, step_size_up=4)
    >>> optimizer.step(); scheduler.step()
    >>> round(scheduler.get_last_lr()[0], 6), round(optimizer.param_groups[0]["momentum"], 6)
    (0.2, 0.875)
    """

    unsaved = frozenset({"optimizer", "scale_fn"})

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = checked_optimizer(optimizer, "CyclicLR")
        lowest = [as_number("base_lr", each, "CyclicLR") for each in for_each_group("base_lr", base_lr, optimizer)]
        self.base_lrs = lowest
        self.max_lrs = [as_number("max_lr", each, "CyclicLR") for each in for_each_group("max_lr", max_lr, optimizer)]
        self.step_size_up, self.step_size_down = step_size_up, step_size_down
        self.mode, self.gamma, self.scale_fn, self.scale_mode = mode, gamma, scale_fn, scale_mode
        if scale_mode not in ("cycle", "iterations"):
            expected = "'cycle' or 'iterations'"
            raise ArgumentError(explain("CyclicLR: unknown scale_mode", received=repr(scale_mode), expected=expected))
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._take_momentum(base_momentum, max_momentum)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, lowest, strict=True):
                group["lr"] = rate
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lowest

    def schedules(self) -> list[Schedule]:
        return [self._cycle(low, high) for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def _cycle(self, start: float, peak: float) -> Schedule:
        mode = self.mode if self.scale_fn is None else "triangular"
        return schedules.Cyclical(start, peak, self.step_size_up, self.step_size_down, mode, self.gamma)

    def get_lr(self) -> list[float]:
        if self.cycle_momentum:
            momenta = zip(self.max_momentums, self.base_momentums, strict=True)
            self._set_momentum([self._value(high, low) for high, low in momenta])
        return [self._value(low, high) for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def _rates_of_epoch(self) -> list[float]:
        return self.get_lr()

    def _value(self, start: float, peak: float) -> float:
        value = self._cycle(start, peak)(self.last_epoch)
        if self.scale_fn is None:
            return value
        length = self.step_size_up + (self.step_size_down or self.step_size_up)
        number = self.last_epoch if self.scale_mode == "iterations" else math.floor(1 + self.last_epoch / length)
        return start + (value - start) * self.scale_fn(number)

    def state_dict(self) -> dict[str, Any]:
        """As the base; of a callable object as scale_fn, not of a function, what it holds is saved too."""
        is_object = self.scale_fn is not None and not isinstance(self.scale_fn, types.FunctionType)
        return super().state_dict() | {"_scale_fn_custom": dict(vars(self.scale_fn)) if is_object else None}

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        if state_dict.get("_scale_fn_custom") is not None and self.scale_fn is not None:
            vars(self.scale_fn).update(state_dict["_scale_fn_custom"])


class OneCycleLR(_MovesMomentum):
    """One rise to max_lr and one long fall, in total_steps (or epochs · steps_per_epoch) steps, one for each batch.

    PyTorch's; the schedule is `schedules.OneCycle`, and of the momentum `schedules.Piecewise`. A step beyond the last
    raises, as there.

    >>> import thalweg as tw
    >>> optimizer = tw.optim.SGD([tw.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    >>> scheduler = tw.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.5, total_steps=100)
    >>> round(scheduler.get_last_lr()[0], 6), optimizer.param_groups[0]["momentum"]
    (0.02, 0.95)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = checked_optimizer(optimizer, "OneCycleLR")
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        self.pct_start, self.anneal_strategy, self.three_phase = pct_start, anneal_strategy, three_phase
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        self.max_lrs = [as_number("max_lr", each, "OneCycleLR") for each in for_each_group("max_lr", max_lr, optimizer)]
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._take_momentum(base_momentum, max_momentum)
        self.schedules()  # which refuses numbers that are out of range
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, self.max_lrs, strict=True):
                group["initial_lr"] = rate / div_factor
        super().__init__(optimizer, last_epoch)

    def schedules(self) -> list[Schedule]:
        return [
            schedules.OneCycle(
                each, self.total_steps, pct_start=self.pct_start, anneal_strategy=self.anneal_strategy,
                div_factor=self.div_factor, final_div_factor=self.final_div_factor, three_phase=self.three_phase,
            )
            for each in self.max_lrs
        ]  # fmt: skip

    def _rates_of_epoch(self) -> list[float]:
        return self.get_lr()

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise ArgumentError(
                explain("OneCycleLR has no rate after its cycle", received=f"step {self.last_epoch}",
                        expected=f"at most {self.total_steps} steps", remedy="pass the steps of the whole run; "
                        "schedules.OneCycle stays at its last rate")
            )  # fmt: skip
        if self.cycle_momentum:
            pairs = zip(self.max_momentums, self.base_momentums, strict=True)
            self._set_momentum([self._momentum(high, low)(self.last_epoch) for high, low in pairs])
        return [schedule(self.last_epoch) for schedule in self.schedules()]

    def _momentum(self, high: float, low: float) -> Schedule:
        peak, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        back = 2 * self.pct_start * self.total_steps - 2 if self.three_phase else last
        steps, levels = (0, max(0.0, peak), max(0.0, back), max(0.0, back, last)), (high, low, high, high)
        return schedules.Piecewise(steps, levels, self.anneal_strategy)


def _total_steps(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total_steps is None and (epochs is None or steps_per_epoch is None):
        raise ArgumentError(explain("OneCycleLR does not know how long the run is", received="no total_steps",
                                    expected="total_steps, or epochs and steps_per_epoch"))  # fmt: skip
    return int(epochs) * int(steps_per_epoch) if total_steps is None else total_steps  # type: ignore[arg-type]
