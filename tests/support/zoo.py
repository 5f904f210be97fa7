"""A fixed zoo of steps: small training steps of every kind that the compiler must do well, always the same.

In: a name. Out: the compiled step after its first call, as the program that was traced. Golden loop text and the tests
of the interpretation and of THALWEG_VALIDATE go over it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

import thalweg as tw
import thalweg.nn.functional as F
from thalweg import nn, optim
from thalweg.compile.program import Program

Build = Callable[[], tuple[Any, tuple[tw.Tensor, ...]]]


def training_step(model: nn.Module, optimizer: Any, loss: Callable[..., tw.Tensor]) -> Callable[..., tw.Tensor]:
    def step(x: tw.Tensor, y: tw.Tensor) -> tw.Tensor:
        optimizer.zero_grad()
        result = loss(model(x), y)
        result.backward()
        optimizer.step()
        return result

    return step


def rows(*shape: int, seed: int = 0) -> tw.Tensor:
    return tw.tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def classes(count: int, many: int) -> tw.Tensor:
    return tw.tensor(np.arange(count) % many)


def mlp_adam() -> tuple[Any, tuple[tw.Tensor, ...]]:
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
    step = training_step(model, optim.Adam(model.parameters(), lr=1e-3), F.mse_loss)
    return step, (rows(32, 13), rows(32, 1, seed=1))


def mlp_batch_norm_dropout() -> tuple[Any, tuple[tw.Tensor, ...]]:
    model = nn.Sequential(nn.Linear(20, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Dropout(0.2), nn.Linear(48, 10))
    step = training_step(model, optim.Adam(model.parameters(), lr=1e-3), F.cross_entropy)
    return step, (rows(24, 20), classes(24, 10))


def deep_tanh() -> tuple[Any, tuple[tw.Tensor, ...]]:
    layers = [each for _ in range(4) for each in (nn.Linear(16, 16), nn.Tanh())]
    model = nn.Sequential(*layers, nn.Linear(16, 1))
    step = training_step(model, optim.SGD(model.parameters(), lr=1e-3), F.mse_loss)
    return step, (rows(16, 16), rows(16, 1, seed=1))


def momentum_sgd() -> tuple[Any, tuple[tw.Tensor, ...]]:
    model = nn.Linear(30, 7)
    optimizer = optim.SGD(model.parameters(), lr=1e-2, momentum=0.9, weight_decay=1e-4, nesterov=True)
    return training_step(model, optimizer, F.mse_loss), (rows(12, 30), rows(12, 7, seed=1))


def softmax_cross_entropy() -> tuple[Any, tuple[tw.Tensor, ...]]:
    def step(x: tw.Tensor, y: tw.Tensor) -> tuple[tw.Tensor, ...]:
        x.requires_grad_()
        loss = F.cross_entropy(x, y)
        return loss, *tw.grad(loss, x)

    return step, (rows(9, 100), classes(9, 100))


def layer_norm() -> tuple[Any, tuple[tw.Tensor, ...]]:
    norm = nn.LayerNorm(40)

    def step(x: tw.Tensor, g: tw.Tensor) -> tuple[tw.Tensor, ...]:
        x.requires_grad_()
        return tw.grad((norm(x) * g).sum(), [x, norm.weight, norm.bias])

    return step, (rows(11, 40), rows(11, 40, seed=1))


def embedding() -> tuple[Any, tuple[tw.Tensor, ...]]:
    model = nn.Sequential(nn.Embedding(50, 12), nn.Flatten(), nn.Linear(36, 5))
    step = training_step(model, optim.SGD(model.parameters(), lr=0.1), F.cross_entropy)
    return step, (classes(24, 50).reshape(8, 3), classes(8, 5))


class Block(nn.Module):
    """A residual block: two convolutions with batch norm, and the way around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.first_norm, self.second_norm = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x: tw.Tensor) -> tw.Tensor:
        y = self.first_norm(self.first(x)).relu()
        return (self.second_norm(self.second(y)) + x).relu()


def lenet() -> tuple[Any, tuple[tw.Tensor, ...]]:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 10, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(10, 10),
    )  # fmt: skip
    step = training_step(model, optim.SGD(model.parameters(), lr=0.1), F.cross_entropy)
    return step, (rows(6, 1, 8, 8), classes(6, 10))


def residual_block() -> tuple[Any, tuple[tw.Tensor, ...]]:
    model = nn.Sequential(Block(8), nn.Conv2d(8, 16, 1, stride=2))
    step = training_step(model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9), F.mse_loss)
    return step, (rows(2, 8, 6, 6), rows(2, 16, 3, 3, seed=1))


def depthwise() -> tuple[Any, tuple[tw.Tensor, ...]]:
    model = nn.Sequential(nn.Conv2d(12, 12, 3, stride=2, padding=1, groups=12), nn.ReLU6(), nn.Conv2d(12, 5, 1))
    step = training_step(model, optim.SGD(model.parameters(), lr=0.1), F.mse_loss)
    return step, (rows(2, 12, 7, 5), rows(2, 5, 4, 3, seed=1))


ZOO: dict[str, Build] = {
    each.__name__: each
    for each in (
        mlp_adam, mlp_batch_norm_dropout, deep_tanh, momentum_sgd, softmax_cross_entropy, layer_norm, embedding, lenet,
        residual_block, depthwise,
    )
}  # fmt: skip


@cache
def compiled_step(name: str) -> Any:
    """The step of that name, compiled and called once."""
    tw.manual_seed(0)
    function, arguments = ZOO[name]()
    step = tw.compile(function)
    step(*arguments)
    return step


def program_of(name: str) -> Program:
    """What was traced."""
    (compiled,) = compiled_step(name)._programs.values()
    program: Program = compiled.program
    return program
