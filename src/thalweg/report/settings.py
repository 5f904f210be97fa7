"""What `thalweg explain` is asked to work out: sizes, activation, loss, rate, and the numbers to start from.

In: the flags as given, None where not given. Out: a complete `Setting`, or a `ConfigurationError` that names the flag.
Layers 2,2,2 with sigmoid are the public textbook case (Mazur 2015, "A step by step backpropagation example").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import thalweg.nn.functional as F
from thalweg.errors import ConfigurationError, explain
from thalweg.tensor.core import Tensor
from thalweg.tensor.random import Generator, rand

TEXTBOOK_LAYERS = (2, 2, 2)
TEXTBOOK_WEIGHTS = (0.15, 0.20, 0.25, 0.30, 0.40, 0.45, 0.50, 0.55)
TEXTBOOK_BIASES = (0.35, 0.35, 0.60, 0.60)


def _identity(x: Tensor) -> Tensor:
    return x


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": F.sigmoid,
    "tanh": F.tanh,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "softplus": F.softplus,
    "identity": _identity,
}
LOSSES = ("mse", "cross_entropy")
# Bounded activations serve as outputs too, as in the textbook; behind the others the outputs stay as they are.
_BOUNDED = ("sigmoid", "tanh")


@dataclass(frozen=True)
class Setting:
    """Everything that the example needs; weights run layer by layer, unit by unit, input by input."""

    layers: tuple[int, ...]
    activation: str
    output_activation: str
    loss: str
    rate: float
    steps: int
    inputs: tuple[float, ...]
    targets: tuple[float, ...]
    weights: tuple[float, ...]
    biases: tuple[float, ...]
    freeze_biases: bool
    origin: str


def complete(
    layers: Sequence[int] = TEXTBOOK_LAYERS,
    activation: str = "sigmoid",
    output_activation: str | None = None,
    loss: str = "mse",
    rate: float = 0.5,
    steps: int = 1,
    inputs: Sequence[float] | None = None,
    targets: Sequence[float] | None = None,
    weights: Sequence[float] | None = None,
    biases: Sequence[float] | None = None,
    freeze_biases: bool | None = None,
    seed: int | None = None,
) -> Setting:
    """Fill in what was not given, and check what was.

    >>> complete().weights[:3], complete(layers=(3, 1), seed=1).freeze_biases
    ((0.15, 0.2, 0.25), False)
    """
    sizes = tuple(layers)
    _check_choices(sizes, activation, output_activation, loss, rate, steps)
    is_textbook = sizes == TEXTBOOK_LAYERS and (activation, loss, seed) == ("sigmoid", "mse", None)
    if output_activation is None:
        output_activation = activation if loss == "mse" and activation in _BOUNDED else "identity"
    weights_wanted = sum(a * b for a, b in pairwise(sizes))
    drawn, drawn_biases = _start(sizes, activation, 0 if seed is None else seed, is_textbook)
    return Setting(
        sizes,
        activation,
        output_activation,
        loss,
        float(rate),
        steps,
        _numbers("--inputs", inputs, tuple(0.05 * (k + 1) for k in range(sizes[0])), sizes[0]),
        _targets(targets, loss, sizes[-1]),
        _numbers("--weights", weights, drawn, weights_wanted),
        _numbers("--biases", biases, drawn_biases, sum(sizes[1:])),
        is_textbook if freeze_biases is None else freeze_biases,
        "the textbook case" if is_textbook and weights is None else _origin(weights, seed),
    )


def _origin(weights: Sequence[float] | None, seed: int | None) -> str:
    return "given weights" if weights is not None else f"weights drawn from seed {seed or 0}"


def _start(sizes: tuple[int, ...], activation: str, seed: int, is_textbook: bool) -> tuple[Any, Any]:
    """Weights and biases to start from: the textbook's, or drawn as Glorot or He drew them, to two decimals."""
    if is_textbook:
        return TEXTBOOK_WEIGHTS, TEXTBOOK_BIASES
    generator = Generator(seed)
    weights: list[float] = []
    for fan_in, fan_out in pairwise(sizes):
        bound = math.sqrt(6 / (fan_in + fan_out if activation in _BOUNDED else fan_in))
        draws = rand(fan_in * fan_out, generator=generator).tolist()
        weights += [round((2 * each - 1) * bound, 2) for each in draws]
    return tuple(weights), (0.0,) * sum(sizes[1:])


def _targets(targets: Sequence[float] | None, loss: str, count: int) -> tuple[float, ...]:
    if loss == "mse":
        return _numbers("--targets", targets, tuple((0.01, 0.99)[k % 2] for k in range(count)), count)
    given = _numbers("--targets", targets, tuple(float(k == 0) for k in range(count)), count)
    if min(given) < 0 or abs(sum(given) - 1) > 1e-9:
        raise ConfigurationError(
            explain("--targets: cross-entropy compares probabilities", received=_listed(given),
                    expected="numbers of at least 0 that add up to 1, such as 1,0", remedy="or choose --loss mse")
        )  # fmt: skip
    return given


def _numbers(flag: str, given: Sequence[float] | None, default: Sequence[float], count: int) -> tuple[float, ...]:
    values = tuple(default if given is None else given)
    if len(values) != count:
        raise ConfigurationError(
            explain(f"{flag} does not fit --layers", received=f"{len(values)} numbers", expected=f"{count} numbers",
                    remedy="weights run layer by layer, unit by unit, input by input" if flag == "--weights" else None)
        )  # fmt: skip
    if not all(map(math.isfinite, values)):
        raise ConfigurationError(explain(f"{flag} must be finite numbers", received=_listed(values)))
    return tuple(float(each) for each in values)


def _listed(values: Sequence[float]) -> str:
    return ",".join(f"{each:g}" for each in values)


def _check_choices(
    sizes: tuple[int, ...], activation: str, output_activation: str | None, loss: str, rate: float, steps: int
) -> None:
    if len(sizes) < 2 or min(sizes) < 1:
        raise ConfigurationError(
            explain("--layers needs the sizes of at least two layers", received=",".join(map(str, sizes)) or "nothing",
                    expected="inputs, hidden units, ..., outputs, such as 2,2,2")
        )  # fmt: skip
    for flag, name in (("--activation", activation), ("--output-activation", output_activation)):
        if name is not None and name not in ACTIVATIONS:
            raise ConfigurationError(explain(f"{flag}: unknown name", received=name, expected=", ".join(ACTIVATIONS)))
    if loss not in LOSSES:
        raise ConfigurationError(explain("--loss: unknown name", received=loss, expected=" or ".join(LOSSES)))
    if not (math.isfinite(rate) and rate > 0):
        raise ConfigurationError(explain("--rate must be a positive number", received=rate))
    if steps < 1:
        raise ConfigurationError(explain("--steps must be at least 1", received=steps))
