"""Reading and writing the learning rate of an optimizer, whatever holds it.

In: an optimizer. Out: the rate in force as a float; or new rates in its groups, which take effect at the next step.
A group's rate may be a number, a tensor (a cell) or a schedule, a function of the step.
"""

from __future__ import annotations

from typing import Any

from thalweg.errors import ConfigurationError, explain
from thalweg.tensor import Tensor


def learning_rates(optimizer: Any) -> list[float]:
    """The rate in force in every parameter group."""
    if hasattr(optimizer, "learning_rates"):
        return list(optimizer.learning_rates())
    return [float(group["lr"]) for group in optimizer.param_groups]


def learning_rate(optimizer: Any) -> float:
    """The rate in force in the first parameter group: the one that is recorded and shown."""
    rate = pending_learning_rate(optimizer)
    return float(optimizer.param_groups[0]["lr"]) if rate is None else float(rate.item())


def pending_learning_rate(optimizer: Any) -> Tensor | None:
    """The rate of the first group as a tensor, inside a step: the value that this step uses, also of a schedule."""
    group = optimizer.param_groups[0]
    return group.tensor("lr") if hasattr(group, "tensor") else None


def require_settable(optimizer: Any, where: str) -> None:
    """Refuse a learning rate that is a schedule: two hands on one wheel."""
    for group in optimizer.param_groups:
        if callable(group["lr"]) and not isinstance(group["lr"], Tensor):
            raise ConfigurationError(
                explain(
                    "the learning rate belongs to a schedule already",
                    received=f"lr={group['lr']!r}",
                    expected="a number as learning rate",
                    where=where,
                    remedy="give the optimizer a number, or leave this callback out",
                )
            )


def set_learning_rates(optimizer: Any, rates: list[float]) -> None:
    """Give every group its rate."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
