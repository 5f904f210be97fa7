"""AdaDelta: steps as large as the recent steps were, so that no rate has to be chosen.

In: gradients. Out: parameters a step further down, and the running averages of squared gradients and squared steps,
whose ratio gives a step the unit of the parameter.
"""

from __future__ import annotations

from typing import Any

from thalweg.optim.hyper import ParamGroup, refuse_execution_options
from thalweg.optim.optimizer import Hyper, Optimizer, Parameters, State
from thalweg.optim.schedules import Schedule
from thalweg.optim.sgd import decayed
from thalweg.tensor import Tensor, tensor, zeros_like


class Adadelta(Optimizer):
    """Gradient descent with each coordinate's step in units of that coordinate.

    With g the gradient, plus λp where `weight_decay` λ is not 0:

        v ← ρ v + (1 − ρ) g²
        Δ ← √(u + eps) / √(v + eps) · g
        u ← ρ u + (1 − ρ) Δ²
        p ← p − lr Δ

    Zeiler 2012, "ADADELTA: an adaptive learning rate method", algorithm 1, which has no `lr`. Names, defaults and
    numbers are PyTorch's.

    Errors: `ArgumentError` for a number outside its range.

    >>> import thalweg as tw
    >>> w = tw.tensor([3.0, -4.0], requires_grad=True)
    >>> optimizer = tw.optim.Adadelta([w], lr=100.0, eps=1e-4)
    >>> (w * w).sum().backward()
    >>> optimizer.step()                  # at first √(eps / (1 − ρ)) in every coordinate, times lr
    >>> w
    tensor([-0.1622, -0.8377], requires_grad=True)
    """

    optional = frozenset({"weight_decay"})
    counts = frozenset({"step"})

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor | Schedule = 1.0,
        rho: float | Schedule = 0.9,
        eps: float = 1e-6,
        weight_decay: float | Schedule = 0.0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        **execution: Any,
    ) -> None:
        refuse_execution_options("Adadelta", execution)
        defaults = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults)

    def init(self, param: Tensor, group: ParamGroup) -> State:
        return {"step": tensor(0), "square_avg": zeros_like(param), "acc_delta": zeros_like(param)}

    def update(self, grad: Any, param: Any, state: State, hyper: Hyper) -> tuple[Any, State]:
        grad = decayed(grad, param, hyper)
        fresh, eps = 1.0 - hyper["rho"], hyper["eps"]
        square = state["square_avg"].lerp(grad * grad, fresh)
        delta = ((state["acc_delta"] + eps).sqrt() / (square + eps).sqrt()) * grad
        moved = state["acc_delta"].lerp(delta * delta, fresh)
        return param - hyper["lr"] * delta, {"step": state["step"] + 1, "square_avg": square, "acc_delta": moved}
