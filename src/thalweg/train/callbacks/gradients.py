"""`GradientNorms`: how large each layer's gradient is, step by step, without a second evaluation.

In: the gradients after backward, before clipping.
Out: a norm for each layer in the history of the steps.
"""

from __future__ import annotations

from typing import Any

from thalweg.tensor import no_grad
from thalweg.train.callbacks.base import Callback, Priority


class GradientNorms(Callback):
    """Record the Euclidean norm of every layer's gradient, before clipping.

    norm(layer) = sqrt(Σ g²) over the parameters that belong to the layer itself. The norms are part of the step's own
    program, so they are computed together with the update.

    Args:
        every_steps: record at steps 0, n, 2n, ... Default 1.

    Attributes:
        steps: the numbers of the recorded steps.
        norms: for each layer (by its path in the model) a list with one number for each of them.

    `history.steps` holds the same numbers as ``gradient_norm/<layer>``.

    >>> GradientNorms(every_steps=10)
    GradientNorms(every_steps=10)
    """

    priority = Priority.MEASURE
    adds_logs = False
    traced = True

    def __init__(self, every_steps: int = 1) -> None:
        self.every_steps = every_steps
        self.steps: list[int] = []
        self.norms: dict[str, list[float]] = {}

    def on_gradients(self, trainer: Any) -> None:
        with no_grad():
            for layer, gradients in gradients_by_layer(trainer.model).items():
                squares: Any = sum((gradient * gradient).sum() for gradient in gradients)
                trainer.state.watched[f"gradient_norm/{layer}"] = squares.sqrt()

    def on_slice_end(self, trainer: Any) -> None:
        numbers = trainer.state.slice
        if numbers.first_step % self.every_steps:
            return
        self.steps += numbers.steps
        for name, values in numbers.watched.items():
            if name.startswith("gradient_norm/"):
                self.norms.setdefault(name.removeprefix("gradient_norm/"), []).extend(values)

    def __repr__(self) -> str:
        return f"GradientNorms(every_steps={self.every_steps})"


def gradients_by_layer(model: Any) -> dict[str, list[Any]]:
    """The gradients that backward has collected, under the path of the module that owns the parameter."""
    found: dict[str, list[Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            found.setdefault(name.rpartition(".")[0] or name, []).append(parameter.grad)
    return found
