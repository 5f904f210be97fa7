"""Adamax: Adam with the largest recent gradient in place of the root of the mean square.

In: gradients. Out: parameters a step further down, the running average of gradients and the decaying maximum of their
sizes.
"""

from __future__ import annotations

from typing import Any

from thalweg.optim.hyper import ParamGroup, refuse_execution_options
from thalweg.optim.optimizer import Hyper, Optimizer, Parameters, State
from thalweg.optim.schedules import Schedule
from thalweg.optim.sgd import decayed
from thalweg.tensor import Tensor, tensor, zeros_like


class Adamax(Optimizer):
    """Adam under the infinity norm.

    With g the gradient, plus λp where `weight_decay` λ is not 0, and t counting steps from 1:

        m ← m + (1 − β₁)(g − m)
        u ← max(β₂ u, |g| + eps)
        p ← p − lr / (1 − β₁ᵗ) · m / u

    Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 2 (there without eps). Names, defaults
    and numbers are PyTorch's.

    Errors: `ArgumentError` for a number outside its range.

    >>> import thalweg as tw
    >>> w = tw.tensor([3.0, -4.0], requires_grad=True)
    >>> optimizer = tw.optim.Adamax([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()                  # the first step has length lr in every coordinate
    >>> w
    tensor([ 2.5, -3.5], requires_grad=True)
    """

    optional = frozenset({"weight_decay"})
    counts = frozenset({"step"})

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor | Schedule = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float | Schedule = 0.0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        **execution: Any,
    ) -> None:
        refuse_execution_options("Adamax", execution)
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def init(self, param: Tensor, group: ParamGroup) -> State:
        return {"step": tensor(0), "exp_avg": zeros_like(param), "exp_inf": zeros_like(param)}

    def update(self, grad: Any, param: Any, state: State, hyper: Hyper) -> tuple[Any, State]:
        beta1, beta2 = hyper["betas"]
        grad = decayed(grad, param, hyper)
        step = state["step"] + 1
        first = state["exp_avg"].lerp(grad, 1.0 - beta1)
        largest = (state["exp_inf"] * beta2).maximum(grad.abs() + hyper["eps"])
        rate = hyper["lr"] / (1.0 - beta1**step)
        return param - rate * (first / largest), {"step": step, "exp_avg": first, "exp_inf": largest}
