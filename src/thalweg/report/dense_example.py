"""One training step of a network too large to write out number by number: the same story, array by array.

In: a `Setting`. Out: text, of one example. The layers are `nn.Linear` modules in float64; the update is that of
`optim.SGD`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

import thalweg.nn.functional as F
from thalweg.dtype import float64
from thalweg.nn.containers import Sequential
from thalweg.nn.linear import Linear
from thalweg.nn.module import Module
from thalweg.optim import SGD
from thalweg.report.columns import number
from thalweg.report.explanation import Explanation
from thalweg.report.settings import ACTIVATIONS, Setting
from thalweg.tensor.creation import tensor


class Activation(Module):
    """A function with a place of its own in the network, so that it is a layer in the text."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Any) -> Any:
        return ACTIVATIONS[self.name](x)


def network_of(setting: Setting) -> Sequential:
    """Linear layers with the weights of the setting, and the activations behind them."""
    modules: list[Module] = []
    weights, biases = np.array(setting.weights), np.array(setting.biases)
    names = [setting.activation] * (len(setting.layers) - 2) + [setting.output_activation]
    for (fan_in, fan_out), name in zip(pairwise(setting.layers), names, strict=True):
        layer = Linear(fan_in, fan_out).double()
        layer.load_state_dict(
            {"weight": weights[: fan_in * fan_out].reshape(fan_out, fan_in), "bias": biases[:fan_out]}
        )
        assert layer.bias is not None
        layer.bias.requires_grad_(not setting.freeze_biases)
        weights, biases = weights[fan_in * fan_out :], biases[fan_out:]
        modules += [layer] if name == "identity" else [layer, Activation(name)]
    return Sequential(*modules)


def loss_of(network: Sequential, setting: Setting) -> Any:
    outputs: Any = network(tensor([setting.inputs], dtype=float64))
    targets = tensor([setting.targets], dtype=float64)
    if setting.loss == "mse":
        squares: Any = F.mse_loss(outputs, targets, reduction="sum")
        return 0.5 * squares
    return F.cross_entropy(outputs, targets)


def example_of(setting: Setting, network: Sequential) -> tuple[Explanation, SGD]:
    """The first step of the network, taken apart, and the optimizer that makes it."""
    optimizer = SGD([each for each in network.parameters() if each.requires_grad], lr=setting.rate)
    names = {each.node: name for name, each in network.named_parameters()}
    return Explanation(loss_of(network, setting), names, optimizer), optimizer


def tell(setting: Setting) -> tuple[str, Explanation]:
    """Both passes over the arrays, and the losses that follow; and the step as data."""
    network = network_of(setting)
    explanation, optimizer = example_of(setting, network)
    losses = [explanation.loss]
    for _ in range(setting.steps):
        optimizer.zero_grad()
        loss_of(network, setting).backward()
        optimizer.step()
        losses.append(loss_of(network, setting).item())
    sizes = "-".join(map(str, setting.layers))
    head = f"Backpropagation through layers {sizes}, {setting.activation}, {setting.loss} ({setting.origin})"
    updates = ", ".join(f"{number(each)} after {k}" for k, each in enumerate(losses[1:], 1) if k in (1, setting.steps))
    after = f"AFTER IT\n  loss {number(losses[0])} before, {updates} updates"
    return "\n\n".join([head, str(explanation), after]), explanation
