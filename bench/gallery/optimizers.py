"""SGD, momentum, AdaGrad, RMSprop and Adam on the same problem, each with the rate that suits it best.

In: a perceptron 784-128-10. Out: the loss of every step. Rates are chosen by the loss on a part of their own after as
many epochs, so that nobody wins by a rate that happened to suit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import thalweg as tw
from bench.gallery import drawing
from bench.gallery.data import parts
from bench.gallery.experiment import Experiment, Measured, Scale, column, curve, each_of, plain
from bench.gallery.learning import accuracy, fit
from bench.gallery.networks import as_he, deep
from thalweg import nn, optim

EPOCHS, BATCH = 3, 64
KINDS: dict[str, tuple[Callable[..., Any], tuple[float, ...]]] = {
    "SGD": (optim.SGD, (0.03, 0.1, 0.3, 1.0)),
    "momentum": (lambda weights, lr: optim.SGD(weights, lr=lr, momentum=0.9), (0.01, 0.03, 0.1, 0.3)),
    "AdaGrad": (optim.Adagrad, (0.003, 0.01, 0.03, 0.1)),
    "RMSprop": (optim.RMSprop, (0.0003, 0.001, 0.003, 0.01)),
    "Adam": (optim.Adam, (0.0003, 0.001, 0.003, 0.01)),
}
"""Each with the rates that are tried."""


def measure(scale: Scale, seed: int) -> Measured:
    return {name: best_of(name, scale, seed) for name in KINDS}


def best_of(name: str, scale: Scale, seed: int) -> Measured:
    """The run with the rate whose loss on the part for choosing is lowest."""
    kind, rates = KINDS[name]
    tried = [run(kind, rate, scale, seed) for rate in (rates[1:2] if scale.is_miniature else rates)]
    return min(tried, key=lambda each: each["choice"])


def run(kind: Callable[..., Any], rate: float, scale: Scale, seed: int) -> Measured:
    tw.manual_seed(seed)
    data = parts(scale)
    trainer, history = fit(as_he(deep(1, 128, nn.ReLU)), data.training, scale, seed, epochs=EPOCHS, batch_size=BATCH,
                           validation=data.choice, optimizer=kind, lr=rate)  # fmt: skip
    return {
        "rate": rate, "loss": curve(history.steps["loss"]), "choice": plain(history["val_loss"][-1]),
        "accuracy": plain(accuracy(trainer, data.validation)),
    }  # fmt: skip


def draw(results: Sequence[Measured]) -> Any:
    drawn, left, right = drawing.pair("Training loss", "Accuracy on held-out images")
    for place, name in enumerate(KINDS):
        drawing.line(left, column(results, name, "loss"), place, name)
    drawing.dots(right, list(KINDS), [column(results, name, "accuracy") for name in KINDS])
    drawing.finish(left, "step", "loss", is_logarithmic=True)
    drawing.finish(right, f"accuracy after {EPOCHS} epochs", "", legend=None)
    return drawn


def tell(results: Sequence[Measured]) -> tuple[str, str, str]:
    losses = {name: each_of(column(results, name, "choice")) for name in KINDS}
    shown = ", ".join(f"{name} {loss}" for name, loss in losses.items())
    return (
        f"A perceptron 784-128-10 is trained for {EPOCHS} epochs on 45,000 images with batches of {BATCH} by five "
        "optimizers, each with the one of four rates that gives it the lowest loss on 5,000 other images.",
        f"The losses on these images are: {shown}.",
        "Momentum adds up what neighbouring steps agree on, and the adaptive three divide each entry of the gradient "
        "by its own usual size; with a rate chosen for each of them the differences are smaller than those between "
        "rates.",
    )


def table(results: Sequence[Measured]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("optimizer", "rate of each seed", "loss where rates were chosen", "accuracy")]
    return rows + [
        (name, ", ".join(f"{each:g}" for each in column(results, name, "rate")),
         each_of(column(results, name, "choice")), each_of(column(results, name, "accuracy"), ".2%"))
        for name in KINDS
    ]  # fmt: skip


EXPERIMENT = Experiment(
    "optimizers", "Five optimizers on the same problem",
    "Polyak 1964; Duchi, Hazan and Singer 2011; Tieleman and Hinton 2012; Kingma and Ba 2015, arXiv:1412.6980",
    "Training loss over steps for SGD, momentum, AdaGrad, RMSprop and Adam, and the accuracy that each reaches",
    measure, draw, tell, table,
)  # fmt: skip
