"""The learning-rate finder against trainings with the rates around what it suggests.

In: a perceptron and `tw.diagnose.find_learning_rate`. Out: the curve of the range test, and the loss on held-out images
after two epochs with the suggested rate and with rates up to a hundred times smaller and larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import thalweg as tw
from bench.gallery import drawing
from bench.gallery.data import parts
from bench.gallery.experiment import Experiment, Measured, Scale, column, each_of, mean, number, plain, plains
from bench.gallery.learning import fit
from bench.gallery.networks import as_he, deep
from thalweg import nn

FACTORS = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
BATCH, EPOCHS = 32, 2


def network(seed: int) -> nn.Sequential:
    tw.manual_seed(seed)
    return as_he(deep(1, 128, nn.ReLU))


def measure(scale: Scale, seed: int) -> Measured:
    data = parts(scale)
    trainer = tw.Trainer(network(seed), optimizer="sgd", seed=seed, progress=False, compile=not scale.is_miniature)
    found = tw.diagnose.find_learning_rate(trainer, *data.training, batch_size=BATCH, lowest=1e-5)
    suggestion = found.suggestion or found.minimum / 10
    rates = [suggestion * factor for factor in FACTORS]
    return {
        "rates": plains(found.rates[: len(found.smooth)]), "smooth": plains(found.smooth),
        "suggestion": plain(suggestion), "tried": plains(rates),
        "reached": [plain(reached(scale, seed, rate)) for rate in rates],
    }  # fmt: skip


def reached(scale: Scale, seed: int, rate: float) -> float:
    data = parts(scale)
    _, history = fit(network(seed), data.training, scale, seed, epochs=EPOCHS, batch_size=BATCH, lr=rate,
                     validation=data.validation)  # fmt: skip
    return float(history["val_loss"][-1])


def draw(results: Sequence[Measured]) -> Any:
    drawn, left, right = drawing.pair("Range test: one step a rate", f"Loss on held-out images after {EPOCHS} epochs")
    for place, each in enumerate(results):
        label = f"seed {place}: {each['suggestion']:.2g} suggested"
        top = 1.25 * each["smooth"][0]
        left.plot(
            each["rates"], np.minimum(each["smooth"], top), color=drawing.COLOURS[place], linewidth=1.6, label=label
        )
        left.axvline(each["suggestion"], color=drawing.COLOURS[place], linewidth=1.2, linestyle=":")
        values = [np.nan if loss is None else min(loss, 10.0) for loss in each["reached"]]
        right.plot(each["tried"], values, color=drawing.COLOURS[place], marker=drawing.MARKERS[place], linewidth=1.2)
        right.axvline(each["suggestion"], color=drawing.COLOURS[place], linewidth=1.2, linestyle=":")
    for axes in (left, right):
        axes.set_xscale("log")
    drawing.finish(left, "learning rate", "smoothed training loss", legend="lower left")
    drawing.finish(right, "learning rate", "loss, at most 10", is_logarithmic=True, legend=None)
    return drawn


def tell(results: Sequence[Measured]) -> tuple[str, str, str]:
    suggested = each_of(column(results, "suggestion"), ".2g")
    place, first, last = FACTORS.index(1.0), 0, len(FACTORS) - 1
    return (
        "`tw.diagnose.find_learning_rate` raises the rate of a perceptron 784-128-10 by a constant factor from step to "
        f"step until the loss diverges, and the same network is then trained for {EPOCHS} epochs with the rate that it "
        "suggests and with rates a hundred times smaller up to a hundred times larger.",
        f"It suggests {suggested}, which gives a loss of {each_of(column(results, 'reached', place))} on held-out "
        f"images, against {each_of(column(results, 'reached', first))} with a hundredth of that rate and "
        f"{_told(column(results, 'reached', last))} with a hundred times that rate; the lowest mean loss of those "
        f"tried is at {best_factor(results):g} times the suggestion.",
        "Where one step a rate still lowers the loss the steps are not too long yet, and a tenth of the rate at which "
        "the loss is lowest leaves room for the steep places that come later.",
    )


def _told(losses: Sequence[float | None]) -> str:
    return each_of(losses) if all(each is not None for each in losses) else "none that is finite"


def table(results: Sequence[Measured]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("rate", "loss on held-out images", "rate of each seed")]
    for place, factor in enumerate(FACTORS):
        losses, rates = column(results, "reached", place), column(results, "tried", place)
        name = "the suggested one" if factor == 1 else f"{factor:g} times that"
        lost = sum(each is None for each in losses)
        shown = each_of(losses) if not lost else f"not finite for {lost} of {len(losses)} seeds"
        rows.append((name, shown, ", ".join(number(each, ".2g") for each in rates)))
    return rows


def best_factor(results: Sequence[Measured]) -> float:
    """The factor on the suggested rate that gives the lowest mean loss."""
    means = [mean(column(results, "reached", place)) for place in range(len(FACTORS))]
    return FACTORS[int(np.nanargmin(means))]


EXPERIMENT = Experiment(
    "range_test", "Finding the learning rate: the range test", "Smith 2017, arXiv:1506.01186, section 3.3",
    "Loss over learning rate in a range test, and the loss after two epochs for rates around the suggested one",
    measure, draw, tell, table,
)  # fmt: skip
