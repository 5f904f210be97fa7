"""The first remedy for vanishing gradients: rectifiers, with weights that suit them.

In: Nielsen's network of four hidden layers, and the same with ReLU and the weights of He. Out: their gradients by layer
and how they learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.gallery import drawing, remedies
from bench.gallery.experiment import Experiment, Measured, Scale, column, each_of
from bench.gallery.networks import as_he, deep
from thalweg import nn

NAMES = {"sigmoids": "sigmoids, as in the book", "relu": "ReLU, He"}


def measure(scale: Scale, seed: int) -> Measured:
    return remedies.measure("relu", lambda: as_he(deep(remedies.HIDDEN, remedies.WIDTH, nn.ReLU)), scale, seed)


def draw(results: Sequence[Measured]) -> Any:
    return drawing.remedy(results, NAMES)


def tell(results: Sequence[Measured]) -> tuple[str, str, str]:
    before, after = (each_of(column(results, key, "accuracy"), ".2%") for key in NAMES)
    return (
        "The network of four hidden layers gets rectifiers in place of sigmoids and weights from N(0, 2/fan_in), and "
        f"both are {remedies.DONE}.",
        f"The gradient that arrives at the last hidden layer is {remedies.ratio(results, 'relu')} times that at the "
        f"first, not {remedies.ratio(results, 'sigmoids')} times, and {after} of the held-out images are recognised "
        f"in place of {before}.",
        "The slope of a rectifier is 1 wherever it lets something through, and He's weights make up for the half of "
        "the units that let nothing through, so the gradient keeps its size from layer to layer.",
    )


def table(results: Sequence[Measured]) -> list[Sequence[str]]:
    return remedies.table(results, NAMES)


EXPERIMENT = Experiment(
    "relu", "Remedy: ReLU with He initialisation", "Glorot, Bordes and Bengio 2011; He et al. 2015, arXiv:1502.01852",
    "Gradient by layer and training loss, sigmoids against ReLU with He initialisation",
    measure, draw, tell, table,
)  # fmt: skip
