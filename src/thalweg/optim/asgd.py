"""ASGD: stochastic gradient descent that also averages the parameters it passes through.

In: gradients. Out: parameters a step further down, and in the state their average, `"ax"`, which is the answer: it
lies nearer to the minimum than the noisy steps around it.
"""

from __future__ import annotations

from typing import Any

from thalweg.dtype import float64
from thalweg.optim.hyper import ParamGroup, first_rate, refuse_execution_options
from thalweg.optim.optimizer import Hyper, Optimizer, Parameters, State
from thalweg.optim.schedules import Schedule
from thalweg.optim.sgd import decayed
from thalweg.tensor import Tensor, tensor, zeros_like


class ASGD(Optimizer):
    """Averaged stochastic gradient descent.

    With g the gradient, plus λp where `weight_decay` λ is not 0, t counting steps from 1, and η = lr, μ = 1 at first:

        p ← p (1 − `lambd` η) − η g
        a ← a + μ (p − a)
        η ← lr / (1 + `lambd` lr t)^`alpha`
        μ ← 1 / max(1, t − t0)

    So averaging begins after `t0` steps; the average a is ``optimizer.state[p]["ax"]``. A new `lr` takes effect one
    step later, because η is made for the next step. Polyak and Juditsky 1992, "Acceleration of stochastic approximation
    by averaging". Names, defaults and numbers are PyTorch's; η and μ are kept in float64 (there: float32).

    Errors: `ArgumentError` for a number outside its range.

    >>> import thalweg as tw
    >>> w = tw.tensor([3.0, -4.0], requires_grad=True)
    >>> optimizer = tw.optim.ASGD([w], lr=0.25, t0=0)
    >>> for _ in range(30):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> bool((optimizer.state[w]["ax"].abs() < 0.3).all())
    True
    """

    optional = frozenset({"weight_decay"})
    counts = frozenset({"step"})

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor | Schedule = 1e-2,
        lambd: float | Schedule = 1e-4,
        alpha: float | Schedule = 0.75,
        t0: float = 1e6,
        weight_decay: float | Schedule = 0.0,
        foreach: bool | None = None,
        maximize: bool = False,
        **execution: Any,
    ) -> None:
        refuse_execution_options("ASGD", execution)
        defaults = {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay,
                    "maximize": maximize}  # fmt: skip
        super().__init__(params, defaults)

    def init(self, param: Tensor, group: ParamGroup) -> State:
        return {"step": tensor(0), "eta": tensor(first_rate(group), dtype=float64), "mu": tensor(1.0, dtype=float64),
                "ax": zeros_like(param)}  # fmt: skip

    def update(self, grad: Any, param: Any, state: State, hyper: Hyper) -> tuple[Any, State]:
        grad = decayed(grad, param, hyper)
        step, rate = state["step"] + 1, state["eta"]
        new_param = param * (1.0 - hyper["lambd"] * rate) - rate * grad
        average = state["ax"].lerp(new_param, state["mu"])
        eta = hyper["lr"] / (1.0 + hyper["lambd"] * hyper["lr"] * step) ** hyper["alpha"]
        mu = 1.0 / (step - hyper["t0"]).clamp(min=1.0)
        return new_param, {"step": step, "eta": eta, "mu": mu, "ax": average}
