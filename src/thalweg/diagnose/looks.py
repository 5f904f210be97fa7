"""A look at a network at one moment: what each layer puts out for a sample of examples, and what gradient it gets.

In: a model, its loss, a sample of the training data. Out: a `Look` with a `LayerLook` for each layer that has weights.
It is taken on a copy, in training mode but without dropout, so the run goes on as if nobody had looked.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thalweg import nn
from thalweg.diagnose.layers import BOUNDS, Layer, Passage, Sight
from thalweg.tensor import from_numpy

OUTPUT_BOUNDS = BOUNDS | {"Softmax": (0.0, 1.0), "ReLU": (0.0, math.inf), "ReLU6": (0.0, 6.0)}
"""What a last activation can give."""
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d)
NEAR_BOUND = 0.05
"""Within 5 % of the range of a bound: there a sigmoid or tanh has less than a fifth of its slope."""


@dataclass
class LayerLook:
    """One layer with weights, in the order of the forward pass."""

    layer: Layer
    is_trainable: bool
    fan_in: int
    units: int
    positions: int
    """Outputs of a unit for one example: 1 in a dense layer, pixels in a convolution."""
    weight: float
    """Root mean square of the weights."""
    equal_units: float
    """Share of the units whose weights are those of another unit."""
    gradient: float
    """Root mean square of the gradient of the layer's own parameters."""
    output: float
    """Root mean square of the outputs, after the activation."""
    variation: float
    """Share of the outputs' mean square that differs from example to example."""
    dead: float
    """Share of the units (channels) of a rectifier that are zero for all examples; 0 where there is no rectifier."""
    saturated: float
    """Share of the outputs of a bounded activation that lie near a bound; 0 where it is not bounded."""

    @property
    def path(self) -> str:
        return self.layer.path

    @property
    def gain(self) -> float:
        """weight · √fan_in: what the layer does to the size of a random signal; 1 to √2 keeps it."""
        return self.weight * math.sqrt(self.fan_in)

    @property
    def cost(self) -> float:
        """Multiplications for one example, forward and twice as many backward."""
        return 3.0 * self.fan_in * self.units * self.positions


@dataclass
class Look:
    """All layers at one moment."""

    epoch: int
    """Whole epochs trained so far."""
    layers: list[LayerLook]
    loss: float
    outputs: np.ndarray
    validation_outputs: np.ndarray | None = None
    is_finite: bool = True
    penalty_gradient: float = 0.0
    """Norm of the penalties' gradient over that of the data's."""
    has_normalised_input: bool = False
    output_activation: str | None = None
    output_bounds: tuple[float, float] = field(default=(-math.inf, math.inf))


@dataclass
class Sample:
    """Examples to look at, as the model and the loss take them."""

    x: Any
    y: np.ndarray
    x_validation: Any = None
    y_validation: np.ndarray | None = None


def look(model: nn.Module, loss: Callable[[Any, Any], Any], sample: Sample, epoch: int, penalties: Any = ()) -> Look:
    """Forward and backward on a copy of the model.

    >>> import numpy as np
    >>> from thalweg import nn
    >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> x = np.ones((4, 3), np.float32)
    >>> seen = look(model, nn.MSELoss(), Sample(x, np.zeros((4, 1), np.float32)), 0)
    >>> [(each.path, each.layer.activation) for each in seen.layers]
    [('0', 'ReLU'), ('2', None)]
    """
    model, penalties = copy.deepcopy((model, list(penalties)))
    settle(model)
    passage = Passage(model)
    prediction = forward(model, sample.x)
    sights = passage.sights(prediction)
    passage.close()
    value = loss(prediction, from_numpy(sample.y))
    model.zero_grad()
    value.backward()
    gradients = {name: each.grad.numpy() for name, each in model.named_parameters() if each.grad is not None}
    outputs = prediction.detach().numpy()
    return Look(
        epoch, [_layer(each, model, gradients) for each in sights if _is_weighted(each.layer)], float(value.item()),
        outputs, is_finite=bool(np.isfinite(outputs).all() and math.isfinite(value.item()) and _all_finite(model)),
        penalty_gradient=_penalty_share(model, gradients, penalties), has_normalised_input=_meets_normalisation(sights),
        **_output(sights, prediction), )  # fmt: skip


def settle(model: nn.Module) -> None:
    """Training mode, so that batch statistics are those of the sample; but no dropout."""
    model.train()
    for module in model.modules():
        if isinstance(module, DROPOUTS):
            module.eval()


def forward(model: nn.Module, x: Any) -> Any:
    return model(*map(from_numpy, x)) if isinstance(x, tuple) else model(from_numpy(x))


def _all_finite(model: nn.Module) -> bool:
    return all(np.isfinite(each.detach().numpy()).all() for each in model.parameters())


def _is_weighted(layer: Layer) -> bool:
    """Whether it multiplies by a matrix or a kernel, which normalisations do not."""
    return any(len(shape) >= 2 for _, shape in layer.parameters)


def _layer(sight: Sight, model: nn.Module, gradients: Mapping[str, np.ndarray]) -> LayerLook:
    layer = sight.layer
    own = {name: model.get_parameter(name) for name, _ in layer.parameters}
    kernel = next(each for each in own.values() if each.ndim >= 2)
    rows = kernel.detach().numpy().astype(np.float64).reshape(len(kernel), -1)
    gradient = [gradients[name].reshape(-1) for name in own if name in gradients]
    output = _by_unit(sight.output.detach().numpy(), layer.unit_axis)
    return LayerLook(
        layer, any(each.requires_grad for each in own.values()), rows.shape[1], len(rows), output.shape[2],
        _root_mean_square(rows), 1 - len(np.unique(rows, axis=0)) / len(rows) if len(rows) > 1 else 0.0,
        _root_mean_square(np.concatenate(gradient)) if gradient else 0.0, _root_mean_square(output), _variation(output),
        float((output <= 0).all(axis=(0, 2)).mean()) if layer.is_rectified else 0.0, _saturated(output, layer),
    )  # fmt: skip


def _by_unit(output: np.ndarray, unit_axis: int) -> np.ndarray:
    """(examples, units, positions)."""
    by_unit = np.moveaxis(output, unit_axis, 1) if output.ndim > 1 else output[:, None]
    return by_unit.reshape(*by_unit.shape[:2], -1).astype(np.float64)


def _root_mean_square(values: np.ndarray) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def _variation(output: np.ndarray) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.mean(output**2)
        return float(np.mean(np.var(output, axis=0)) / total) if total > 0 else 0.0


def _saturated(output: np.ndarray, layer: Layer) -> float:
    if layer.bounds is None:
        return 0.0
    low, high = layer.bounds
    margin = NEAR_BOUND * (high - low)
    return float(((output < low + margin) | (output > high - margin)).mean())


def _penalty_share(model: nn.Module, gradients: Mapping[str, np.ndarray], penalties: Sequence[Any]) -> float:
    if not penalties:
        return 0.0
    model.zero_grad()
    sum((penalty() for penalty in penalties[1:]), penalties[0]()).backward()
    own = _norm([each.grad.numpy() for each in model.parameters() if each.grad is not None])
    data = _norm(list(gradients.values()))
    return own / data if data > 0 else math.inf


def _norm(arrays: list[np.ndarray]) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return math.sqrt(sum(float(np.sum(np.square(each, dtype=np.float64))) for each in arrays))


def _meets_normalisation(sights: Sequence[Sight]) -> bool:
    """Whether inputs pass a normalisation before the first weights act on them, or right behind these."""
    return any(not _is_weighted(each.layer) for each in sights[:2])


def _output(sights: Sequence[Sight], prediction: Any) -> dict[str, Any]:
    """The last activation, where the prediction comes straight out of it, and what it can give."""
    name = sights[-1].layer.activation if sights and sights[-1].output.node is prediction.node else None
    if name is None:
        return {}
    bounds = OUTPUT_BOUNDS.get(name, (-math.inf, math.inf))
    is_single = name == "Softmax" and prediction.shape[1] == 1
    return {"output_activation": name, "output_bounds": (1.0, 1.0) if is_single else bounds}
