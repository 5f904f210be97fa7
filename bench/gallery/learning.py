"""Training as every experiment does it: one `Trainer`, silent, compiled, its numbers as plain curves.

In: a model, data, settings. Out: the trainer and its history; or a dictionary of loss, accuracy and gradients of a
network with and without a remedy, the form that most experiments have.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import thalweg as tw
from bench.gallery.data import Examples, parts
from bench.gallery.experiment import Measured, Scale, curve, plain, plains
from bench.gallery.networks import arriving_gradients, book_cost
from thalweg import nn

STARTING = 1000
"""Images for which the gradients of untrained networks are computed, as in Nielsen's book."""


def fit(
    model: nn.Module,
    data: Examples,
    scale: Scale,
    seed: int,
    *,
    epochs: int,
    batch_size: int,
    validation: Examples | None = None,
    callbacks: Sequence[Any] = (),
    **options: Any,
) -> tuple[tw.Trainer, Any]:
    """The trainer and its history. A loss may become infinite: some experiments are about that."""
    made = tw.Trainer(
        model, metrics=options.pop("metrics", ["accuracy"]), progress=False, seed=seed, compile=not scale.is_miniature,
        optimizer=options.pop("optimizer", "sgd"), **options,
    )  # fmt: skip
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        history = made.fit(
            data, validation=validation, epochs=scale.few(epochs), batch_size=min(batch_size, len(data.y)),
            drop_last=True, callbacks=list(callbacks),  # the few images left over would make a step of much noise
        )  # fmt: skip
    return made, history


def accuracy(trainer: tw.Trainer, data: Examples) -> float:
    """The share of right answers; of outputs that are not finite none is right."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        scores = trainer.predict(data.x)
    right = (scores.argmax(1) == data.y) & np.isfinite(scores).all(1)
    return float(right.mean())


def loss_on(trainer: tw.Trainer, data: Examples) -> float:
    """The loss on data that nothing was learnt from; it may be infinite."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(trainer.evaluate(data, batch_size=len(data.y))["loss"])


Make = Callable[[], nn.Sequential]


def compared(
    networks: Mapping[str, Make], scale: Scale, seed: int, *, epochs: int, batch_size: int, lr: float,
    loss: Any = book_cost, special: Mapping[str, Mapping[str, Any]] | None = None, **options: Any,
) -> Measured:  # fmt: skip
    """Each network from the same seed: gradients at the start by layer, the loss of every step, accuracy at the end.

    `special` are settings of single networks.
    """
    found: Measured = {}
    data = parts(scale)
    for name, make in networks.items():
        tw.manual_seed(seed)
        model = make()
        first = data.training.first(STARTING)
        norms = arriving_gradients(model, book_cost, tw.from_numpy(first.x), tw.from_numpy(first.y))
        settings: dict[str, Any] = {**options, **(special or {}).get(name, {})}
        trainer, history = fit(model, data.training, scale, seed, epochs=epochs, batch_size=batch_size, lr=lr,
                               loss=loss, **settings)  # fmt: skip
        found[name] = {
            "norms": plains(norms), "loss": curve(history.steps["loss"]),
            "accuracy": plain(accuracy(trainer, data.validation)),
        }  # fmt: skip
    return found
