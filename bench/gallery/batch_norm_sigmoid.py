"""Batch normalisation on its authors' own first example: a perceptron of sigmoids, 784-100-100-100-10.

In: the network with and without batch normalisation, batches of 60. Out: accuracy on held-out images after every epoch,
and the distribution of what the last hidden sigmoids are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import thalweg as tw
from bench.gallery import drawing
from bench.gallery.data import Parts, parts
from bench.gallery.experiment import Experiment, Measured, Scale, column, each_of, plains
from bench.gallery.learning import fit
from bench.gallery.networks import deep, with_spread
from thalweg import nn

HIDDEN, WIDTH, BATCH, EPOCHS, RATE, SPREAD = 3, 100, 60, 20, 0.1, 0.1
NAMES = {"plain": "sigmoids alone", "normalised": "with batch normalisation"}
PERCENTILES = (15, 50, 85)
WATCHED = 500
"""Held-out images for which the inputs of the sigmoids are looked at."""


def measure(scale: Scale, seed: int) -> Measured:
    return {name: run(scale, seed, is_normalised=name == "normalised") for name in NAMES}


def run(scale: Scale, seed: int, is_normalised: bool) -> Measured:
    tw.manual_seed(seed)
    model = with_spread(deep(HIDDEN, WIDTH, is_normalised=is_normalised), SPREAD)
    data, seen = parts(scale), list[np.ndarray]()
    watch = tw.callbacks.LambdaCallback(on_epoch_end=lambda trainer: seen.append(inputs_of_sigmoids(model, data)))
    _, history = fit(model, data.training, scale, seed, epochs=EPOCHS, batch_size=BATCH, lr=RATE,
                     validation=data.validation, callbacks=[watch])  # fmt: skip
    every = len(data.training.y) // BATCH
    return {
        "x": [every * (epoch + 1) for epoch in history.epoch], "accuracy": plains(history["val_accuracy"]),
        "percentiles": [plains(each) for each in np.array(seen).T],
    }  # fmt: skip


def inputs_of_sigmoids(model: nn.Sequential, data: Parts) -> np.ndarray:
    """Percentiles, over images, of what a typical (the first) sigmoid of the last hidden layer is given."""
    was_training = model.training
    model.eval()
    with tw.no_grad():
        x: Any = tw.from_numpy(data.validation.x[:WATCHED])
        for block in model[: HIDDEN - 1]:
            x = block(x)
        last = model[HIDDEN - 1]
        given = last.norm(last.linear(x)).numpy()[:, 0]
    model.train(was_training)
    return np.percentile(given, PERCENTILES)


def draw(results: Sequence[Measured]) -> Any:
    drawn, left, right = drawing.pair("Accuracy on held-out images", "Input of one sigmoid of the last hidden layer")
    for place, (key, label) in enumerate(NAMES.items()):
        x = results[0][key]["x"]
        drawing.line(left, [{"x": x, "y": each[key]["accuracy"]} for each in results], place, label)
        low, middle, high = (np.array(each, float) for each in results[0][key]["percentiles"])
        right.fill_between(x, low, high, color=drawing.COLOURS[place], alpha=0.25, linewidth=0)
        right.plot(x, middle, color=drawing.COLOURS[place], linewidth=1.9, label=f"{label}: 15th to 85th percentile")
    drawing.finish(left, "step", "accuracy")
    drawing.finish(right, "step", "input, first seed", legend=None)
    return drawn


def tell(results: Sequence[Measured]) -> tuple[str, str, str]:
    early = {key: each_of(column(results, key, "accuracy", 0), ".2%") for key in NAMES}
    late = {key: each_of(column(results, key, "accuracy", -1), ".2%") for key in NAMES}
    return (
        "As in the paper a perceptron 784-100-100-100-10 of sigmoids starts with small random weights, here from "
        f"N(0, {SPREAD}²), and is trained with batches of {BATCH}, here for {EPOCHS} epochs at the rate {RATE}, with "
        "batch normalisation before each sigmoid and without.",
        f"After one epoch {early['normalised']} of the held-out images are recognised with it and {early['plain']} "
        f"without, after {EPOCHS} epochs {late['normalised']} and {late['plain']}.",
        "Without it the layers below move what a sigmoid is given while it learns, from a narrow band at the start to "
        "a wide one; normalised inputs keep their place and their spread, where the sigmoid is steep.",
    )


def table(results: Sequence[Measured]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("network", "accuracy after 1 epoch", f"accuracy after {EPOCHS} epochs")]
    return rows + [
        (label, *(each_of(column(results, key, "accuracy", place), ".2%") for place in (0, -1)))
        for key, label in NAMES.items()
    ]


EXPERIMENT = Experiment(
    "batch_norm_sigmoid", "Batch normalisation on a perceptron of sigmoids",
    "Ioffe and Szegedy 2015, arXiv:1502.03167, section 4.1 and figure 1",
    "Accuracy with and without batch normalisation, and percentiles of a sigmoid's input over training",
    measure, draw, tell, table,
)  # fmt: skip
