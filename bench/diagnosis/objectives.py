"""The loss, the optimizer and the schedule of a case, as a user of `Trainer` writes them.

In: a case. Out: a name or a function (prediction, target) -> scalar for the loss; an optimizer for a model's
parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.diagnosis.networks import is_fused
from thalweg import optim
from thalweg.nn import functional as F
from thalweg.optim.schedules import Schedule

LOWEST = 1e-7


def clipped(probability: Any) -> Any:
    return probability.clamp(LOWEST, 1 - LOWEST)


def categorical_cross_entropy(prediction: Any, target: Any) -> Any:
    total = prediction.sum(1, keepdim=True)
    return unnormalised_cross_entropy(prediction / total, target)


def unnormalised_cross_entropy(prediction: Any, target: Any) -> Any:
    return -(target * clipped(prediction).log()).sum(1).mean()


def binary_cross_entropy(prediction: Any, target: Any) -> Any:
    probability = clipped(prediction)
    return -(target * probability.log() + (1 - target) * (1 - probability).log()).mean()


def binary_cross_entropy_with_scores(prediction: Any, target: Any) -> Any:
    """As `F.binary_cross_entropy_with_logits`, for targets of any value."""
    return (prediction.clamp(min=0.0) - prediction * target + F.softplus(-prediction.abs())).mean()


def mean_squared_error_missing_axis(prediction: Any, target: Any) -> Any:
    return ((prediction - target.reshape(-1)) ** 2).mean()


def cross_entropy_as_regression(prediction: Any, target: Any) -> Any:
    return -(target * prediction.clamp(1e-10, 1.0).log()).mean()


def loss_of(case: dict[str, Any]) -> Any:
    """A name that `Trainer` knows where there is one, else a function."""
    plain = case.get("loss_scale", 1) == 1 and case.get("reduction", "mean") == "mean"
    found = named(case)
    if plain and not (found == "bce_with_logits" and is_signed(case)):
        return found
    return scaled(function(found), case.get("loss_scale", 1), case.get("reduction") == "sum")


def is_signed(case: dict[str, Any]) -> bool:
    return case.get("data_options", {}).get("targets") == "plus_minus_one"


def named(case: dict[str, Any]) -> Any:
    name = case["loss"]
    if name == "categorical_cross_entropy":
        if is_fused(case):
            return "cross_entropy"
        return unnormalised_cross_entropy if case.get("normalise_probabilities") is False else categorical_cross_entropy
    if name == "binary_cross_entropy":
        return "bce_with_logits" if is_fused(case) else binary_cross_entropy
    return {
        "softmax_cross_entropy": "cross_entropy",
        "mean_squared_error": "mse",
        "mean_absolute_error": "mae",
        "mean_squared_error_missing_axis": mean_squared_error_missing_axis,
        "cross_entropy_as_regression": cross_entropy_as_regression,
    }[name]


def function(name: Any) -> Callable[[Any, Any], Any]:
    known = {"cross_entropy": F.cross_entropy, "bce_with_logits": binary_cross_entropy_with_scores,
             "mse": F.mse_loss, "mae": F.l1_loss}  # fmt: skip
    return known[name] if isinstance(name, str) else name  # type: ignore[no-any-return]


def scaled(loss: Callable[[Any, Any], Any], factor: float, is_sum: bool) -> Callable[[Any, Any], Any]:
    """The loss times a factor, summed over the batch where the case says so."""

    def scaled_loss(prediction: Any, target: Any) -> Any:
        return loss(prediction, target) * (factor * (prediction.shape[0] if is_sum else 1))

    return scaled_loss


@dataclass(frozen=True)
class CaseSchedule(Schedule):
    """lr times the factor of a case's schedule at step t of `total`."""

    lr: float
    kind: str
    total: int
    steps: int = 1
    cycles: float = 1.0
    factor: float = 1.0
    stages: int = 1

    def formula(self, t: Any) -> Any:
        warm = ((t + 1.0) / self.steps).clamp(max=1.0)
        if self.kind == "linear_warmup":
            return self.lr * warm
        if self.kind == "warmup_cosine":
            return self.lr * warm * (1.0 + (t * (math.pi / self.total)).cos()) / 2.0
        if self.kind == "cosine_restarts":
            turns = t * (self.cycles / self.total)
            return self.lr * (1.0 + ((turns - turns.floor()) * math.pi).cos()) / 2.0
        if self.kind == "step":
            return self.lr * self.factor ** (t * self.stages / self.total + 1e-9).floor()
        raise ValueError(f"unknown schedule {self.kind!r}")


def optimizer_of(case: dict[str, Any], model: Any, total_steps: int) -> optim.Optimizer:
    """A negative rate is ascent."""
    given = case["optimizer"]
    rate: Any = abs(given["lr"])
    if case.get("schedule"):
        rate = CaseSchedule(lr=rate, total=total_steps, **case["schedule"])
    options: dict[str, Any] = {"lr": rate, "maximize": given["lr"] < 0}
    parameters = [each for each in model.parameters() if each.requires_grad]
    epsilon = given.get("epsilon", LOWEST)
    if given["name"] == "sgd":
        options |= {"momentum": given.get("momentum", 0.0), "nesterov": given.get("nesterov", False)}
        return optim.SGD(parameters, **options)
    if given["name"] == "rmsprop":
        momentum = given.get("momentum", 0.0)
        return optim.RMSprop(parameters, alpha=given.get("rho", 0.9), eps=epsilon, momentum=momentum, **options)
    if given["name"] == "adagrad":
        return optim.Adagrad(parameters, eps=epsilon, **options)
    betas = (given.get("beta1", 0.9), given.get("beta2", 0.999))
    if given["name"] == "adamw":
        decay = given.get("weight_decay", 0.01)
        return optim.AdamW(parameters, betas=betas, eps=epsilon, weight_decay=decay, **options)
    return optim.Adam(parameters, betas=betas, eps=epsilon, **options)
