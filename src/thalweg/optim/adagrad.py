"""AdaGrad: every coordinate has a rate of its own, which shrinks with the gradients it has seen.

In: gradients. Out: parameters a step further down, and the sums of squared gradients. Suits sparse inputs, whose rare
features keep a large rate.
"""

from __future__ import annotations

from typing import Any

from thalweg.optim.hyper import ParamGroup, refuse_execution_options
from thalweg.optim.optimizer import Hyper, Optimizer, Parameters, State
from thalweg.optim.schedules import Schedule
from thalweg.optim.sgd import decayed
from thalweg.tensor import Tensor, full_like, tensor


class Adagrad(Optimizer):
    """Adaptive subgradient descent.

    With g the gradient, plus λp where `weight_decay` λ is not 0, and t counting steps from 1:

        s ← s + g²,  where s starts at `initial_accumulator_value`
        p ← p − lr / (1 + (t − 1) lr_decay) · g / (√s + eps)

    Duchi, Hazan and Singer 2011, "Adaptive subgradient methods for online learning and stochastic optimization" (the
    diagonal form). Names, defaults and numbers are PyTorch's; the paper has δ inside the sum and no `lr_decay`.

    Errors: `ArgumentError` for a number outside its range.

    >>> import thalweg as tw
    >>> w = tw.tensor([3.0, -4.0], requires_grad=True)
    >>> optimizer = tw.optim.Adagrad([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()                  # the first step has length lr in every coordinate
    >>> w
    tensor([ 2.5, -3.5], requires_grad=True)
    """

    optional = frozenset({"lr_decay", "weight_decay"})
    counts = frozenset({"step"})

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor | Schedule = 1e-2,
        lr_decay: float | Schedule = 0.0,
        weight_decay: float | Schedule = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        **execution: Any,
    ) -> None:
        refuse_execution_options("Adagrad", execution)
        defaults = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps,
                    "initial_accumulator_value": initial_accumulator_value, "maximize": maximize}  # fmt: skip
        super().__init__(params, defaults)

    def init(self, param: Tensor, group: ParamGroup) -> State:
        return {"step": tensor(0), "sum": full_like(param, group["initial_accumulator_value"])}

    def update(self, grad: Any, param: Any, state: State, hyper: Hyper) -> tuple[Any, State]:
        grad = decayed(grad, param, hyper)
        rate = hyper["lr"]
        if hyper["lr_decay"] is not None:
            rate = rate / (1.0 + state["step"] * hyper["lr_decay"])
        total = state["sum"] + grad * grad
        new_param = param - rate * (grad / (total.sqrt() + hyper["eps"]))
        return new_param, {"step": state["step"] + 1, "sum": total}
