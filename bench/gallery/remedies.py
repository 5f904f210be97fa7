"""What the experiments on remedies for depth share: four hidden layers of 30, without a remedy and with it.

In: the remedy's network. Out: numbers of both, their table and their figure; each experiment tells its own story.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.gallery.experiment import Measured, Scale, column, each_of, mean, number
from bench.gallery.learning import Make, compared
from bench.gallery.networks import as_in_the_book, deep

HIDDEN, WIDTH = 4, 30
SETTINGS = {"epochs": 5, "batch_size": 32, "lr": 0.1}
DONE = "trained on 45,000 images for 5 epochs (plain gradient descent, rate 0.1, batches of 32)"


def sigmoids() -> object:
    """The network without a remedy, as in Nielsen's book."""
    return as_in_the_book(deep(HIDDEN, WIDTH))


def measure(name: str, make: Make, scale: Scale, seed: int) -> Measured:
    return compared({"sigmoids": sigmoids, name: make}, scale, seed, **SETTINGS)  # type: ignore[arg-type, dict-item]


def ratio(results: Sequence[Measured], name: str) -> str:
    """How many times larger the gradient is at the last hidden layer than at the first, before training."""
    norms = column(results, name, "norms")
    ratios = [each[-1] / each[0] for each in norms]
    return f"{number(mean(ratios), '.3g')} ({', '.join(number(each, '.3g') for each in ratios)})"


def table(results: Sequence[Measured], names: dict[str, str]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [
        ("network", "gradient at the last hidden layer over that at the first, untrained", "accuracy, held-out images")
    ]
    return rows + [
        (label, ratio(results, key), each_of(column(results, key, "accuracy"), ".2%")) for key, label in names.items()
    ]
