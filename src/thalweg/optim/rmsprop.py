"""RMSprop: gradients divided by a running average of their size.

In: gradients. Out: parameters a step further down, and the running averages. Unlike AdaGrad's sums these forget, so
the rate does not die out.
"""

from __future__ import annotations

from typing import Any

from thalweg.optim.hyper import ParamGroup, refuse_execution_options
from thalweg.optim.optimizer import Hyper, Optimizer, Parameters, State
from thalweg.optim.schedules import Schedule
from thalweg.optim.sgd import decayed
from thalweg.tensor import Tensor, zeros_like


class RMSprop(Optimizer):
    """Gradient descent with each coordinate scaled by the root of the mean square of its gradients.

    With g the gradient, plus λp where `weight_decay` λ is not 0:

        v ← v + (1 − α)(g² − v)
        r = √v + eps,  or with `centered`  m ← m + (1 − α)(g − m),  r = √(v − m²) + eps
        p ← p − lr g / r,  or with momentum μ  b ← μ b + g / r,  p ← p − lr b

    Hinton 2012, lecture 6e of "Neural networks for machine learning"; centred: Graves 2013, "Generating sequences with
    recurrent neural networks", equations 38 to 45 (there, eps stands inside the root). Names, defaults and numbers are
    PyTorch's.

    Errors: `ArgumentError` for a number outside its range.

    >>> import thalweg as tw
    >>> w = tw.tensor([3.0, -4.0], requires_grad=True)
    >>> optimizer = tw.optim.RMSprop([w], lr=0.05, alpha=0.99)
    >>> (w * w).sum().backward()
    >>> optimizer.step()                  # the first step has length lr / √(1 − α) in every coordinate
    >>> w
    tensor([ 2.5, -3.5], requires_grad=True)
    """

    optional = frozenset({"momentum", "weight_decay"})

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor | Schedule = 1e-2,
        alpha: float | Schedule = 0.99,
        eps: float = 1e-8,
        weight_decay: float | Schedule = 0.0,
        momentum: float | Schedule = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        **execution: Any,
    ) -> None:
        refuse_execution_options("RMSprop", execution)
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum,
                    "centered": centered, "maximize": maximize}  # fmt: skip
        super().__init__(params, defaults)

    def init(self, param: Tensor, group: ParamGroup) -> State:
        hyper = group.operands()
        state = {"square_avg": zeros_like(param)}
        if hyper["momentum"] is not None:
            state["momentum_buffer"] = zeros_like(param)
        if hyper["centered"]:
            state["grad_avg"] = zeros_like(param)
        return state

    def update(self, grad: Any, param: Any, state: State, hyper: Hyper) -> tuple[Any, State]:
        grad = decayed(grad, param, hyper)
        new_state = dict(state)
        fresh = 1.0 - hyper["alpha"]
        variance = new_state["square_avg"] = state["square_avg"].lerp(grad * grad, fresh)
        if hyper["centered"]:
            mean = new_state["grad_avg"] = state["grad_avg"].lerp(grad, fresh)
            variance = variance - mean * mean
        direction = grad / (variance.sqrt() + hyper["eps"])
        if hyper["momentum"] is not None:
            direction = hyper["momentum"] * state["momentum_buffer"] + direction
            new_state["momentum_buffer"] = direction
        return param - hyper["lr"] * direction, new_state
