"""Lion: the sign of an average of gradients, which needs one number of state for each parameter.

In: gradients. Out: parameters a step further down, of equal length in every coordinate, and the running average of the
gradients.
"""

from __future__ import annotations

from typing import Any

from thalweg.optim.hyper import ParamGroup, refuse_execution_options
from thalweg.optim.optimizer import Hyper, Optimizer, Parameters, State
from thalweg.optim.schedules import Schedule
from thalweg.tensor import Tensor, zeros_like


class Lion(Optimizer):
    """Evolved sign momentum.

        p ← p (1 − lr λ),  λ = `weight_decay`
        p ← p − lr sign(β₁ m + (1 − β₁) g)
        m ← β₂ m + (1 − β₂) g

    Chen et al. 2023, "Symbolic discovery of optimization algorithms", program 1. Every step has length lr in every
    coordinate, so that `lr` is 3 to 10 times smaller, and `weight_decay` as much larger, than for AdamW. PyTorch has no
    Lion; arguments, defaults and the name of the state are those of the authors' own for PyTorch.

    Errors: `ArgumentError` for a number outside its range.

    >>> import thalweg as tw
    >>> w = tw.tensor([3.0, -4.0], requires_grad=True)
    >>> optimizer = tw.optim.Lion([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 2.5, -3.5], requires_grad=True)
    """

    optional = frozenset({"weight_decay"})

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor | Schedule = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float | Schedule = 0.0,
        *,
        maximize: bool = False,
        **execution: Any,
    ) -> None:
        refuse_execution_options("Lion", execution)
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize})

    def init(self, param: Tensor, group: ParamGroup) -> State:
        return {"exp_avg": zeros_like(param)}

    def update(self, grad: Any, param: Any, state: State, hyper: Hyper) -> tuple[Any, State]:
        beta1, beta2 = hyper["betas"]
        if hyper["weight_decay"] is not None:
            param = param * (1.0 - hyper["lr"] * hyper["weight_decay"])
        average = state["exp_avg"]
        direction = (beta1 * average + (1.0 - beta1) * grad).sign()
        return param - hyper["lr"] * direction, {"exp_avg": beta2 * average + (1.0 - beta2) * grad}
