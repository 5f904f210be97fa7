"""Small networks of every kind that watching must leave alone, and runs of them with and without it.

In: a name of `NETWORKS`. Out: a model with its data; what a run leaves behind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import thalweg as tw
import thalweg.nn.functional as F
from thalweg import nn

Data = tuple[np.ndarray, np.ndarray]


class Residual(nn.Module):
    """Two branches around which something leads, functional activations, a layer norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 16)
        self.branch = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16))
        self.norm = nn.LayerNorm(16)
        self.last = nn.Linear(16, 3)

    def forward(self, x: tw.Tensor) -> tw.Tensor:
        h = F.relu(self.first(x))
        return self.last(self.norm(h + self.branch(h)))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(24, 3),
    )  # fmt: skip


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 20), nn.Sigmoid(), nn.Linear(20, 3))


def wide() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 128), nn.ReLU(), nn.Linear(128, 100), nn.ReLU(), nn.Linear(100, 3))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "perceptron": (perceptron, (6,)),
    "wide": (wide, (6,)),
    "residual": (Residual, (6,)),
    "convolutional": (convolutional, (1, 8, 8)),
}


def data(shape: tuple[int, ...], count: int = 75) -> Data:
    generator = np.random.default_rng(3)
    return generator.normal(size=(count, *shape)).astype(np.float32), generator.integers(0, 3, count)


def trained(name: str, *callbacks: Any, epochs: int = 2, **options: Any) -> tw.Trainer:
    """A run with a shorter last batch, a validation part and a metric."""
    make, shape = NETWORKS[name]
    tw.manual_seed(1)
    trainer = tw.Trainer(make(), progress=False, metrics=["accuracy"], **{"lr": 0.01, **options})
    trainer.fit(data(shape), validation=data(shape, 20), epochs=epochs, batch_size=16, callbacks=callbacks)
    return trainer


def bits(trainer: tw.Trainer) -> dict[str, bytes]:
    """Weights, the optimizer's state and the losses, bit for bit."""
    found = {name: value.numpy().tobytes() for name, value in trainer.model.state_dict().items()}
    for parameter, state in trainer.optimizer.state.items():
        found |= {f"{id(parameter) * 0}{len(found)}{name}": each.numpy().tobytes() for name, each in state.items()}
    return found | {"losses": np.array(trainer.history.steps["loss"]).tobytes()}
