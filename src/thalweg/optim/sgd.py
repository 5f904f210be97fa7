"""Gradient descent: plain, with momentum, with Nesterov's momentum.

In: gradients of a loss over N, 1 or m examples: batch, stochastic and mini-batch gradient descent are this one rule.
Out: parameters a step further down.
"""

from __future__ import annotations

from typing import Any

from thalweg.errors import ArgumentError, explain
from thalweg.optim.hyper import ParamGroup, refuse_execution_options
from thalweg.optim.optimizer import Hyper, Optimizer, Parameters, State
from thalweg.optim.schedules import Schedule
from thalweg.tensor import Tensor, tensor, where, zeros_like


class SGD(Optimizer):
    """(Stochastic) gradient descent, optionally with momentum.

    With g the gradient, plus λp where `weight_decay` λ is not 0:

        without momentum   p ← p − lr g
        momentum μ         b ← μ b + (1 − dampening) g,  b ← g at the first step
                           p ← p − lr b,  or with `nesterov`  p ← p − lr (g + μ b)

    Polyak 1964; Nesterov 1983 in the form of Sutskever et al. 2013, "On the importance of initialization and momentum
    in deep learning", with PyTorch's placing of the learning rate (outside b). Names, defaults and numbers are
    PyTorch's. `lr`, `momentum`, `dampening` and `weight_decay` may be schedules.

    Errors: `ArgumentError` for a number outside its range, and for `nesterov` without momentum or with dampening.

    >>> import thalweg as tw
    >>> w = tw.tensor([3.0, 4.0], requires_grad=True)
    >>> optimizer = tw.optim.SGD([w], lr=0.1, momentum=0.9)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> w
    tensor([1.38, 1.84], requires_grad=True)
    """

    optional = frozenset({"momentum", "dampening", "weight_decay"})
    counts = frozenset({"step"})

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor | Schedule = 1e-3,
        momentum: float | Schedule = 0.0,
        dampening: float | Schedule = 0.0,
        weight_decay: float | Schedule = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **execution: Any,
    ) -> None:
        refuse_execution_options("SGD", execution)
        defaults = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
                    "nesterov": nesterov, "maximize": maximize}  # fmt: skip
        super().__init__(params, defaults)

    def check(self, group: ParamGroup) -> None:
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ArgumentError(
                explain("SGD: Nesterov momentum looks ahead along the momentum",
                        received=f"momentum={group['momentum']}, dampening={group['dampening']}",
                        expected="a momentum above 0 and zero dampening", remedy="pass momentum=0.9, dampening=0")
            )  # fmt: skip

    def init(self, param: Tensor, group: ParamGroup) -> State:
        hyper = group.operands()
        if hyper["momentum"] is None:
            return {}
        state = {"momentum_buffer": zeros_like(param)}
        return state if hyper["dampening"] is None else state | {"step": tensor(0)}

    def update(self, grad: Any, param: Any, state: State, hyper: Hyper) -> tuple[Any, State]:
        grad = decayed(grad, param, hyper)
        if hyper["momentum"] is None:
            return param - hyper["lr"] * grad, state
        new_state = dict(state)
        fresh = grad
        if hyper["dampening"] is not None:
            new_state["step"] = state["step"] + 1
            # The first gradient enters undamped, because there is nothing yet that it would be averaged with.
            fresh = (1.0 - where(state["step"] > 0, hyper["dampening"], 0.0)) * grad
        buffer = new_state["momentum_buffer"] = hyper["momentum"] * state["momentum_buffer"] + fresh
        direction = grad + hyper["momentum"] * buffer if hyper["nesterov"] else buffer
        return param - hyper["lr"] * direction, new_state


def decayed(grad: Any, param: Any, hyper: Hyper) -> Any:
    """The gradient of the loss plus λ/2 ‖p‖², where the weight decay λ is on."""
    return grad if hyper["weight_decay"] is None else grad + hyper["weight_decay"] * param
