"""Rprop: only the sign of the gradient counts; every coordinate learns the length of its own steps.

In: gradients of the whole data (with mini-batches the signs are noise). Out: parameters a step further down, the
lengths of the steps, and the gradients they are compared with.
"""

from __future__ import annotations

from typing import Any

from thalweg.errors import ArgumentError, explain
from thalweg.optim.hyper import ParamGroup, first_rate, refuse_execution_options
from thalweg.optim.optimizer import Hyper, Optimizer, Parameters, State
from thalweg.optim.schedules import Schedule
from thalweg.tensor import Tensor, full_like, tensor, where, zeros_like


class Rprop(Optimizer):
    """Resilient backpropagation.

    With g the gradient, h the one before, and s the length of the step, `lr` at first, in every coordinate:

        g h > 0   s ← min(s η₊, s_max)                    (the same way again: longer)
        g h < 0   s ← max(s η₋, s_min),  g ← 0            (jumped over the bottom: shorter, and wait)
        p ← p − s sign(g),  h ← g

    `etas` are (η₋, η₊), `step_sizes` (s_min, s_max). `lr` counts only when a parameter takes its first step. Riedmiller
    and Braun 1993, "A direct adaptive method for faster backpropagation learning", in the form without backtracking.
    Names, defaults and numbers are PyTorch's.

    Errors: `ArgumentError` unless 0 < η₋ < 1 < η₊ and s_min ≤ s_max.

    >>> import thalweg as tw
    >>> w = tw.tensor([3.0, -4.0], requires_grad=True)
    >>> optimizer = tw.optim.Rprop([w], lr=0.5)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> w                                 # steps of 0.5 and 0.6
    tensor([ 1.9, -2.9], requires_grad=True)
    """

    counts = frozenset({"step"})

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor | Schedule = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        maximize: bool = False,
        **execution: Any,
    ) -> None:
        refuse_execution_options("Rprop", execution)
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize})

    def check(self, group: ParamGroup) -> None:
        (shorter, longer), (least, most) = group["etas"], group["step_sizes"]
        if not 0.0 < shorter < 1.0 < longer:
            expected = "one factor between 0 and 1, and one above 1"
            raise ArgumentError(explain("Rprop: etas do not fit", received=f"etas={group['etas']}", expected=expected))
        if not 0.0 <= least <= most:
            received, expected = f"step_sizes={group['step_sizes']}", "the least length, and one at least as large"
            raise ArgumentError(explain("Rprop: step_sizes do not fit", received=received, expected=expected))

    def init(self, param: Tensor, group: ParamGroup) -> State:
        return {"step": tensor(0), "prev": zeros_like(param), "step_size": full_like(param, first_rate(group))}

    def update(self, grad: Any, param: Any, state: State, hyper: Hyper) -> tuple[Any, State]:
        (shorter, longer), (least, most) = hyper["etas"], hyper["step_sizes"]
        agreement, size = grad * state["prev"], state["step_size"]
        changed = where(agreement > 0, size * longer, where(agreement < 0, size * shorter, size))
        size = changed.maximum(least).minimum(most)
        grad = where(agreement < 0, 0.0, grad)
        return param - grad.sign() * size, {"step": state["step"] + 1, "prev": grad, "step_size": size}
