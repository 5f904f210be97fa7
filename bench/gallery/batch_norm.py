"""The second remedy for vanishing gradients: batch normalisation before each sigmoid.

In: Nielsen's network of four hidden layers, and the same with batch normalisation. Out: their gradients by layer and
how they learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.gallery import drawing, remedies
from bench.gallery.experiment import Experiment, Measured, Scale, column, each_of
from bench.gallery.networks import as_in_the_book, deep

NAMES = {"sigmoids": "sigmoids, as in the book", "normalised": "with batch normalisation"}


def measure(scale: Scale, seed: int) -> Measured:
    return remedies.measure(
        "normalised", lambda: as_in_the_book(deep(remedies.HIDDEN, remedies.WIDTH, is_normalised=True)), scale, seed
    )


def draw(results: Sequence[Measured]) -> Any:
    return drawing.remedy(results, NAMES)


def tell(results: Sequence[Measured]) -> tuple[str, str, str]:
    before, after = (each_of(column(results, key, "accuracy"), ".2%") for key in NAMES)
    return (
        f"What goes into each sigmoid is normalised over the batch, nothing else is changed, and both are "
        f"{remedies.DONE}.",
        f"The gradient that arrives at the last hidden layer is {remedies.ratio(results, 'normalised')} times that at "
        f"the first, not {remedies.ratio(results, 'sigmoids')} times, and {after} of the held-out images are "
        f"recognised in place of {before}.",
        "What comes out of a layer of sigmoids differs little between images; normalisation divides by that small "
        "spread, and so on its way back the gradient is multiplied by what sigmoids and weights have taken from it.",
    )


def table(results: Sequence[Measured]) -> list[Sequence[str]]:
    return remedies.table(results, NAMES)


EXPERIMENT = Experiment(
    "batch_norm", "Remedy: batch normalisation", "Ioffe and Szegedy 2015, arXiv:1502.03167",
    "Gradient by layer and training loss, sigmoids with and without batch normalisation",
    measure, draw, tell, table,
)  # fmt: skip
