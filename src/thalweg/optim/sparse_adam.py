"""SparseAdam: Adam that leaves the rows alone which a step did not use, as in a table of embeddings.

In: gradients, most of whose rows are 0. Out: the other rows a step further down; rows without a gradient keep their
values and their averages.
"""

from __future__ import annotations

from typing import Any

from thalweg.optim.hyper import ParamGroup, refuse_execution_options
from thalweg.optim.optimizer import Hyper, Optimizer, Parameters, State
from thalweg.optim.schedules import Schedule
from thalweg.tensor import Tensor, tensor, where, zeros_like


class SparseAdam(Optimizer):
    """Lazy Adam: Adam's step in those rows (entries of the first axis) whose gradient is not wholly 0.

        rows with g ≠ 0    m, v ← Adam's averages,  p ← p − lr √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + eps)
        other rows         nothing changes

    Adam would go on moving a word's vector by its momentum while the word does not occur. t counts the steps of the
    whole parameter. Kingma and Ba 2015; PyTorch's `SparseAdam` is the same for its sparse gradients (a row that was
    used and whose gradient happens to be exactly 0 is moved there). Gradients are dense here: this saves no memory.
    Names, defaults and numbers are PyTorch's; as there, eps is not corrected.

    Errors: `ArgumentError` for a number outside its range.

    >>> import thalweg as tw
    >>> table = tw.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> optimizer = tw.optim.SparseAdam([table], lr=0.5)
    >>> table[1].sum().backward()
    >>> optimizer.step()
    >>> table
    tensor([[1. , 2. ],
            [2.5, 3.5]], requires_grad=True)
    """

    counts = frozenset({"step"})

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
        **execution: Any,
    ) -> None:
        refuse_execution_options("SparseAdam", execution)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})

    def init(self, param: Tensor, group: ParamGroup) -> State:
        return {"step": tensor(0), "exp_avg": zeros_like(param), "exp_avg_sq": zeros_like(param)}

    def update(self, grad: Any, param: Any, state: State, hyper: Hyper) -> tuple[Any, State]:
        beta1, beta2 = hyper["betas"]
        step = state["step"] + 1
        used = grad != 0
        used = used.any(dim=tuple(range(1, grad.ndim)), keepdim=True) if grad.ndim > 1 else used
        first = where(used, state["exp_avg"].lerp(grad, 1.0 - beta1), state["exp_avg"])
        second = where(used, state["exp_avg_sq"].lerp(grad * grad, 1.0 - beta2), state["exp_avg_sq"])
        rate = hyper["lr"] * (1.0 - beta2**step).sqrt() / (1.0 - beta1**step)
        moved = param - rate * (first / (second.sqrt() + hyper["eps"]))
        return where(used, moved, param), {"step": step, "exp_avg": first, "exp_avg_sq": second}
