"""The third remedy for vanishing gradients: skip connections around each layer.

In: Nielsen's network of four hidden layers, and the same with x + f(x) in place of f(x). Out: their gradients by layer
and how they learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.gallery import drawing, remedies
from bench.gallery.experiment import Experiment, Measured, Scale, column, each_of
from bench.gallery.networks import as_in_the_book, deep

NAMES = {"sigmoids": "sigmoids, as in the book", "skips": "with skip connections"}


def measure(scale: Scale, seed: int) -> Measured:
    return remedies.measure(
        "skips", lambda: as_in_the_book(deep(remedies.HIDDEN, remedies.WIDTH, has_skips=True)), scale, seed
    )


def draw(results: Sequence[Measured]) -> Any:
    return drawing.remedy(results, NAMES)


def tell(results: Sequence[Measured]) -> tuple[str, str, str]:
    before, after = (each_of(column(results, key, "accuracy"), ".2%") for key in NAMES)
    return (
        "The second, third and fourth hidden layer add what they compute to what they were given, x + f(x) in place of "
        f"f(x), nothing else is changed, and both are {remedies.DONE}.",
        f"The gradient that arrives at the last hidden layer is {remedies.ratio(results, 'skips')} times that at the "
        f"first, not {remedies.ratio(results, 'sigmoids')} times, and {after} of the held-out images are recognised "
        f"in place of {before}.",
        "The derivative of x + f(x) is 1 plus that of f, so the gradient reaches every layer undiminished by way of "
        "the sums, whatever the sigmoids do to the rest of it.",
    )


def table(results: Sequence[Measured]) -> list[Sequence[str]]:
    return remedies.table(results, NAMES)


EXPERIMENT = Experiment(
    "skip", "Remedy: skip connections", "He et al. 2016, arXiv:1512.03385",
    "Gradient by layer and training loss, sigmoids with and without skip connections",
    measure, draw, tell, table,
)  # fmt: skip
