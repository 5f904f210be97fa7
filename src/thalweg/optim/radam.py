"""RAdam: Adam that waits with scaling until enough gradients have been seen to know their size.

In: gradients. Out: parameters a step further down, and the running averages of Adam. In the first steps, in which the
average of squares is a poor estimate, it is momentum alone.
"""

from __future__ import annotations

from typing import Any

from thalweg.optim.hyper import ParamGroup, refuse_execution_options
from thalweg.optim.nadam import decayed_or_shrunk
from thalweg.optim.optimizer import Hyper, Optimizer, Parameters, State
from thalweg.optim.schedules import Schedule
from thalweg.tensor import Tensor, tensor, where, zeros_like


class RAdam(Optimizer):
    """Rectified Adam.

    With m and v the averages of Adam and t counting steps from 1:

        ρ∞ = 2 / (1 − β₂) − 1,  ρ ← ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ)
        where ρ > 5   r ← √((ρ − 4)(ρ − 2) ρ∞ / ((ρ∞ − 4)(ρ∞ − 2) ρ)) · √(1 − β₂ᵗ) / (√v + eps)
        otherwise     r ← 1
        p ← p − lr r m / (1 − β₁ᵗ)

    `weight_decay` λ adds λp to the gradient, or with `decoupled_weight_decay` multiplies p by 1 − lr λ first. Liu et
    al. 2020, "On the variance of the adaptive learning rate and beyond" (there the bound is ρ > 4). Names, defaults and
    numbers are PyTorch's.

    Errors: `ArgumentError` for a number outside its range.

    >>> import thalweg as tw
    >>> w = tw.tensor([3.0, -4.0], requires_grad=True)
    >>> optimizer = tw.optim.RAdam([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()                  # at first, plain descent
    >>> w
    tensor([ 1.5, -2. ], requires_grad=True)
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
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **execution: Any,
    ) -> None:
        refuse_execution_options("RAdam", execution)
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
                    "decoupled_weight_decay": decoupled_weight_decay}  # fmt: skip
        super().__init__(params, defaults)

    def init(self, param: Tensor, group: ParamGroup) -> State:
        return {"step": tensor(0), "exp_avg": zeros_like(param), "exp_avg_sq": zeros_like(param)}

    def update(self, grad: Any, param: Any, state: State, hyper: Hyper) -> tuple[Any, State]:
        beta1, beta2 = hyper["betas"]
        param, grad = decayed_or_shrunk(param, grad, hyper)
        step = state["step"] + 1
        first = state["exp_avg"].lerp(grad, 1.0 - beta1)
        second = state["exp_avg_sq"].lerp(grad * grad, 1.0 - beta2)
        correction = 1.0 - beta2**step
        longest = 2.0 / (1.0 - beta2) - 1.0
        length = longest - 2.0 * step * beta2**step / correction
        scaled = _rectification(length, longest) * correction.sqrt() / (second.sqrt() + hyper["eps"])
        rate = hyper["lr"] / (1.0 - beta1**step)
        new_param = param - rate * (first * where(length > 5.0, scaled, 1.0))
        return new_param, {"step": step, "exp_avg": first, "exp_avg_sq": second}


def _rectification(length: Any, longest: Any) -> Any:
    """Equation 8 of the paper; clamped to where it counts, so that the branch not taken has no root of a negative."""
    length, longest = length.clamp(min=5.0), longest.clamp(min=5.0)
    return ((length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length)).sqrt()
