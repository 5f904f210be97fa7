"""The paths that optimizers take over a loss of two parameters: the same start, the same steps, one picture.

In: a function of two tensors, a start, optimizers. Out: the paths as arrays, and a figure of them over the contours of
the loss. The paths are those of the library's optimizers, step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from thalweg.dtype import float64
from thalweg.errors import ArgumentError, explain
from thalweg.optim import SGD, Adagrad, Adam, RMSprop
from thalweg.optim.optimizer import Optimizer
from thalweg.report.pictures import COLOURS, GREY, figure
from thalweg.tensor.core import Tensor
from thalweg.tensor.creation import tensor
from thalweg.tensor.modes import no_grad

Loss = Callable[[Any, Any], Any]
Make = Callable[[list[Tensor]], Optimizer]
Area = tuple[tuple[float, float], tuple[float, float]]


def ravine(x: Any, y: Any) -> Any:
    """f(x, y) = x² / 20 + y²: a valley twenty times as steep across as along, with its lowest point at (0, 0)."""
    return x * x / 20 + y * y


OPTIMIZERS: dict[str, Make] = {
    "SGD": lambda weights: SGD(weights, lr=0.95),
    "momentum": lambda weights: SGD(weights, lr=0.1, momentum=0.9),
    "AdaGrad": lambda weights: Adagrad(weights, lr=1.5),
    "RMSprop": lambda weights: RMSprop(weights, lr=0.3),
    "Adam": lambda weights: Adam(weights, lr=0.3),
}
"""Each with a learning rate that suits it on `ravine`."""


def optimizer_paths(
    loss: Loss = ravine,
    start: tuple[float, float] = (-7.0, 2.0),
    steps: int = 60,
    optimizers: Mapping[str, Make] | None = None,
) -> dict[str, np.ndarray]:
    """The places that each optimizer passes, arrays (steps + 1, 2) by name.

    Args:
        loss: a function of two 0-d tensors that gives a 0-d tensor. Default: `ravine`.
        start: where all begin.
        steps: updates that each makes.
        optimizers: functions from the list of the two weights to an optimizer, by name. Default: SGD, SGD with
            momentum, AdaGrad, RMSprop and Adam, each with a rate that suits it on `ravine`.

    Raises:
        ArgumentError: fewer steps than one.

    After Goodfellow, Bengio and Courville 2016, "Deep learning", section 8.3 and 8.5.

    >>> paths = optimizer_paths(steps=2)
    >>> {name: path.shape for name, path in paths.items()}["Adam"]
    (3, 2)
    """
    if steps < 1:
        raise ArgumentError(explain("a path has at least one step", received=f"steps={steps}", expected="1 or more"))
    chosen = OPTIMIZERS if optimizers is None else optimizers
    return {name: _path(loss, start, steps, make) for name, make in chosen.items()}


def _path(loss: Loss, start: tuple[float, float], steps: int, make: Make) -> np.ndarray:
    weights = [tensor(float(each), dtype=float64, requires_grad=True) for each in start]
    optimizer = make(weights)
    places = [list(start)]
    for _ in range(steps):
        optimizer.zero_grad()
        loss(*weights).backward()
        optimizer.step()
        places.append([each.item() for each in weights])
    return np.array(places)


def draw_optimizer_paths(paths: Mapping[str, np.ndarray], loss: Loss = ravine, area: Area | None = None) -> Any:
    """A matplotlib figure of the paths over the contours of the loss, to be saved with ``.savefig("paths.svg")``.

    `area` is ((left, right), (low, high)); by default it holds every path. ImportError without matplotlib.

    >>> draw_optimizer_paths(optimizer_paths(steps=3))
    <Figure size 1152x672 with 1 Axes>
    """
    (left, right), (low, high) = _around(paths) if area is None else area
    x, y = np.meshgrid(np.linspace(left, right, 200), np.linspace(low, high, 200))
    with no_grad():
        heights = np.asarray(loss(tensor(x), tensor(y)).numpy())
    drawn, axes = figure(7.2, 4.2)
    axes.grid(False)
    bottom = heights - heights.min()
    levels = np.unique(np.quantile(bottom, np.linspace(0.01, 0.99, 16)))  # as many in the valley as on the slopes
    axes.contour(x, y, bottom, levels=levels, colors=GREY, linewidths=0.6)
    for place, (name, path) in enumerate(paths.items()):
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(*path.T, color=colour, marker="osD^v"[place % 5], markersize=3, linewidth=1.3, label=name)
    axes.plot(*next(iter(paths.values()))[0], color="#000000", marker="*", markersize=11, linestyle="none")
    axes.set(xlim=(left, right), ylim=(low, high), xlabel="first weight", ylabel="second weight")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(paths), fontsize=9)
    return drawn


def _around(paths: Mapping[str, np.ndarray]) -> Area:
    """All places with a margin; what flies off beyond ten times the start's distance does not widen the picture."""
    places = np.concatenate(list(paths.values()))
    reach = 10 * np.abs(places[0]).max() + 1
    places = places[(np.abs(places) <= reach).all(axis=1)]
    low, high = places.min(axis=0), places.max(axis=0)
    margin = 0.1 * np.maximum(high - low, 1e-3)
    (left, bottom), (right, top) = low - margin, high + margin
    return (float(left), float(right)), (float(bottom), float(top))
