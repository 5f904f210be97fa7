"""Overfitting on 1,000 images, and four remedies: L1, L2, dropout and early stopping.

In: a perceptron 784-100-10 with far more weights than images. Out: the loss on images that it does not learn from,
epoch by epoch, and at the end on others. Strengths are chosen on one part, losses and accuracies measured on another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import thalweg as tw
from bench.gallery import drawing
from bench.gallery.data import CLASSES, parts
from bench.gallery.experiment import Experiment, Measured, Scale, column, each_of, mean, number, plain, plains
from bench.gallery.learning import accuracy, fit
from bench.gallery.networks import PIXELS, as_he
from thalweg import nn, optim

IMAGES, CHOICE, WIDTH, EPOCHS, BATCH, RATE, PATIENCE = 1000, 2000, 100, 100, 10, 0.1, 5
STRENGTHS: dict[str, tuple[float, ...]] = {
    "none": (0.0,), "l1": (1e-4, 3e-4, 1e-3), "l2": (1e-3, 3e-3, 1e-2), "dropout": (0.3, 0.5, 0.7), "stopping": (0.0,),
}  # fmt: skip
NAMES = {"none": "no remedy", "l1": "L1 penalty", "l2": "L2 penalty", "dropout": "dropout",
         "stopping": "early stopping"}  # fmt: skip


def measure(scale: Scale, seed: int) -> Measured:
    return {remedy: best_of(remedy, scale, seed) for remedy in NAMES}


def best_of(remedy: str, scale: Scale, seed: int) -> Measured:
    """The run with the strength that has the lowest last loss on the part for choosing."""
    tried = [run(remedy, strength, scale, seed) for strength in STRENGTHS[remedy][: 1 if scale.is_miniature else None]]
    return min(tried, key=lambda each: each["loss"]["y"][-1])


def network(dropout: float) -> nn.Sequential:
    hidden = [nn.Linear(PIXELS, WIDTH), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
    return as_he(nn.Sequential(*hidden, nn.Linear(WIDTH, CLASSES)))


def run(remedy: str, strength: float, scale: Scale, seed: int) -> Measured:
    tw.manual_seed(seed)
    model = network(strength if remedy == "dropout" else 0.0)
    kinds = {"l1": optim.L1, "l2": optim.L2}
    penalties = [kinds[remedy](strength, model.named_parameters(), only=optim.is_weight)] if remedy in kinds else []
    stopping = tw.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)
    data = parts(scale)
    trainer, history = fit(
        model, data.training.first(IMAGES), scale, seed, epochs=EPOCHS, batch_size=BATCH, lr=RATE, penalties=penalties,
        validation=data.choice.first(CHOICE), callbacks=[stopping] if remedy == "stopping" else [],
    )  # fmt: skip
    return {
        "strength": strength, "loss": {"x": [each + 1 for each in history.epoch], "y": plains(history["val_loss"])},
        "epochs": len(history.epoch), "accuracy": plain(accuracy(trainer, data.validation)),
        "held_out": plain(trainer.evaluate(data.validation)["loss"]),
        "training": plain(history["accuracy"][-1]),
    }  # fmt: skip


def draw(results: Sequence[Measured]) -> Any:
    drawn, left, right = drawing.pair("Loss on images it does not learn from", "Loss on held-out images, at the end")
    for place, (key, label) in enumerate(NAMES.items()):
        drawing.line(left, as_long_as_the_shortest(column(results, key, "loss")), place, label)
    drawing.dots(right, list(NAMES.values()), [column(results, key, "held_out") for key in NAMES])
    drawing.finish(left, "epoch", "loss")
    drawing.finish(right, "loss", "", legend=None)
    return drawn


def as_long_as_the_shortest(curves: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs that were stopped are of different lengths."""
    least = min(len(each["x"]) for each in curves)
    return [{"x": each["x"][:least], "y": each["y"][:least]} for each in curves]


def tell(results: Sequence[Measured]) -> tuple[str, str, str]:
    right = {key: each_of(column(results, key, "accuracy"), ".2%") for key in NAMES}
    losses = {key: each_of(column(results, key, "held_out")) for key in NAMES}
    least = [min(each) for each in column(results, "none", "loss", "y")]
    return (
        f"A perceptron 784-{WIDTH}-10 learns {IMAGES:,} images for {EPOCHS} epochs, without a remedy, with an L1 or L2 "
        f"penalty, with dropout, and stopped as soon as the loss on {CHOICE:,} other images has not improved for "
        f"{PATIENCE} epochs, which are also what the strength of each remedy is chosen by.",
        f"Without a remedy {each_of(column(results, 'none', 'training'), '.1%')} of the training images are right "
        f"while the loss on the {CHOICE:,} others rises from {each_of(least)} to "
        f"{each_of(column(results, 'none', 'loss', 'y', -1))}; on 10,000 further images the loss is {losses['none']} "
        f"without a remedy, {losses['l1']} with L1, {losses['l2']} with L2, {losses['dropout']} with dropout and "
        f"{losses['stopping']} with early stopping, and {right['none']}, {right['l1']}, {right['l2']}, "
        f"{right['dropout']} and {right['stopping']} of them are recognised.",
        "A network with eighty times more weights than images can learn them by heart, and it goes on making its wrong "
        "answers about others more certain; penalties keep weights small, dropout keeps units from relying on each "
        "other, and stopping leaves before the harm is done.",
    )


def table(results: Sequence[Measured]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("remedy", "loss, held-out images", "accuracy", "strength of each seed", "epochs")]
    for key, label in NAMES.items():
        strengths = column(results, key, "strength")
        shown = ", ".join(f"{each:g}" for each in strengths) if any(strengths) else ""
        rows.append((label, each_of(column(results, key, "held_out")), each_of(column(results, key, "accuracy"), ".2%"),
                     shown, number(mean(column(results, key, "epochs")), ".0f")))  # fmt: skip
    return rows


EXPERIMENT = Experiment(
    "overfitting", "Overfitting on 1,000 images, and four remedies",
    'Nielsen 2015, chapter 3; Srivastava et al. 2014, "Dropout"; Prechelt 1998, "Early stopping - but when?"',
    "Loss on images not learnt from over the epochs, and at the end on others, without a remedy and with each of four",
    measure, draw, tell, table,
)  # fmt: skip
