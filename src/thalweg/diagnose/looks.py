"""A look at a network at one moment: what each layer puts out for a sample of examples, and what gradient it gets.

In: a model, its loss, a sample of the training data. Out: a `Look` with a `LayerLook` for each layer that has weights.
It is taken on a copy, in training mode but without dropout, so the run goes on as if nobody had looked. A `Looker`
takes many, as one program for both passes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thalweg import nn
from thalweg.diagnose.layers import BOUNDS, Layer, Passage, Sight
from thalweg.errors import TraceError
from thalweg.tensor import Tensor, from_numpy, grad
from thalweg.tensor import compile as compiled
from thalweg.tensor.lazy import compute
from thalweg.tensor.random import default_generator
from thalweg.tensor.tree import flatten

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
    over_time: tuple[float, ...] = ()
    """Of a recurrent layer: root mean square of the gradient of what it was given, at each step of the sequences."""

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
    """Forward and backward on a copy of the model, once: a `Looker` is for more.

    >>> import numpy as np
    >>> from thalweg import nn
    >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> x = np.ones((4, 3), np.float32)
    >>> seen = look(model, nn.MSELoss(), Sample(x, np.zeros((4, 1), np.float32)), 0)
    >>> [(each.path, each.layer.activation) for each in seen.layers]
    [('0', 'ReLU'), ('2', None)]
    """
    return Looker(model, loss, sample, penalties, compiles=False).look(epoch)


class Looker:
    """Looks at one network again and again: a copy of it, and both passes as a compiled function of the sample.

    What could make compiled steps compile again is done once, when it is made: before the run's own step is traced.
    Without `compiles` each look is evaluated on NumPy, which costs less where there are few.

    >>> import numpy as np
    >>> from thalweg import nn
    >>> model, x = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1)), np.ones((4, 3), np.float32)
    >>> looker = Looker(model, nn.MSELoss(), Sample(x, np.zeros((4, 1), np.float32)))
    >>> before = looker.look(0)
    >>> _ = nn.init.zeros_(model[2].weight)
    >>> before.layers[0].gradient > 0, looker.look(1).layers[0].gradient
    (True, 0.0)
    """

    def __init__(
        self, model: nn.Module, loss: Callable[[Any, Any], Any], sample: Sample, penalties: Any = (),
        compiles: bool = True,
    ) -> None:  # fmt: skip
        self.source, self.loss, self.sample, self.compiles = model, loss, sample, compiles
        self._own_penalties = list(penalties)
        self._prepare()

    def _prepare(self) -> None:
        self._state = _structure(self.source)
        self.model, self.penalties = copy.deepcopy((self.source, self._own_penalties))
        settle(self.model)
        self._passage = Passage(self.model)
        self._seen = _Seen()
        self._passes: Callable[..., Any] = compiled(self._both_passes) if self.compiles else self._both_passes

    def look(self, epoch: int) -> Look:
        """The network as it is now."""
        if _structure(self.source) != self._state:
            self._passage.close()
            self._prepare()
        else:
            self.model.load_state_dict(self.source.state_dict())
        random_state = default_generator.get_state()
        prediction, value, outputs, gradients, of_given, of_penalties = _as_arrays(self._run())
        if default_generator.get_state() != random_state:  # the model draws random numbers without a layer for it
            default_generator.set_state(random_state)
        layers = [_layer(layer, self.model, output, gradients, of_given.get(layer.path))
                  for layer, output in zip(self._seen.layers, outputs, strict=True)]  # fmt: skip
        is_finite = bool(np.isfinite(prediction).all() and math.isfinite(value)) and _all_finite(self.model)
        return Look(
            epoch, layers, float(value), prediction, is_finite=is_finite,
            penalty_gradient=_share(_norm(of_penalties.values()), _norm(gradients.values())) if self.penalties else 0.0,
            has_normalised_input=self._seen.has_normalised_input, **self._seen.output,
        )  # fmt: skip

    def _run(self) -> Any:
        x = tuple(map(from_numpy, self.sample.x)) if isinstance(self.sample.x, tuple) else from_numpy(self.sample.x)
        try:
            found = self._passes(x, from_numpy(self.sample.y))
        except TraceError:  # a model that decides by values is looked at without compiling it
            self._passes = self._both_passes
            self._passage.forget()
            found = self._passes(x, from_numpy(self.sample.y))
        compute([each.node for each in flatten(found)[0]], may_compile=False)  # what is still pending, all at once
        return found

    def _both_passes(self, x: Any, y: Any) -> Any:
        """Prediction, loss, outputs of the layers with weights; gradients of the loss, also by what recurrent layers
        were given, steps first, and of the penalties."""
        prediction = self.model(*x) if isinstance(x, tuple) else self.model(x)
        sights = self._passage.sights(prediction)
        weighted = [each for each in sights if _is_weighted(each.layer)]
        self._seen = _Seen([each.layer for each in weighted], _meets_normalisation(sights), _output(sights, prediction))
        value = self.loss(prediction, y)
        penalty = sum((each() for each in self.penalties[1:]), self.penalties[0]()) if self.penalties else None
        return (
            prediction.detach(), value.detach(), [each.output.detach() for each in weighted],
            *self._gradients(value, weighted), self._gradients(penalty)[0],
        )  # fmt: skip

    def _gradients(self, value: Any, sights: Sequence[Sight] = ()) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """By parameters, and by what recurrent layers were given."""
        trained = {name: each for name, each in self.model.named_parameters() if each.requires_grad}
        if not isinstance(value, Tensor) or not value.requires_grad or not trained:
            return {}, {}
        given = {each.layer.path: each for each in sights if each.given is not None}
        known = [each.given for each in given.values() if each.given is not None]  # all: mypy sees it here
        found = grad(value, [*trained.values(), *known], allow_unused=True)
        own = {name: each.detach() for name, each in zip(trained, found, strict=False) if each is not None}
        return own, {path: each.transpose(0, given[path].steps_axis).detach()
                     for path, each in zip(given, found[len(trained) :], strict=True) if each is not None}  # fmt: skip


@dataclass
class _Seen:
    """What the passes have shown of the network's form, the same at every look."""

    layers: list[Layer] = field(default_factory=list)
    has_normalised_input: bool = False
    output: dict[str, Any] = field(default_factory=dict)


def _structure(model: nn.Module) -> list[tuple[str, int, bool]]:
    """What a copy of the model, and what was compiled of it, depend on."""
    return [(name, id(each), each.requires_grad) for name, each in model.named_parameters()]


def _as_arrays(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {name: _as_arrays(each) for name, each in value.items()}
    return [_as_arrays(each) for each in value]


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


def _layer(
    layer: Layer, model: nn.Module, output: np.ndarray, gradients: Mapping[str, np.ndarray],
    of_given: np.ndarray | None = None,
) -> LayerLook:  # fmt: skip
    own = {name: model.get_parameter(name) for name, _ in layer.parameters}
    kernels = [_rows(each.detach().numpy()) for each in own.values() if each.ndim >= 2]
    rows = kernels[0]
    output = _by_unit(output, layer.unit_axis)
    return LayerLook(
        layer, any(each.requires_grad for each in own.values()), rows.shape[1], len(rows), output.shape[2],
        _root_mean_square([rows]), _equal_units(np.hstack([each for each in kernels if len(each) == len(rows)])),
        _root_mean_square([gradients[name] for name in own if name in gradients]), _root_mean_square([output]),
        _variation(output), float((output.max(axis=(0, 2)) <= 0).mean()) if layer.is_rectified else 0.0,
        _saturated(output, layer), () if of_given is None else tuple([_root_mean_square([each]) for each in of_given]),
    )  # fmt: skip


def _rows(kernel: np.ndarray) -> np.ndarray:
    """A unit's weights in a row."""
    return kernel.reshape(len(kernel), -1)


def _equal_units(rows: np.ndarray) -> float:
    """Share of the rows that are another one's again; -0 is 0."""
    return 1 - len({row.tobytes() for row in rows + 0.0}) / len(rows) if len(rows) > 1 else 0.0


def _by_unit(output: np.ndarray, unit_axis: int) -> np.ndarray:
    """(examples, units, positions)."""
    by_unit = np.moveaxis(output, unit_axis, 1) if output.ndim > 1 else output[:, None]
    return by_unit.reshape(*by_unit.shape[:2], -1)


def _root_mean_square(arrays: Sequence[np.ndarray]) -> float:
    size = sum(each.size for each in arrays)
    return _norm(arrays) / math.sqrt(size) if size else 0.0


def _variation(output: np.ndarray) -> float:
    """Of the mean square, the share about the mean over examples: 1 - mean square of that mean / mean square."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = output.mean(axis=0, dtype=np.float64)
        total = _norm([output]) ** 2 / len(output)
        return max(0.0, 1 - float((mean**2).sum()) / total) if total > 0 else 0.0


def _saturated(output: np.ndarray, layer: Layer) -> float:
    if layer.bounds is None:
        return 0.0
    low, high = layer.bounds
    margin = NEAR_BOUND * (high - low)
    return float(((output < low + margin) | (output > high - margin)).mean())


def _share(penalties: float, data: float) -> float:
    return penalties / data if data > 0 else math.inf


def _norm(arrays: Iterable[np.ndarray]) -> float:
    """Square root of the sum of all squares; a product of a vector with itself takes a third of the time of squares."""
    with np.errstate(over="ignore", invalid="ignore"):
        return math.sqrt(sum(_sum_of_squares(each) for each in arrays))


def _sum_of_squares(array: np.ndarray) -> float:
    flat = array.reshape(-1)
    found = float(np.dot(flat, flat))
    return found if 1e-30 < found < 1e30 else float(np.square(flat, dtype=np.float64).sum())  # beyond float32's range


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
