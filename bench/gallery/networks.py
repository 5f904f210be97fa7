"""The networks of the gallery: perceptrons of one width, with any activation, normalisation and skip connections.

In: sizes. Out: modules; functions that give them their first weights; and the gradient that arrives at each layer,
which tells how fast it learns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import thalweg.nn.functional as F
from bench.gallery.data import CLASSES
from thalweg import nn

PIXELS = 784


class Block(nn.Module):
    """activation(norm(W x + b)), and with a skip connection x + that."""

    def __init__(
        self, inputs: int, width: int, activation: Callable[[], nn.Module], is_normalised: bool, has_skip: bool
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, width)
        self.norm = nn.BatchNorm1d(width) if is_normalised else nn.Identity()
        self.activation = activation()
        self.has_skip = has_skip and inputs == width

    def forward(self, x: Any) -> Any:
        y = self.activation(self.norm(self.linear(x)))
        return x + y if self.has_skip else y


def deep(
    hidden: int,
    width: int,
    activation: Callable[[], nn.Module] = nn.Sigmoid,
    *,
    is_normalised: bool = False,
    has_skips: bool = False,
) -> nn.Sequential:
    """784, so many hidden layers of one width, 10 scores."""
    sizes = [PIXELS, *[width] * hidden]
    blocks = [Block(inputs, width, activation, is_normalised, has_skips) for inputs in sizes[:-1]]
    return nn.Sequential(*blocks, nn.Linear(width, CLASSES))


# --- first weights ---------------------------------------------------------------------------------------------------


def started(model: nn.Sequential, weight: Callable[[Any], object], bias: Callable[[Any], object]) -> nn.Sequential:
    for module in model.modules():
        if isinstance(module, nn.Linear):
            weight(module.weight)
            bias(module.bias)
    return model


def as_in_the_book(model: nn.Sequential) -> nn.Sequential:
    """Nielsen 2015, chapter 3: weights from N(0, 1/fan_in), biases from N(0, 1)."""
    return started(model, lambda w: nn.init.normal_(w, 0.0, w.shape[1] ** -0.5), nn.init.normal_)


def as_he(model: nn.Sequential) -> nn.Sequential:
    """Weights from N(0, 2/fan_in), biases 0."""
    return started(model, lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"), nn.init.zeros_)


def as_glorot(model: nn.Sequential) -> nn.Sequential:
    """Weights from N(0, 2/(fan_in + fan_out)), biases 0."""
    return started(model, nn.init.xavier_normal_, nn.init.zeros_)


def with_spread(model: nn.Sequential, spread: float) -> nn.Sequential:
    """Weights from N(0, spread²) whatever the layer's size, biases 0."""
    return started(model, lambda w: nn.init.normal_(w, 0.0, spread), nn.init.zeros_)


# --- loss and gradient -----------------------------------------------------------------------------------------------


def book_cost(scores: Any, labels: Any) -> Any:
    """Nielsen's cross-entropy: of each output's sigmoid by itself, summed over outputs, mean over examples."""
    wanted = F.one_hot(labels, CLASSES).to(scores.dtype)
    return F.binary_cross_entropy_with_logits(scores, wanted, reduction="sum") / scores.shape[0]


def arriving_gradients(model: nn.Sequential, cost: Callable[..., Any], x: Any, y: Any) -> list[float]:
    """How large the gradient is that arrives at each hidden layer's sums W x + b: its norm, mean square over images.

    Not the gradient of the bias, which is its mean over images: a batch normalisation behind the sums makes that zero.
    """
    sums: list[Any] = []

    def keep(module: nn.Module, given: Any, result: Any) -> None:
        result.retain_grad()
        sums.append(result)

    handles = [block.linear.register_forward_hook(keep) for block in model[:-1]]
    cost(model(x), y).backward()
    for handle in handles:
        handle.remove()
    model.zero_grad()
    return [len(x) ** 0.5 * float(np.linalg.norm(each.grad.numpy().astype(np.float64))) for each in sums]
