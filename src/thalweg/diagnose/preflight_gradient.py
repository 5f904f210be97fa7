"""Is the gradient of the whole network right? Backpropagation against the slope of the loss, parameter by parameter.

In: a trainer and a few examples. Out: for each parameter whose gradient is not the derivative of the loss, what
`tw.gradcheck` said. In float64, on a copy, along one random direction for each parameter: two evaluations of the loss
each, whatever the size of the network.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from thalweg import nn
from thalweg.diagnose.layers import without_passages
from thalweg.diagnose.looks import forward, settle
from thalweg.diagnose.parameters import random_numbers_kept
from thalweg.errors import GradientError
from thalweg.tensor import Tensor, from_numpy, grad, gradcheck

JITTER = 1e-3
"""The point is moved by so much of each parameter's size: biases of exactly 0 put rectifiers on their kink."""


def wrong_gradients(trainer: Any, x: Any, y: np.ndarray) -> dict[str, str]:
    """The parameters whose gradient is wrong, by name, each with what was received and expected.

    With v a random direction and L the loss, v · dL/dw by backpropagation must be (L(w + h v) - L(w - h v)) / 2h within
    a thousandth (h = 1e-6); all losses are divided by the largest of these slopes, so that their scale does not matter.

    >>> import thalweg as tw
    >>> trainer = tw.Trainer(nn.Linear(2, 1), "mse", progress=False)
    >>> wrong_gradients(trainer, np.ones((4, 2), np.float32), np.ones((4, 1), np.float32))
    {}
    """
    along = _Directions(trainer, x, y)
    found = {}
    with random_numbers_kept():
        scale = along.largest_slope()
        for name in along.names:
            try:
                gradcheck(lambda step, name=name: along.loss(name, step) / scale, Tensor(np.zeros(())))
            except GradientError as error:
                found[name] = " ".join(str(error).split())
    return found


class _Directions:
    """The loss of a network as a function of how far one parameter has gone in a random direction."""

    def __init__(self, trainer: Any, x: Any, y: np.ndarray) -> None:
        self.model = copy.deepcopy(trainer.model).double()
        without_passages(self.model)
        settle(self.model)
        self.objective, self.x = trainer.objective, _double(x)
        self.y = from_numpy(_double(y))
        self.names = [name for name, each in self.model.named_parameters() if each.requires_grad]
        random = np.random.default_rng(0)
        for each in self.model.parameters():
            values = each.detach().numpy() + JITTER * _size(each) * random.normal(size=each.shape)
            each.detach().copy_(Tensor(values))
        self.parameters = {name: self.model.get_parameter(name) for name in self.names}
        self.directions = {name: Tensor(_size(each) * random.normal(size=each.shape))
                           for name, each in self.parameters.items()}  # fmt: skip

    def loss(self, name: str, step: Any) -> Any:
        """With this parameter in the model replaced by itself + step · direction, wherever it stands."""
        own = self.parameters[name]
        places = [(module, key) for module in self.model.modules() for key, each in module._parameters.items()
                  if each is own]  # fmt: skip
        moved: Any = own.detach() + step * self.directions[name]
        try:
            _put(places, moved)
            return self.objective(forward(self.model, self.x), self.y)
        finally:
            _put(places, own)

    def largest_slope(self) -> float:
        """Of all directions; 1 where all are 0."""
        value = self.objective(forward(self.model, self.x), self.y)
        found = grad(value, list(self.parameters.values()), allow_unused=True) if value.requires_grad else ()
        slopes = [abs(float((each * self.directions[name]).sum().item()))
                  for name, each in zip(self.names, found, strict=False) if each is not None]  # fmt: skip
        return max([each for each in slopes if np.isfinite(each)], default=0.0) or 1.0


def _put(places: list[tuple[nn.Module, str]], value: Any) -> None:
    for module, key in places:
        module._parameters[key] = value


def _size(parameter: Any) -> float:
    """Root mean square of the entries; 1 for a parameter of zeros."""
    return float(np.sqrt(np.mean(np.square(parameter.detach().numpy(), dtype=np.float64)))) or 1.0


def _double(values: Any) -> Any:
    if isinstance(values, tuple):
        return tuple(_double(each) for each in values)
    return values.astype(np.float64) if values.dtype.kind == "f" else values
