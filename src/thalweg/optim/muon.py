"""Muon: momentum whose every direction is made equally long, for the matrices of hidden layers.

In: gradients of matrices. Out: the matrices a step further down, and the running average of the gradients. Biases,
embeddings, output layers and kernels of convolutions belong to another optimizer, `AdamW` for example.
"""

from __future__ import annotations

import math
from typing import Any

from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.optim.hyper import ParamGroup, refuse_execution_options
from thalweg.optim.optimizer import Hyper, Optimizer, Parameters, State
from thalweg.optim.schedules import Schedule
from thalweg.tensor import Tensor, zeros_like

ADJUSTMENTS = (None, "original", "match_rms_adamw")


class Muon(Optimizer):
    """Momentum orthogonalised by Newton and Schulz's iteration.

        B ← μ B + (1 − μ) G,   M ← (1 − μ) G + μ B  with `nesterov`, else B
        X ← M / max(‖M‖, eps);  `ns_steps` times  A ← X Xᵀ,  X ← a X + (b A + c A²) X     (a, b, c: `ns_coefficients`)
        p ← p (1 − lr λ) − lr s X,  λ = `weight_decay`

    s = √max(1, rows / columns) ("original", the default of `adjust_lr_fn`) or 0.2 √max(rows, columns)
    ("match_rms_adamw": the rates of AdamW fit). Jordan 2024, "Muon: an optimizer for hidden layers in neural networks";
    Liu et al. 2025, "Muon is scalable for LLM training". Names, defaults and numbers are PyTorch's, but for the
    precision of the iteration: the parameter's own here, bfloat16 (two to three digits) there.

    Errors: `ShapeError` for a parameter that is no matrix; `ArgumentError` for a number outside its range.

    >>> import thalweg as tw
    >>> w = tw.tensor([[3.0, 0.0], [0.0, -4.0]], requires_grad=True)
    >>> optimizer = tw.optim.Muon([w], lr=0.5, weight_decay=0.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()                  # in both directions by about lr, though one gradient is larger
    >>> w.detach().numpy().round(1)
    array([[ 2.6,  0. ],
           [ 0. , -3.4]], dtype=float32)
    """

    optional = frozenset({"weight_decay"})
    static = frozenset({"ns_steps"})

    def __init__(
        self,
        params: Parameters,
        lr: float | Tensor | Schedule = 1e-3,
        weight_decay: float | Schedule = 0.1,
        momentum: float | Schedule = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        **execution: Any,
    ) -> None:
        refuse_execution_options("Muon", execution)
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
                    "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps,
                    "adjust_lr_fn": adjust_lr_fn}  # fmt: skip
        super().__init__(params, defaults)

    def check(self, group: ParamGroup) -> None:
        for index, param in enumerate(group["params"]):
            if param.ndim != 2:
                raise ShapeError(
                    explain("Muon is for matrices", received=f"parameter {index} of shape {tuple(param.shape)}",
                            expected="2 axes", remedy="give the others to an optimizer of their own, such as AdamW")
                )  # fmt: skip
        if not isinstance(group["ns_steps"], int) or not 0 <= group["ns_steps"] < 100:
            received, expected = f"ns_steps={group['ns_steps']!r}", "a whole number below 100"
            raise ArgumentError(explain("Muon: ns_steps is outside its range", received=received, expected=expected))
        if group["adjust_lr_fn"] not in ADJUSTMENTS:
            received, expected = repr(group["adjust_lr_fn"]), ", ".join(map(repr, ADJUSTMENTS))
            raise ArgumentError(explain("Muon: unknown adjust_lr_fn", received=received, expected=expected))

    def init(self, param: Tensor, group: ParamGroup) -> State:
        return {"momentum_buffer": zeros_like(param)}

    def update(self, grad: Any, param: Any, state: State, hyper: Hyper) -> tuple[Any, State]:
        average = state["momentum_buffer"].lerp(grad, 1.0 - hyper["momentum"])
        direction = grad.lerp(average, hyper["momentum"]) if hyper["nesterov"] else average
        step = orthogonalised(direction, hyper["ns_coefficients"], hyper["ns_steps"], hyper["eps"])
        if hyper["weight_decay"] is not None:
            param = param * (1.0 - hyper["lr"] * hyper["weight_decay"])
        rate = hyper["lr"] * _adjustment(hyper["adjust_lr_fn"], *param.shape)
        return param - rate * step, {"momentum_buffer": average}


def orthogonalised(matrix: Any, coefficients: Any, steps: int, eps: Any) -> Any:
    """A matrix with the same singular vectors whose singular values are about 1 (0.7 to 1.2).

    The products are of the shorter side: the iteration is the same for the transpose.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalised(matrix.T, coefficients, steps, eps).T
    a, b, c = coefficients
    x = matrix / (matrix * matrix).sum().sqrt().maximum(eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x


def _adjustment(kind: str | None, rows: int, columns: int) -> float:
    if kind == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1.0, rows / max(1, columns)))
