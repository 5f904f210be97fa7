"""NAdam: Adam whose momentum looks one step ahead, as Nesterov's does.

In: gradients. Out: parameters a step further down, the running averages of Adam, and the product of the momentum
factors so far, by which the average is corrected for starting at 0.
"""

from __future__ import annotations

from typing import Any

from thalweg.dtype import float64
from thalweg.optim.hyper import ParamGroup, refuse_execution_options
from thalweg.optim.optimizer import Hyper, Optimizer, Parameters, State
from thalweg.optim.schedules import Schedule
from thalweg.optim.sgd import decayed
from thalweg.tensor import Tensor, tensor, zeros_like


class NAdam(Optimizer):
    """Adam with Nesterov momentum.

    With g the gradient, plus λp where `weight_decay` λ is not 0, and t counting steps from 1:

        μₜ ← β₁ (1 − 0.96^(t ψ) / 2),  ψ = `momentum_decay`;  Πₜ ← Πₜ₋₁ μₜ
        m ← m + (1 − β₁)(g − m)
        v ← v + (1 − β₂)(g² − v)
        p ← p − lr [(1 − μₜ) g / (1 − Πₜ) + μₜ₊₁ m / (1 − Πₜ μₜ₊₁)] / (√(v / (1 − β₂ᵗ)) + eps)

    With `decoupled_weight_decay` p is first multiplied by 1 − lr λ and g stays bare. Dozat 2016, "Incorporating
    Nesterov momentum into Adam". Names, defaults and numbers are PyTorch's; Πₜ is kept in float64 (there: float32).

    Errors: `ArgumentError` for a number outside its range.

    >>> import thalweg as tw
    >>> w = tw.tensor([3.0, -4.0], requires_grad=True)
    >>> optimizer = tw.optim.NAdam([w], lr=0.5)
    >>> losses = []
    >>> for _ in range(20):
    ...     optimizer.zero_grad()
    ...     loss = (w * w).sum()
    ...     loss.backward()
    ...     optimizer.step()
    ...     losses.append(loss.item())
    >>> losses[0], losses[-1] < 1.0
    (25.0, True)
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
        momentum_decay: float | Schedule = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **execution: Any,
    ) -> None:
        refuse_execution_options("NAdam", execution)
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                    "momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay,
                    "maximize": maximize}  # fmt: skip
        super().__init__(params, defaults)

    def init(self, param: Tensor, group: ParamGroup) -> State:
        return {"step": tensor(0), "mu_product": tensor(1.0, dtype=float64),
                "exp_avg": zeros_like(param), "exp_avg_sq": zeros_like(param)}  # fmt: skip

    def update(self, grad: Any, param: Any, state: State, hyper: Hyper) -> tuple[Any, State]:
        beta1, beta2 = hyper["betas"]
        param, grad = decayed_or_shrunk(param, grad, hyper)
        step = state["step"] + 1
        factor, ahead = _momentum(beta1, step, hyper), _momentum(beta1, step + 1, hyper)
        product = state["mu_product"] * factor
        first = state["exp_avg"].lerp(grad, 1.0 - beta1)
        second = state["exp_avg_sq"].lerp(grad * grad, 1.0 - beta2)
        # As in Adam, the correction of v multiplies the rate and eps, which are numbers, instead of whole tensors.
        correction = (1.0 - beta2**step).sqrt()
        rate = hyper["lr"] * correction
        direction = (rate * (1.0 - factor) / (1.0 - product)) * grad + (rate * ahead / (1.0 - product * ahead)) * first
        new_param = param - direction / (second.sqrt() + hyper["eps"] * correction)
        return new_param, {"step": step, "mu_product": product, "exp_avg": first, "exp_avg_sq": second}


def _momentum(beta: Any, step: Any, hyper: Hyper) -> Any:
    return beta * (1.0 - 0.5 * 0.96 ** (step * hyper["momentum_decay"]))


def decayed_or_shrunk(param: Any, grad: Any, hyper: Hyper) -> tuple[Any, Any]:
    """Weight decay in the gradient, or, where it is decoupled, in the parameter."""
    if hyper["weight_decay"] is not None and hyper["decoupled_weight_decay"]:
        return param * (1.0 - hyper["lr"] * hyper["weight_decay"]), grad
    return param, decayed(grad, param, hyper)
