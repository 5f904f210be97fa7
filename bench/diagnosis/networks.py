"""The network of a case: layers by kind, started as the case says.

In: a case and the shape of one input (channels first, or features). Out: an `nn.Sequential` that ends in what its loss
wants: scores where softmax or sigmoid is computed together with the loss, otherwise the case's own output activation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from thalweg import nn
from thalweg.nn import functional as F
from thalweg.nn import init
from thalweg.tensor import no_grad

Shape = tuple[int, ...]
FORGET = 1  # the place of the forget gate among the four that PyTorch's layout has: input, forget, cell, output
TRUNCATED_SPREAD = 0.87962566  # the standard deviation of a normal distribution cut at two standard deviations


class WaitingError(NotImplementedError):
    """A case needs a layer that Thalweg does not have."""


class Function(nn.Module):
    """An activation that is no module of `nn`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Any) -> Any:
        return x.exp()

    def extra_repr(self) -> str:
        return self.name


class ChannelNorm(nn.Module):
    """Layer normalisation of images over their channels, which the schema has as last axis."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-5)

    def forward(self, x: Any) -> Any:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Residual(nn.Module):
    """x + f(x), then an activation."""

    def __init__(self, branch: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.branch, self.activation = branch, activation

    def forward(self, x: Any) -> Any:
        return self.activation(x + self.branch(x))


class LastState(nn.Module):
    """A recurrent layer of which the last state goes on, as Keras has it unless it is asked for all."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any) -> Any:
        outputs, _ = self.layer(x)
        return outputs[:, -1]


def activation(name: str, axis: int = 1) -> nn.Module:
    made: dict[str, Callable[[], nn.Module]] = {
        "linear": nn.Identity, "relu": nn.ReLU, "leaky_relu": lambda: nn.LeakyReLU(0.1), "elu": nn.ELU,
        "selu": nn.SELU, "gelu": nn.GELU, "swish": nn.SiLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh,
        "softmax": lambda: nn.Softmax(axis), "exponential": lambda: Function("exp"),
    }  # fmt: skip
    return made[name]()


def start(tensor: Any, given: Any) -> None:
    """Write initial values; a vector of n entries has fan_in = fan_out = n."""
    settings = {"name": given} if isinstance(given, str) else dict(given)
    name = settings.pop("name")
    if name in ("zeros", "ones", "constant"):
        init.constant_(tensor, settings.get("value", 1.0 if name == "ones" else 0.0))
    elif name == "uniform":
        init.uniform_(tensor, settings["low"], settings["high"])
    elif name == "normal":
        init.normal_(tensor, settings.get("mean", 0.0), settings["std"])
    elif name == "truncated_normal":
        cut_normal(tensor, settings["std"])
    elif name == "orthogonal":
        init.orthogonal_(tensor)
    elif name == "identity":
        init.eye_(tensor)
    else:
        by_fan(tensor, name)


def by_fan(tensor: Any, name: str) -> None:
    family, _, form = name.partition("_")
    fan_in, fan_out = init.fans(tensor) if tensor.ndim > 1 else (tensor.shape[0],) * 2
    std = math.sqrt({"he": 2 / fan_in, "lecun": 1 / fan_in, "glorot": 2 / (fan_in + fan_out)}[family])
    if form == "normal":
        cut_normal(tensor, std / TRUNCATED_SPREAD)
    else:
        init.uniform_(tensor, -math.sqrt(3) * std, math.sqrt(3) * std)


def cut_normal(tensor: Any, std: float) -> None:
    init.trunc_normal_(tensor, 0.0, std, -2 * std, 2 * std)


class Builder:
    """Layers one after another, with the shape that each hands to the next and the penalties that they carry."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.penalised: list[tuple[float, Any]] = []

    def sequence(self, layers: Sequence[dict[str, Any]]) -> nn.Sequential:
        return nn.Sequential(*[module for layer in layers for module in self.layer(layer)])

    def layer(self, layer: dict[str, Any]) -> list[nn.Module]:
        made = getattr(self, layer["kind"], None)
        if made is None:
            raise WaitingError(f"no layer {layer['kind']}")
        return made(layer)  # type: ignore[no-any-return]

    def dense(self, layer: dict[str, Any]) -> list[nn.Module]:
        first: list[nn.Module] = [] if len(self.shape) == 1 else self.flatten(layer)
        return [*first, *self._weighted(nn.Linear(self.shape[0], layer["units"]), layer, (layer["units"],))]

    def conv2d(self, layer: dict[str, Any]) -> list[nn.Module]:
        channels, height, width = self.shape
        kernel, padding = layer["kernel"], layer.get("padding", "valid")
        less = kernel - 1 if padding == "valid" else 0
        made = nn.Conv2d(channels, layer["filters"], kernel, padding=padding)
        return self._weighted(made, layer, (layer["filters"], height - less, width - less))

    def _weighted(self, made: Any, layer: dict[str, Any], shape: Shape) -> list[nn.Module]:
        start(made.weight, layer.get("init", "glorot_uniform"))
        start(made.bias, layer.get("bias_init", "zeros"))
        if layer.get("l2"):
            self.penalised.append((layer["l2"], made.weight))
        if layer.get("trainable") is False:
            made.requires_grad_(False)
        self.shape = shape
        name = layer.get("activation", "linear")
        return [made] if name == "linear" else [made, activation(name)]

    def simple_rnn(self, layer: dict[str, Any]) -> list[nn.Module]:
        nonlinearity = layer.get("activation", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise WaitingError(f"no recurrent layer with {nonlinearity}")
        made = nn.RNN(self.shape[-1], layer["units"], nonlinearity=nonlinearity, batch_first=True)
        return self._recurrent(made, layer)

    def lstm(self, layer: dict[str, Any]) -> list[nn.Module]:
        made: Any = nn.LSTM(self.shape[-1], layer["units"], batch_first=True)
        found = self._recurrent(made, layer)
        with no_grad():
            made.bias_ih_l0.reshape(4, -1)[FORGET] = layer.get("forget_bias", 0.0)
        return found

    def gru(self, layer: dict[str, Any]) -> list[nn.Module]:
        return self._recurrent(nn.GRU(self.shape[-1], layer["units"], batch_first=True), layer)

    def _recurrent(self, made: Any, layer: dict[str, Any]) -> list[nn.Module]:
        """Kernels are started as one matrix for all gates, biases at zero."""
        start(made.weight_ih_l0, layer.get("init", "glorot_uniform"))
        start(made.weight_hh_l0, layer.get("recurrent_init", "orthogonal"))
        for bias in (made.bias_ih_l0, made.bias_hh_l0):
            start(bias, layer.get("bias_init", "zeros"))
        if layer.get("l2"):
            self.penalised.append((layer["l2"], made.weight_ih_l0))
        if layer.get("trainable") is False:
            made.requires_grad_(False)
        self.shape = (layer["units"],)
        return [LastState(made)]

    def maxpool2d(self, layer: dict[str, Any]) -> list[nn.Module]:
        return self._pooled(nn.MaxPool2d(layer["size"]), layer)

    def avgpool2d(self, layer: dict[str, Any]) -> list[nn.Module]:
        return self._pooled(nn.AvgPool2d(layer["size"]), layer)

    def _pooled(self, made: nn.Module, layer: dict[str, Any]) -> list[nn.Module]:
        self.shape = (self.shape[0], *(each // layer["size"] for each in self.shape[1:]))
        return [made]

    def flatten(self, layer: dict[str, Any]) -> list[nn.Module]:
        self.shape = (math.prod(self.shape),)
        return [nn.Flatten()]

    def activation(self, layer: dict[str, Any]) -> list[nn.Module]:
        return [activation(layer["activation"])]

    def dropout(self, layer: dict[str, Any]) -> list[nn.Module]:
        return [nn.Dropout(layer["rate"])]

    def batchnorm(self, layer: dict[str, Any]) -> list[nn.Module]:
        kind = nn.BatchNorm1d if len(self.shape) == 1 else nn.BatchNorm2d
        return [kind(self.shape[0], eps=1e-3, momentum=0.1)]  # 0.9 of the running value is kept

    def layernorm(self, layer: dict[str, Any]) -> list[nn.Module]:
        return [nn.LayerNorm(self.shape[0], eps=1e-5) if len(self.shape) == 1 else ChannelNorm(self.shape[0])]

    def residual(self, layer: dict[str, Any]) -> list[nn.Module]:
        return [Residual(self.sequence(layer["layers"]), activation(layer.get("activation", "linear")))]


def is_fused(case: dict[str, Any]) -> bool:
    """Whether softmax or sigmoid is computed together with the loss, from scores."""
    name, units = case["output"]["activation"], case["output"]["units"]
    return (case["loss"] == "categorical_cross_entropy" and name == "softmax" and units > 1) or (
        case["loss"] == "binary_cross_entropy" and name == "sigmoid"
    )


def network(case: dict[str, Any], shape: Shape) -> tuple[nn.Sequential, list[tuple[float, Any]]]:
    """The model and what it penalises: (strength, kernel) pairs."""
    builder = Builder(shape)
    output = {"kind": "dense", **case["output"]}
    if is_fused(case):
        output["activation"] = "linear"
    return builder.sequence([*case["layers"], output]), builder.penalised


def probabilities(case: dict[str, Any], outputs: np.ndarray) -> np.ndarray:
    """What the case's own output activation would give: the metric's predictions, from the model's outputs."""
    if not is_fused(case):
        return outputs
    if case["output"]["activation"] == "sigmoid":
        return F.sigmoid(outputs).numpy()  # type: ignore[no-any-return]
    return F.softmax(outputs, 1).numpy()  # type: ignore[no-any-return]
