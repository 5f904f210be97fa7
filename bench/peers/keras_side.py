"""Keras' worker: `fit` on arrays, compiled by its JAX backend (KERAS_BACKEND names another).

In and out: bench/peers/worker.py. Where Keras is not installed the import fails, and the table leaves its column out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from bench.datasets import examples
from bench.framework import LEARNING_RATE
from bench.peers.worker import Library, Timed, main, repeated_epochs
from bench.workloads import Workload, weights

_STEPS_A_CALL = {"one step a call": 1, "16 steps a call": 16}


def describe() -> dict[str, Any]:
    return {"versions": {"keras": f"{keras.__version__} ({keras.backend.backend()} backend)"}}


def calibrate() -> dict[str, Any]:
    return {"flops": 0.0}  # no matrix product of its own


def network(workload: Workload) -> keras.Model:
    last = len(workload.layers) - 1
    layers = [
        keras.layers.Dense(m, activation=None if index == last else workload.activation)
        for index, (_, m) in enumerate(workload.layers)
    ]
    model = keras.Sequential([keras.Input((workload.sizes[0],)), *layers])
    model.set_weights([each for weight, bias in weights(workload) for each in (weight.T, bias)])
    return model


def build(workload: Workload, variant: str) -> Timed:
    if workload.family != "fit":
        raise ValueError(f"Keras has no rows of the family {workload.family}")
    return repeated_epochs(fit_of(workload, variant), workload)


def fit_of(workload: Workload, variant: str) -> Callable[[int], float]:
    x, y = examples(workload)
    model = network(workload)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizer=keras.optimizers.Adam(LEARNING_RATE),
        loss=cross_entropy if workload.loss == "cross_entropy" else "mse",
        steps_per_execution=_STEPS_A_CALL[variant],
    )

    def fit(epochs: int) -> float:
        return float(model.fit(x, y, batch_size=workload.batch, epochs=epochs, verbose=0).history["loss"][0])

    return fit


if __name__ == "__main__":
    main(Library(describe, calibrate, build))
