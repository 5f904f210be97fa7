"""`GradientNorms`: how large each layer's gradient is, step by step, without a second evaluation.

In: what `Watch` records of the gradients. Out: a norm for each layer in the history of the steps, and so in the files
that are written of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from thalweg.diagnose.watch import Column
from thalweg.train.callbacks.base import Priority
from thalweg.train.callbacks.watching import Watch

RMS = "gradient_rms"


class GradientNorms(Watch):
    """Record the Euclidean norm of every layer's gradient, before clipping: a `Watch` whose numbers are in the history.

    norm(layer) = sqrt(Σ g²) over the parameters that belong to the layer itself. The norms are part of the step's own
    program, so they are computed together with the update.

    Args:
        every_steps: record at steps 0, n, 2n, ... Default 1.
        quantities: what else is watched for `record`; by default nothing. None: all that is meant for every step.

    Attributes:
        steps: the numbers of the recorded steps.
        norms: for each layer (by its path in the model) a list with one number for each of them.
        record: as of `Watch`.

    `history.steps` holds the same numbers as ``gradient_norm/<layer>``.

    >>> GradientNorms(every_steps=10)
    GradientNorms(every=10)
    """

    priority = Priority.MEASURE

    def __init__(self, every_steps: int = 1, quantities: Iterable[str] | None = (RMS,)) -> None:
        super().__init__(quantities if quantities is None else [RMS, *quantities])
        self.every_steps = every_steps
        self.steps: list[int] = []
        self.norms: dict[str, list[float]] = {}

    def on_slice_end(self, trainer: Any) -> None:
        super().on_slice_end(trainer)
        numbers = trainer.state.slice
        if self._watcher is None or numbers.first_step % self.every_steps:
            return
        self.steps += numbers.steps
        for name, columns in self._watcher.columns.items():
            vectors = numbers.vectors.get(self._watcher.key(name))
            for layer, norms in () if vectors is None else norms_by_layer(np.asarray(vectors), columns):
                numbers.watched[f"gradient_norm/{layer}"] = norms
                self.norms.setdefault(layer, []).extend(norms)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"steps": self.steps, "norms": self.norms}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.steps, self.norms = list(state["steps"]), dict(state["norms"])


def norms_by_layer(vectors: np.ndarray, columns: tuple[Column, ...]) -> Iterable[tuple[str, list[float]]]:
    """For each layer the norm at each step, from mean squares (steps x columns) of its parameters' gradients."""
    squares: dict[str, Any] = {}
    for index, column in enumerate(columns):
        if column.quantity == RMS:
            layer = column.subject.rpartition(".")[0] or column.subject
            squares[layer] = squares.get(layer, 0.0) + vectors[:, index].astype(np.float64) * column.entries
    return [(layer, np.sqrt(each).tolist()) for layer, each in squares.items()]
