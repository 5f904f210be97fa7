"""The network of a recipe, its optimizer and its schedule, built from settings as a user would write them by hand.

In: settings; the shape of an example and the number of outputs. Out: an `nn.Sequential` with named layers, an
optimizer, penalties; and a description of the network as plain values, from which a run folder builds it again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from thalweg import nn, optim
from thalweg.errors import ConfigurationError, FileFormatError, explain
from thalweg.optim import schedules
from thalweg.recipes.settings import ACTIVATIONS, GPT, TRANSFORMER, Settings

LAYERS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "selu": nn.SELU, "gelu": nn.GELU, "silu": nn.SiLU,
    "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "softplus": nn.Softplus,
}  # fmt: skip
T = TypeVar("T")
OUTPUT = "output"
SGD_MOMENTUM, USUAL_DECAY, USUAL_SCHEDULE = 0.9, 0.01, "one-cycle"
DECAYS_WEIGHTS_ALONE = (GPT, TRANSFORMER)


def plain_values(shape: Any) -> dict[str, Any]:
    """What config.json says about a network: its fields, tuples as lists."""
    values = {name: getattr(shape, name) for name in shape.__dataclass_fields__}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def described(kind: type[T], config: Any, where: str, tuples: Sequence[str], is_valid: Callable[[T], bool]) -> T:
    """The network that `plain_values` described; `tuples` are the fields that are some. FileFormatError otherwise."""
    try:
        values = {name: config[name] for name in kind.__dataclass_fields__}  # type: ignore[attr-defined]
        shape = kind(**values | {name: tuple(values[name]) for name in tuples})
        valid = is_valid(shape)
    except (TypeError, KeyError):
        valid = False
    if not valid:
        raise FileFormatError(
            explain("the description of the network is damaged", received=f"{config!r:.80}", where=where)
        )
    return shape


@dataclass(frozen=True)
class NetworkShape:
    """A multilayer perceptron in plain values: what config.json says about it.

    >>> NetworkShape(input_shape=(8, 8), layers=(32,), outputs=10).parameters
    2410
    """

    input_shape: tuple[int, ...]
    layers: tuple[int, ...]
    outputs: int
    activation: str = "relu"
    dropout: float = 0.0
    batch_norm: bool = False

    @property
    def inputs(self) -> int:
        return math.prod(self.input_shape)

    @property
    def widths(self) -> tuple[int, ...]:
        return (self.inputs, *self.layers, self.outputs)

    @property
    def parameters(self) -> int:
        linear = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(self.widths))
        return linear + (2 * sum(self.layers) if self.batch_norm else 0)

    def __str__(self) -> str:
        return "-".join(map(str, self.widths)) + f" {self.activation}"

    def to_config(self) -> dict[str, Any]:
        return plain_values(self)

    @classmethod
    def from_config(cls, config: Any, where: str) -> NetworkShape:
        """The shape that `to_config` described. Raises FileFormatError for anything else."""
        return described(cls, config, where, ("input_shape", "layers"), cls._is_valid)

    def _is_valid(self) -> bool:
        widths = (*self.input_shape, *self.layers, self.outputs)
        whole = all(type(width) is int and width > 0 for width in widths)
        return whole and self.activation in ACTIVATIONS and 0 <= self.dropout < 1


def network_shape(settings: Settings, input_shape: tuple[int, ...], outputs: int) -> NetworkShape:
    """What the settings say about the network, for this data."""
    assert settings.layers is not None
    assert settings.dropout is not None
    return NetworkShape(
        input_shape, settings.layers, outputs, settings.activation, settings.dropout, bool(settings.batch_norm)
    )


def build(shape: NetworkShape) -> nn.Sequential:
    """The network, freshly initialised from the default generator; its layers are hidden_1, ..., output.

    >>> build(NetworkShape(input_shape=(4,), layers=(3,), outputs=2))
    Sequential(
      (hidden_1): Linear(in_features=4, out_features=3, bias=True)
      (relu_1): ReLU()
      (output): Linear(in_features=3, out_features=2, bias=True)
    )
    """
    modules: dict[str, nn.Module] = {}
    if len(shape.input_shape) > 1:
        modules["flatten"] = nn.Flatten()
    for number, (fan_in, fan_out) in enumerate(pairwise((shape.inputs, *shape.layers)), 1):
        modules[f"hidden_{number}"] = nn.Linear(fan_in, fan_out)
        if shape.batch_norm:
            modules[f"norm_{number}"] = nn.BatchNorm1d(fan_out)
        modules[f"{shape.activation}_{number}"] = LAYERS[shape.activation]()
        if shape.dropout:
            modules[f"dropout_{number}"] = nn.Dropout(shape.dropout)
    modules[OUTPUT] = nn.Linear(shape.widths[-2], shape.outputs)
    return nn.Sequential(modules)


def check_weights(shape: NetworkShape, arrays: Mapping[str, np.ndarray], where: str) -> None:
    """Refuse weights that are not of this network, before a network of a size that a damaged file names is made."""
    widths = list(pairwise(shape.widths))
    names = [*(f"hidden_{number}" for number in range(1, len(widths))), OUTPUT]
    for name, (fan_in, fan_out) in zip(names, widths, strict=True):
        weight = arrays.get(f"{name}.weight")
        if weight is None or weight.shape != (fan_out, fan_in):
            raise FileFormatError(
                explain(
                    "the weights are not those of the network that config.json describes",
                    received=f"{name}.weight {'missing' if weight is None else f'of shape {weight.shape}'}",
                    expected=f"shape {(fan_out, fan_in)}",
                    where=where,
                    remedy="the files are of different runs: train again, or put the right ones together",
                )
            )


# --- how it learns ---------------------------------------------------------------------------------------------------


def make_optimizer(settings: Settings, model: nn.Module, steps_per_epoch: int) -> optim.Optimizer:
    """The optimizer, whose learning rate is the schedule over all steps of the run."""
    rate = learning_rate(settings, steps_per_epoch)
    decay = USUAL_DECAY if settings.weight_decay is None else settings.weight_decay
    parameters: Any = model.parameters()
    if settings.network in DECAYS_WEIGHTS_ALONE:
        weights, others = _by_axes(model)
        parameters = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
    momentum = SGD_MOMENTUM if settings.momentum is None and settings.optimizer == "sgd" else settings.momentum or 0.0
    if settings.momentum is not None and settings.optimizer not in ("sgd", "rmsprop"):
        raise ConfigurationError(
            explain(
                f"{settings.optimizer} has no momentum of this kind",
                received=f"momentum {settings.momentum:g}",
                expected="--optimizer sgd or rmsprop",
                where="--momentum",
                remedy="leave --momentum out, or choose sgd",
            )
        )
    if settings.optimizer == "sgd":
        return optim.SGD(parameters, lr=rate, momentum=momentum, weight_decay=decay)
    if settings.optimizer == "rmsprop":
        return optim.RMSprop(parameters, lr=rate, momentum=momentum, weight_decay=decay)
    kinds: dict[str, type[optim.Adam] | type[optim.Adagrad]] = {
        "adamw": optim.AdamW,
        "adam": optim.Adam,
        "adagrad": optim.Adagrad,
    }
    betas = {"betas": (0.9, 0.99)} if settings.network == GPT and settings.optimizer != "adagrad" else {}
    return kinds[settings.optimizer](parameters, lr=rate, weight_decay=decay, **betas)  # type: ignore[arg-type]


def _by_axes(model: nn.Module) -> tuple[list[Any], list[Any]]:
    """Matrices and embeddings, and all else: shifts and scales are not decayed by those who train language models."""
    parameters = list(model.parameters())
    return [each for each in parameters if each.ndim > 1], [each for each in parameters if each.ndim < 2]


def learning_rate(settings: Settings, steps_per_epoch: int) -> schedules.Schedule:
    """The course of the learning rate, cut to the length of the run.

    >>> learning_rate(Settings(recipe="digits", lr=0.1, epochs=2, schedule="polynomial"), 5).values(11)[[0, 5, 10]]
    array([0.1 , 0.05, 0.  ])
    """
    assert settings.lr is not None
    assert settings.epochs is not None
    lr, steps, third = settings.lr, settings.epochs * steps_per_epoch, math.ceil(settings.epochs / 3) * steps_per_epoch
    warmup = max(1, steps // 20)
    made: dict[str, schedules.Schedule] = {
        "one-cycle": schedules.OneCycle(lr, steps),
        "warmup-cosine": schedules.Chained(
            (
                schedules.LinearWarmup(lr, warmup, 1 / warmup),
                schedules.CosineAnnealing(lr, max(1, steps - warmup), lr / 10),
            ),
            (warmup,),
        ),
        "cosine": schedules.CosineAnnealing(lr, steps),
        "cosine-restarts": schedules.CosineWarmRestarts(lr, third),
        "constant": schedules.Constant(lr),
        "warmup": schedules.LinearWarmup(lr, warmup, 0.01),
        "step": schedules.StepDecay(lr, third, 0.1),
        "exponential": schedules.Exponential(lr, 0.01 ** (1 / steps)),
        "polynomial": schedules.Polynomial(lr, steps),
        "inverse-time": schedules.InverseTime(lr, 1.0, steps_per_epoch),
        "cyclical": schedules.Cyclical(lr / 10, lr, max(1, 2 * steps_per_epoch)),
    }
    return made[settings.schedule or USUAL_SCHEDULE]


def make_penalties(settings: Settings, model: nn.Module) -> list[optim.Penalty]:
    """The L1 and L2 penalties on the weights (not on biases) that were asked for."""
    kinds = ((optim.L1, settings.l1), (optim.L2, settings.l2))
    return [kind(strength, model.named_parameters(), only=optim.is_weight) for kind, strength in kinds if strength]
