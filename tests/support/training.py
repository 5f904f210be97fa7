"""Small things to train on, shared by the tests of the training room.

In: seeds. Out: data that a small network learns in a second, trainers that start from the same weights, and a counter
of evaluations.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import thalweg as tw
from thalweg import nn
from thalweg.tensor import lazy


def classes(count: int = 60, seed: int = 0, kinds: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Points in the plane, labelled by which of `kinds` directions they lie closest to; float64 and int64."""
    x = np.random.default_rng(seed).normal(size=(count, 2))
    angles = 2 * np.pi * np.arange(kinds) / kinds
    return x, (x @ np.stack([np.cos(angles), np.sin(angles)])).argmax(1)


def line(count: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A noiseless linear regression with targets of shape (count, 1)."""
    x = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    return x, x @ np.array([[1.0], [-2.0], [0.5]], np.float32) + 0.3


def network(inputs: int = 2, outputs: int = 3, hidden: int = 8, dropout: float = 0.0, seed: int = 0) -> nn.Sequential:
    tw.manual_seed(seed)
    middle = [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), *middle, nn.Linear(hidden, outputs))


def trainer(model: Any = None, **options: Any) -> tw.Trainer:
    """A silent trainer; by default a classifier of `classes()`."""
    options.setdefault("lr", 0.05 if "optimizer" not in options or isinstance(options["optimizer"], str) else None)
    return tw.Trainer(network() if model is None else model, progress=False, **options)


def weights(model: Any) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in model.state_dict().items()}


def same_bits(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def close(one: dict[str, np.ndarray], other: dict[str, np.ndarray], tolerance: float = 1e-5) -> bool:
    return all(np.abs(one[name] - other[name]).max() <= tolerance * np.abs(other[name]).max() for name in one)


def fitted(*callbacks: Any, model: Any = None, data: Any = None, **options: Any) -> tuple[Any, Any, Any]:
    """(weights, numbers of the epochs, numbers of the steps) of a small run with everything in it."""
    options.setdefault("metrics", ["accuracy", "macro_f1"])
    made = trainer(network(dropout=0.3) if model is None else model, clip_norm=1.0, **options)
    history = made.fit(classes(70) if data is None else data, epochs=3, batch_size=16, validation_split=0.2,
                       callbacks=callbacks)  # fmt: skip
    numbers = {name: values for name, values in history.history.items() if name != "seconds"}
    return weights(made.model), numbers, history.steps


def is_same(one: tuple[Any, Any, Any], other: tuple[Any, Any, Any]) -> bool:
    """Two results of `fitted`, bit for bit."""
    return same_bits(one[0], other[0]) and one[1:] == other[1:]


class CountEvaluations:
    """Counts how often pending work of more than a few operations is evaluated."""

    def __init__(self, monkeypatch: Any) -> None:
        self.count = 0
        compute = lazy.compute

        def counted(wanted: Any, *rest: Any) -> None:
            pending = [node for node in lazy.toposort(wanted, is_leaf=lazy.is_known) if node.value is None]
            self.count += len(pending) > 3
            compute(wanted, *rest)

        monkeypatch.setattr(lazy, "compute", counted)
