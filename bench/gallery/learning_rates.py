"""Three learning rates: too small, right, too large.

In: Nielsen's network 784-30-10 and his three rates. Out: the training loss after every epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import thalweg as tw
from bench.gallery import drawing
from bench.gallery.data import parts
from bench.gallery.experiment import Experiment, Measured, Scale, column, each_of, plain, plains
from bench.gallery.learning import accuracy, fit
from bench.gallery.networks import as_in_the_book, book_cost, deep

RATES = {"0.025": "too small", "0.25": "right", "2.5": "too large"}
EPOCHS, BATCH = 30, 10


def measure(scale: Scale, seed: int) -> Measured:
    return {rate: run(scale, seed, float(rate)) for rate in RATES}


def run(scale: Scale, seed: int, rate: float) -> Measured:
    tw.manual_seed(seed)
    data = parts(scale)
    trainer, history = fit(as_in_the_book(deep(1, 30)), data.training, scale, seed, epochs=EPOCHS, batch_size=BATCH,
                           lr=rate, loss=book_cost)  # fmt: skip
    epochs = [epoch + 1 for epoch in history.epoch]
    return {"loss": {"x": epochs, "y": plains(history["loss"])}, "accuracy": plain(accuracy(trainer, data.validation))}


def draw(results: Sequence[Measured]) -> Any:
    drawn, left, right = drawing.pair("Training loss", "Accuracy on held-out images")
    names = [f"{rate}, {word}" for rate, word in RATES.items()]
    for place, rate in enumerate(RATES):
        drawing.line(left, column(results, rate, "loss"), place, names[place])
    drawing.dots(right, names, [column(results, rate, "accuracy") for rate in RATES])
    drawing.finish(left, "epoch", "loss", is_logarithmic=True)
    drawing.finish(right, "accuracy", "", legend=None)
    return drawn


def tell(results: Sequence[Measured]) -> tuple[str, str, str]:
    low, right, high = (each_of(column(results, rate, "loss", "y", -1)) for rate in RATES)
    return (
        f"The network 784-30-10 of sigmoids is trained by gradient descent with batches of {BATCH} for {EPOCHS} epochs "
        "with the three rates of Nielsen's book, 0.025, 0.25 and 2.5.",
        f"The last training loss is {low} with the smallest rate, {right} with the middle one and {high} with the "
        "largest.",
        "A small rate goes the right way in steps too short to arrive, while a large one jumps across the valley: "
        "beyond 2 over the curvature each step ends higher on the other side than it began.",
    )


def table(results: Sequence[Measured]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("rate", f"training loss after {EPOCHS} epochs", "accuracy, held-out images")]
    return rows + [
        (f"{rate}, {word}", each_of(column(results, rate, "loss", "y", -1)),
         each_of(column(results, rate, "accuracy"), ".2%"))
        for rate, word in RATES.items()
    ]  # fmt: skip


EXPERIMENT = Experiment(
    "learning_rates", "Three learning rates: too small, right, too large",
    'M. Nielsen, "Neural Networks and Deep Learning" (2015), chapter 3',
    "Training loss over thirty epochs for three learning rates, and the accuracy that each reaches",
    measure, draw, tell, table,
)  # fmt: skip
