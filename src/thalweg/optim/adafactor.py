"""Adafactor: Adam's scaling with a row and a column of numbers in place of a whole matrix.

In: gradients. Out: parameters a step further down; the state of an m x n matrix is m + n numbers, which is what makes
large models fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.errors import ArgumentError, explain
from thalweg.optim.hyper import ParamGroup, refuse_execution_options
from thalweg.optim.optimizer import Hyper, Optimizer, Parameters, State
from thalweg.optim.schedules import Schedule
from thalweg.tensor import Tensor, tensor, zeros, zeros_like


class Adafactor(Optimizer):
    """Adaptive rates in sublinear memory.

    With G the gradient, t counting steps from 1, and β = 1 − t^`beta2_decay`; factors over the last two axes:

        p ← p (1 − lr λ),  λ = `weight_decay`
        R ← β R + (1 − β) mean(G², rows),  C ← β C + (1 − β) mean(G², columns)
        V ← R C / max(mean(R), ε₁);        for vectors  V ← β V + (1 − β) G²
        U ← G / √max(V, ε₁²),  U ← U / max(1, RMS(U) / d)
        p ← p − max(ε₂, RMS(p)) min(lr, 1 / √t) U

    `eps` is (ε₁, ε₂); ε₁ None is the smallest step of the dtype at 1. Shazeer and Stern 2018, "Adafactor: adaptive
    learning rates with sublinear memory cost"; names, defaults and numbers are PyTorch's, which differs from the paper
    in `lr` and in where ε₁ stands, and takes RMS(p) before the decay.

    Errors: `ArgumentError` for a number outside its range.

    >>> import thalweg as tw
    >>> w = tw.tensor([[3.0, -4.0], [1.0, 2.0]], requires_grad=True)
    >>> optimizer = tw.optim.Adafactor([w])
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> {name: tuple(value.shape) for name, value in optimizer.state[w].items()}
    {'step': (), 'row_var': (2, 1), 'col_var': (1, 2)}
    """

    optional = frozenset({"weight_decay"})
    counts = frozenset({"step"})
    static = frozenset({"eps"})

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor | Schedule = 1e-2,
        beta2_decay: float | Schedule = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float | Schedule = 1.0,
        weight_decay: float | Schedule = 0.0,
        *,
        maximize: bool = False,
        **execution: Any,
    ) -> None:
        refuse_execution_options("Adafactor", execution)
        defaults = {"lr": lr, "beta2_decay": beta2_decay, "eps": tuple(eps), "d": d, "weight_decay": weight_decay,
                    "maximize": maximize}  # fmt: skip
        super().__init__(params, defaults)

    def check(self, group: ParamGroup) -> None:
        eps = group["eps"]
        if len(eps) != 2 or eps[1] is None or any(each is not None and not 0 <= each < np.inf for each in eps):
            expected = "(ε₁ or None, ε₂), numbers of at least 0"
            raise ArgumentError(explain("Adafactor: eps is a pair", received=f"eps={eps}", expected=expected))

    def init(self, param: Tensor, group: ParamGroup) -> State:
        if param.ndim < 2:
            return {"step": tensor(0), "variance": zeros_like(param)}
        *outer, rows, columns = param.shape
        return {"step": tensor(0), "row_var": zeros(*outer, rows, 1, dtype=param.dtype),
                "col_var": zeros(*outer, 1, columns, dtype=param.dtype)}  # fmt: skip

    def update(self, grad: Any, param: Any, state: State, hyper: Hyper) -> tuple[Any, State]:
        eps1, eps2 = hyper["eps"]
        eps1 = float(np.finfo(param.dtype.numpy).eps) if eps1 is None else eps1
        step = state["step"] + 1
        fresh = step.double() ** hyper["beta2_decay"]
        rate = root_mean_square(param).clamp(min=eps2) * hyper["lr"].minimum(step.double().rsqrt())
        if hyper["weight_decay"] is not None:
            param = param * (1.0 - hyper["lr"] * hyper["weight_decay"])
        new_state = {"step": step} | _averages(grad, state, fresh)
        change = grad * _variance(new_state, eps1).clamp(min=eps1 * eps1).rsqrt()
        limit = (root_mean_square(change) / hyper["d"]).clamp(min=1.0)
        return param - (rate / limit) * change, new_state


def _averages(grad: Any, state: State, fresh: Any) -> State:
    square = grad * grad
    if "variance" in state:
        return {"variance": state["variance"].lerp(square, fresh)}
    return {"row_var": state["row_var"].lerp(square.mean(dim=-1, keepdim=True), fresh),
            "col_var": state["col_var"].lerp(square.mean(dim=-2, keepdim=True), fresh)}  # fmt: skip


def _variance(state: State, eps: float) -> Any:
    if "variance" in state:
        return state["variance"]
    return state["row_var"] * state["col_var"] / state["row_var"].mean(dim=-2, keepdim=True).clamp(min=eps)


def root_mean_square(x: Any) -> Any:
    """√ mean(x²), 0-d; 0 where there are no entries."""
    return ((x * x).sum() / max(1, x.numel())).sqrt()
