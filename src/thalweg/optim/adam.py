"""Adam: momentum, and each coordinate scaled by the size of its gradients; both corrected for starting at 0.

In: gradients. Out: parameters a step further down, and the running averages of the gradients and of their squares.
`AdamW` shares the update.
"""

from __future__ import annotations

from typing import Any

from thalweg.optim.hyper import ParamGroup, refuse_execution_options
from thalweg.optim.optimizer import Hyper, Optimizer, Parameters, State
from thalweg.optim.schedules import Schedule
from thalweg.optim.sgd import decayed
from thalweg.tensor import Tensor, tensor, zeros_like


class Adam(Optimizer):
    """Adaptive moment estimation.

    With g the gradient, plus λp where `weight_decay` λ is not 0, and t counting steps from 1:

        m ← m + (1 − β₁)(g − m)
        v ← v + (1 − β₂)(g² − v)
        p ← p − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps)

    With `amsgrad` the largest v so far stands in the last line (Reddi et al. 2018, "On the convergence of Adam and
    beyond"). With `decoupled_weight_decay` p is first multiplied by 1 − lr λ instead: that is `AdamW`. Kingma and Ba
    2015, "Adam: a method for stochastic optimization", algorithm 1. Names, defaults and numbers are PyTorch's; like it,
    eps is added after the correction of v, and AMSGrad corrects the maximum, which its paper does not.

    Errors: `ArgumentError` for a number outside its range.

    >>> import thalweg as tw
    >>> w = tw.tensor([3.0, -4.0], requires_grad=True)
    >>> optimizer = tw.optim.Adam([w], lr=0.5)
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
        lr: float | Tensor | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float | Schedule = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        **execution: Any,
    ) -> None:
        refuse_execution_options(type(self).__name__, execution)
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
                    "maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}  # fmt: skip
        super().__init__(params, defaults)

    def init(self, param: Tensor, group: ParamGroup) -> State:
        state = {"step": tensor(0), "exp_avg": zeros_like(param), "exp_avg_sq": zeros_like(param)}
        return state | {"max_exp_avg_sq": zeros_like(param)} if group["amsgrad"] else state

    def update(self, grad: Any, param: Any, state: State, hyper: Hyper) -> tuple[Any, State]:
        beta1, beta2 = hyper["betas"]
        if not hyper["decoupled_weight_decay"]:
            grad = decayed(grad, param, hyper)
        elif hyper["weight_decay"] is not None:
            param = param * (1.0 - hyper["lr"] * hyper["weight_decay"])
        step = state["step"] + 1
        first = state["exp_avg"].lerp(grad, 1.0 - beta1)
        second = state["exp_avg_sq"].lerp(grad * grad, 1.0 - beta2)
        new_state = {"step": step, "exp_avg": first, "exp_avg_sq": second}
        if hyper["amsgrad"]:
            second = new_state["max_exp_avg_sq"] = state["max_exp_avg_sq"].maximum(second)
        # The corrections are numbers, so they multiply lr and eps instead of whole tensors (section 2 of the paper).
        correction = (1.0 - beta2**step).sqrt()
        rate = hyper["lr"] * correction / (1.0 - beta1**step)
        return param - rate * (first / (second.sqrt() + hyper["eps"] * correction)), new_state
