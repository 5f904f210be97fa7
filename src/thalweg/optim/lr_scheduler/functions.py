"""Schedulers by a function of the step that the user writes.

In: an optimizer and one function, or one for each group. Out: the first rate times it, or the last rate times it. What
a schedule of `optim.schedules` can say needs no function, and can be saved.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from thalweg.errors import DTypeError, explain
from thalweg.optim.lr_scheduler.base import LRScheduler, checked_optimizer, for_each_group
from thalweg.optim.optimizer import Optimizer

Factor = Callable[[int], float]


class _ByFunction(LRScheduler):
    unsaved = frozenset({"optimizer", "lr_lambdas"})

    def __init__(self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1) -> None:
        where = type(self).__name__
        self.lr_lambdas: list[Factor] = for_each_group("lr_lambda", lr_lambda, checked_optimizer(optimizer, where))
        for each in self.lr_lambdas:
            if not callable(each):
                raise DTypeError(explain(f"{where} takes a function of the step", received=repr(each),
                                         expected="a function of an integer that gives a factor"))  # fmt: skip
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """As the base; of callable objects, not of functions, what they hold is saved too."""
        held = [None if isinstance(each, types.FunctionType) else dict(vars(each)) for each in self.lr_lambdas]
        return super().state_dict() | {"lr_lambdas": held}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for each, held in zip(self.lr_lambdas, state_dict.get("lr_lambdas", ()), strict=False):
            if held is not None:
                vars(each).update(held)


class LambdaLR(_ByFunction):
    """lr · lr_lambda(t). PyTorch's.

    >>> import thalweg as tw
    >>> optimizer = tw.optim.SGD([tw.zeros(1, requires_grad=True)], lr=0.5)
    >>> scheduler = tw.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))
    >>> optimizer.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def get_lr(self) -> list[float]:
        return [base * each(self.last_epoch) for each, base in zip(self.lr_lambdas, self.base_lrs, strict=True)]


class MultiplicativeLR(_ByFunction):
    """The last rate times lr_lambda(t). PyTorch's.

    >>> import thalweg as tw
    >>> optimizer = tw.optim.SGD([tw.zeros(1, requires_grad=True)], lr=1.0)
    >>> scheduler = tw.optim.lr_scheduler.MultiplicativeLR(optimizer, lambda epoch: 0.5)
    >>> for _ in range(2):
    ...     optimizer.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def get_lr(self) -> list[float]:
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if self._is_initial:
            return rates
        return [rate * each(self.last_epoch) for each, rate in zip(self.lr_lambdas, rates, strict=True)]
