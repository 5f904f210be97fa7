"""The opposite fault and its remedy: gradients that explode, and clipping by their norm.

In: four hidden layers of rectifiers with weights that are too large. Out: gradients that grow on their way
back, and training with and without clipping.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.gallery import drawing, remedies
from bench.gallery.experiment import Experiment, Measured, Scale, column, each_of, mean, number
from bench.gallery.learning import compared
from bench.gallery.networks import deep, with_spread
from thalweg import nn

SPREAD, LIMIT = 0.6, 3.0
HIGHEST = 100.0
"""Of the losses that are shown; those of the plain run go up to 1e23."""
NAMES = {"plain": f"weights from N(0, {SPREAD}²)", "clipped": f"the same, gradient clipped to norm {LIMIT:g}"}


def make() -> nn.Sequential:
    return with_spread(deep(remedies.HIDDEN, remedies.WIDTH, nn.ReLU), SPREAD)


def measure(scale: Scale, seed: int) -> Measured:
    return compared({"plain": make, "clipped": make}, scale, seed, **remedies.SETTINGS,
                    special={"clipped": {"clip_norm": LIMIT}})  # type: ignore[arg-type] # fmt: skip


def draw(results: Sequence[Measured]) -> Any:
    drawn = drawing.remedy(results, NAMES)
    losses = drawn.axes[1]
    losses.set(yscale="log", ylim=(0.3, HIGHEST), ylabel=f"loss, up to {HIGHEST:g}")
    drawing.logarithmic(losses)
    return drawn


def tell(results: Sequence[Measured]) -> tuple[str, str, str]:
    before, after = (each_of(column(results, key, "accuracy"), ".2%") for key in NAMES)
    norms = column(results, "plain", "norms")
    growth = [each[0] / each[-1] for each in norms]
    return (
        f"Four hidden layers of rectifiers start with weights from N(0, {SPREAD}²), twelve times He's in the first "
        f"layer and twice in the others, and are {remedies.DONE}, once as they are and once with the gradient of all "
        f"parameters together scaled down to the norm {LIMIT:g} wherever it is longer.",
        f"The gradient that arrives at the first hidden layer is {number(mean(growth), '.3g')} times that at the last "
        f"({', '.join(number(each, '.3g') for each in growth)}), and the plain run ends with {before} of the held-out "
        f"images right, while the clipped one recognises {after}.",
        "Each layer multiplies the gradient by more than two on its way back, as it did with the signal on its way "
        "forward, so that one step at the usual rate throws all weights far away; clipping keeps the direction of the "
        "step and bounds its length.",
    )


def table(results: Sequence[Measured]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("run", "gradient at the first hidden layer, untrained", "accuracy, held-out images")]
    return rows + [
        (label, each_of(column(results, key, "norms", 0)), each_of(column(results, key, "accuracy"), ".2%"))
        for key, label in NAMES.items()
    ]


EXPERIMENT = Experiment(
    "clipping", "Exploding gradients, and the remedy: clipping by norm",
    "Pascanu, Mikolov and Bengio 2013, arXiv:1211.5063",
    "Gradient by layer, growing towards the input, and training loss with and without clipping",
    measure, draw, tell, table,
)  # fmt: skip
