"""Whole epochs on our side: `Trainer.fit` on arrays, also with every layer watched.

In: a row of the family "fit" or "watched". Out: a function that trains for some epochs and gives the first one's mean
loss.
"""

from __future__ import annotations

from collections.abc import Callable

import thalweg as tw
from bench.datasets import examples
from bench.framework import LEARNING_RATE
from bench.models import network
from bench.peers.thalweg_framework import FRAMEWORK
from bench.workloads import Workload


def fit_of(workload: Workload, is_watched: bool = False) -> Callable[[int], float]:
    (x, y), model = examples(workload), _network(workload)
    x = x.reshape(len(x), 1, 28, 28) if workload.network else x
    optimizer = FRAMEWORK.adam(model.parameters(), LEARNING_RATE)
    callbacks = [tw.callbacks.Watch()] if is_watched else []
    trainer = tw.Trainer(model, workload.loss, optimizer, callbacks=callbacks, progress=False)

    def fit(epochs: int) -> float:
        return float(trainer.fit((x, y), epochs=epochs, batch_size=workload.batch)["loss"][0])

    return fit


def _network(workload: Workload) -> tw.nn.Module:
    if not workload.network:
        return network(FRAMEWORK, workload)
    tw.manual_seed(0)
    return tw.models.LeNet5(activation=tw.nn.ReLU, pooling=tw.nn.MaxPool2d)
