"""Whole epochs on our side: `Trainer.fit` on arrays.

In: a row of the family "fit". Out: a function that trains for some epochs and gives the first one's mean loss.
"""

from __future__ import annotations

from collections.abc import Callable

import thalweg as tw
from bench.datasets import examples
from bench.framework import LEARNING_RATE
from bench.models import network
from bench.peers.thalweg_framework import FRAMEWORK
from bench.workloads import Workload


def fit_of(workload: Workload) -> Callable[[int], float]:
    x, y = examples(workload)
    model = network(FRAMEWORK, workload)
    optimizer = FRAMEWORK.adam(model.parameters(), LEARNING_RATE)
    trainer = tw.Trainer(model, workload.loss, optimizer, progress=False)

    def fit(epochs: int) -> float:
        return float(trainer.fit((x, y), epochs=epochs, batch_size=workload.batch)["loss"][0])

    return fit
