"""Schedules of the learning rate: constant, in steps, exponential, cyclical.

In: Nielsen's network 784-30-10, the same highest rate for all. Out: the rate and the loss of every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import thalweg as tw
from bench.gallery import drawing
from bench.gallery.data import parts
from bench.gallery.experiment import Experiment, Measured, Scale, column, curve, each_of, plain
from bench.gallery.learning import accuracy, fit
from bench.gallery.networks import as_in_the_book, book_cost, deep
from thalweg.optim import schedules

EPOCHS, BATCH, HIGHEST, LOWEST = 12, 10, 1.0, 0.01
NAMES = {"constant": "constant", "step": "in steps", "exponential": "exponential", "cyclical": "cyclical"}


def made(name: str, steps: int) -> schedules.Schedule:
    """From `HIGHEST` down to `LOWEST` in so many steps; the cycles go up and down three times, half as high each."""
    third = -(-steps // 3)
    return {
        "constant": schedules.Constant(HIGHEST),
        "step": schedules.StepDecay(HIGHEST, third, (LOWEST / HIGHEST) ** 0.5),
        "exponential": schedules.Exponential(HIGHEST, (LOWEST / HIGHEST) ** (1 / steps)),
        "cyclical": schedules.Cyclical(LOWEST, HIGHEST, -(-third // 2), mode="triangular2"),
    }[name]


def measure(scale: Scale, seed: int) -> Measured:
    return {name: run(name, scale, seed) for name in NAMES}


def run(name: str, scale: Scale, seed: int) -> Measured:
    tw.manual_seed(seed)
    data = parts(scale)
    schedule = made(name, scale.few(EPOCHS) * (len(data.training.y) // BATCH))
    trainer, history = fit(as_in_the_book(deep(1, 30)), data.training, scale, seed, epochs=EPOCHS, batch_size=BATCH,
                           lr=schedule, loss=book_cost)  # fmt: skip
    return {
        "rate": curve(history.steps["learning_rate"]), "loss": curve(history.steps["loss"]),
        "last": plain(history["loss"][-1]), "accuracy": plain(accuracy(trainer, data.validation)),
    }  # fmt: skip


def draw(results: Sequence[Measured]) -> Any:
    drawn, left, right = drawing.pair("Learning rate", "Training loss")
    for place, (key, label) in enumerate(NAMES.items()):
        drawing.line(left, column(results, key, "rate")[:1], place, label)
        drawing.line(right, column(results, key, "loss"), place, label)
    drawing.finish(left, "step", "learning rate", is_logarithmic=True)
    drawing.finish(right, "step", "loss", is_logarithmic=True, legend=None)
    return drawn


def tell(results: Sequence[Measured]) -> tuple[str, str, str]:
    losses = {key: each_of(column(results, key, "last"), ".2g") for key in NAMES}
    shown = {key: each_of(column(results, key, "accuracy"), ".2%") for key in NAMES}
    return (
        f"The network 784-30-10 of sigmoids is trained for {EPOCHS} epochs by plain gradient descent with batches of "
        f"{BATCH}, with a constant rate of {HIGHEST:g}, with two steps down to {LOWEST:g}, with an exponential fall to "
        f"{LOWEST:g}, and with three cycles between the two, each half as high as the one before.",
        f"The training loss of the last epoch is {losses['constant']} with the constant rate, {losses['step']} in "
        f"steps, {losses['exponential']} with the exponential and {losses['cyclical']} with the cyclical schedule; of "
        f"the held-out images {shown['constant']}, {shown['step']}, {shown['exponential']} and {shown['cyclical']} are "
        "recognised.",
        "With a constant rate the noise of the batches keeps the weights moving around the bottom of the valley; each "
        "fall of the rate makes that circle smaller, which the loss shows at once.",
    )


def table(results: Sequence[Measured]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("schedule", "training loss of the last epoch", "accuracy, held-out images")]
    return rows + [
        (label, each_of(column(results, key, "last"), ".2g"), each_of(column(results, key, "accuracy"), ".2%"))
        for key, label in NAMES.items()
    ]


EXPERIMENT = Experiment(
    "rate_schedules", "Schedules of the learning rate", "Robbins and Monro 1951; Smith 2017, arXiv:1506.01186",
    "Learning rate and training loss over steps for a constant, stepwise, exponential and cyclical schedule",
    measure, draw, tell, table,
)  # fmt: skip
