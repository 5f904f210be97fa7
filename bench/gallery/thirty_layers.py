"""Thirty layers of rectifiers: with Glorot's weights training stalls, with He's it converges.

In: perceptrons of 30 hidden layers, once with each initialisation. Out: the gradient by layer of the untrained network,
and the loss while it trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import thalweg.nn.functional as F
from bench.gallery import drawing
from bench.gallery.experiment import Experiment, Measured, Scale, column, each_of, mean, number
from bench.gallery.learning import compared
from bench.gallery.networks import as_glorot, as_he, deep
from thalweg import nn, optim

DEPTH, WIDTH, RATE, EPOCHS = 30, 128, 0.001, 3
NAMES = {"glorot": "Glorot: N(0, 2/(fan_in + fan_out))", "he": "He: N(0, 2/fan_in)"}


def momentum(parameters: Any, lr: float = RATE) -> optim.SGD:
    return optim.SGD(parameters, lr=lr, momentum=0.9)


def measure(scale: Scale, seed: int) -> Measured:
    depth = scale.few(DEPTH, 5)
    networks = {
        "glorot": lambda: as_glorot(deep(depth, WIDTH, nn.ReLU)),
        "he": lambda: as_he(deep(depth, WIDTH, nn.ReLU)),
    }
    return compared(
        networks, scale, seed, epochs=EPOCHS, batch_size=128, lr=RATE, loss=F.cross_entropy, optimizer=momentum
    )


def draw(results: Sequence[Measured]) -> Any:
    return drawing.remedy(results, NAMES)


def tell(results: Sequence[Measured]) -> tuple[str, str, str]:
    stalled, learnt = (each_of(column(results, key, "accuracy"), ".2%") for key in NAMES)
    first = {key: mean(column(results, key, "norms", 0)) for key in NAMES}
    return (
        f"Perceptrons of {DEPTH} hidden layers of {WIDTH} rectifiers are trained on 45,000 images for {EPOCHS} epochs "
        f"(rate {RATE}, momentum 0.9, batches of 128), with the initial weights of Glorot and Bengio and with "
        "those of He.",
        f"With Glorot's weights the loss stays at that of guessing, ln 10 = 2.30, and {stalled} of the held-out images "
        f"are recognised; with He's it falls, and {learnt} are.",
        "A rectifier drops half of the variance, which only He's factor 2/fan_in makes up for: with Glorot's the "
        f"signal loses half of its variance in each of {DEPTH} layers, and the gradient at the first layer starts at "
        f"{number(first['glorot'], '.1e')} in place of {number(first['he'], '.2g')}.",
    )


def table(results: Sequence[Measured]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("initial weights", "last training loss", "accuracy, held-out images")]
    return rows + [
        (label, each_of(column(results, key, "loss", "y", -1)), each_of(column(results, key, "accuracy"), ".2%"))
        for key, label in NAMES.items()
    ]


EXPERIMENT = Experiment(
    "thirty_layers", "Thirty layers: Glorot stalls, He converges",
    "He, Zhang, Ren and Sun 2015, arXiv:1502.01852, figure 3",
    "Gradient over thirty layers and training loss for the initialisations of Glorot and He",
    measure, draw, tell, table,
)  # fmt: skip
