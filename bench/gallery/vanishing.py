"""Nielsen's table: in deep networks of sigmoids each earlier layer gets a smaller gradient.

In: 1,000 images as one batch, as in the book. Out: the norm of the bias gradient by layer, for one to four hidden
layers of 30 units, at the start and during 500 steps of gradient descent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import thalweg as tw
from bench.gallery import drawing
from bench.gallery.data import parts
from bench.gallery.experiment import Experiment, Measured, Scale, column, curve, each_of, mean, number, plains
from bench.gallery.learning import STARTING, fit
from bench.gallery.networks import as_in_the_book, book_cost, deep

WIDTH, STEPS, RATE = 30, 500, 0.1
DEPTHS, FOLLOWED = (1, 2, 3, 4), 2
"""Of these numbers of hidden layers; the network with two is followed while it trains, as in the book."""
BOOK = {2: "0.07, 0.31", 3: "0.012, 0.060, 0.283", 4: "0.003, 0.017, 0.070, 0.285"}
"""What the book prints for one start each, "Neural Networks and Deep Learning", chapter 5."""


def measure(scale: Scale, seed: int) -> Measured:
    found: Measured = {}
    for depth in DEPTHS:
        tw.manual_seed(seed)
        model = as_in_the_book(deep(depth, WIDTH))
        norms = course(model, scale, seed)
        found[str(depth)] = {"norms": plains(norms[:, 0])}
        if depth == FOLLOWED:
            found["course"] = [curve(list(each)) for each in norms]
    return found


def course(model: Any, scale: Scale, seed: int) -> np.ndarray:
    """(layers, steps): the norm of each hidden layer's bias gradient."""
    watch = tw.callbacks.Watch(["gradient_rms"])
    data = parts(scale).training.first(STARTING)
    fit(model, data, scale, seed, epochs=STEPS, batch_size=STARTING, loss=book_cost, lr=RATE, callbacks=[watch])
    by_name = watch.record.of_parameters("gradient_rms")
    return np.stack([by_name[f"{place}.linear.bias"] for place in range(len(model) - 1)]) * WIDTH**0.5


def draw(results: Sequence[Measured]) -> Any:
    drawn, left, right = drawing.pair("Untrained networks", "Two hidden layers while they train")
    for place, depth in enumerate(DEPTHS):
        label = f"{depth} hidden layer{'s' if depth > 1 else ''}"
        drawing.by_layer(left, column(results, str(depth), "norms"), place, label)
    for place in range(FOLLOWED):
        drawing.line(right, column(results, "course", place), place, f"hidden layer {place + 1}")
    drawing.finish(left, "hidden layer", "norm of the gradient of the biases", is_logarithmic=True)
    drawing.finish(right, "step", "norm of the gradient of the biases", is_logarithmic=True)
    return drawn


def tell(results: Sequence[Measured]) -> tuple[str, str, str]:
    first, last = (column(results, "4", "norms", place) for place in (0, 3))
    ratios = [after / before for before, after in zip(first, last, strict=True)]
    late = [after / before for before, after in zip(*(column(results, "course", each, "y", -1) for each in (0, 1)))]
    return (
        "Networks 784-30-...-30-10 of sigmoids with one to four hidden layers start as in Nielsen's book (weights from "
        "N(0, 1/fan_in), biases from N(0, 1)) and take 500 steps of gradient descent on 1,000 images as one batch.",
        f"With four hidden layers the gradient of the first one's biases has the norm {each_of(first, '.2g')}, that of "
        f"the last one's {each_of(last, '.2g')}: the first layer learns {number(mean(ratios), '.0f')} times more "
        f"slowly ({', '.join(number(each, '.0f') for each in ratios)}); of two hidden layers the first still learns "
        f"{each_of(late, '.2g')} times more slowly at the end of these steps.",
        "On its way back through a layer the gradient is multiplied by the weights and by the slope of the sigmoid, "
        "which is at most 1/4, so with weights of usual size it shrinks from layer to layer.",
    )


def table(results: Sequence[Measured]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("hidden layers", "norms from the first to the last, mean", "each seed", "the book")]
    for depth in DEPTHS:
        seeds = column(results, str(depth), "norms")
        each = "; ".join(_listed(values) for values in seeds)
        means = [mean(values) for values in zip(*seeds, strict=True)]
        rows.append((str(depth), _listed(means), each, BOOK.get(depth, "")))
    return rows


def _listed(values: Sequence[float]) -> str:
    return ", ".join(number(each, ".2g") for each in values)


EXPERIMENT = Experiment(
    "vanishing", "Vanishing gradients: each earlier layer learns more slowly",
    'M. Nielsen, "Neural Networks and Deep Learning" (2015), chapter 5',
    "Norm of the bias gradient by hidden layer for one to four hidden layers, and over 500 steps",
    measure, draw, tell, table,
)  # fmt: skip
