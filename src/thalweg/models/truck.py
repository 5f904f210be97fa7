"""The truck backer-upper: a controller learns to back a truck to a dock, through a simulator that it can see through.

In: where a truck with its trailer stands. Out: how a two-layer network has steered it, step by step, to the dock or
past it. The simulator is differentiable, so the error at the dock is carried back through every step to the weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.nn import Linear, Module
from thalweg.tensor import Tensor, scan, stack, where, zeros

CAB, TRAILER = 6.0, 14.0
"""Lengths in metres: from the front axle to the coupling, and from the coupling to the end of the trailer."""
STRIDE = 1.0
"""Metres that the front wheels roll back in a step."""
MOST_STEERING = math.radians(70)
FIELD = (100.0, 35.0)
"""Starts lie up to so many metres in front of the dock, and to either side of it."""
MOST_FOLDED = 0.35
"""Radians between cab and trailer at the start, at most."""


@dataclass(frozen=True)
class Dock:
    """When a truck counts as docked: how far beside the middle its trailer ends, in metres, and how far turned."""

    beside: float = 1.0
    turned: float = 0.1


class TruckBackerUpper(Module):
    """A truck, and a network that steers it backwards: (n, 4) starts become (n, 4) ends.

    A state is (x, y, trailer, cab): the end of the trailer in metres in front of and beside the dock, the angle of the
    trailer against the axis of the dock, and that of the cab against the trailer, in radians. In each step the front
    wheels, turned by u, roll back r = 1 m:

        x' = x - r cos(u) cos(cab) cos(trailer)        trailer' = trailer - arctan(r cos(u) sin(cab) / 14)
        y' = y - r cos(u) cos(cab) sin(trailer)        cab' + trailer' = cab + trailer - arctan(r sin(u) / 6)

    A truck stops when the end of its trailer passes the dock (x <= 0), or when cab and trailer fold up (90 degrees).
    The controller is `hidden` tanh units and one output: u = 70 degrees * tanh(...).

    Args:
        hidden: units of the controller, default 25 as in the paper.
        steps: how many steps a truck may take, default 220: twice the way from the far end of the field.

    Source: Nguyen and Widrow (1989), "The truck backer-upper: an example of self-learning in neural networks".

    >>> import thalweg as tw
    >>> truck = tw.models.TruckBackerUpper(steps=3)
    >>> truck(tw.tensor([[50.0, 0.0, 0.0, 0.0]])).shape
    (1, 4)
    """

    def __init__(self, hidden: int = 25, steps: int = 220) -> None:
        super().__init__()
        if steps < 1:
            raise ArgumentError(explain("TruckBackerUpper: a truck takes steps", received=f"steps={steps}", expected=1))
        self.steps = steps
        self.inner, self.outer = Linear(6, hidden), Linear(hidden, 1)

    def steering(self, x: Any, y: Any, trailer: Any, cab: Any) -> Any:
        """The angle of the front wheels in radians, (n,)."""
        seen = [x / 50, y / 25, trailer.sin(), trailer.cos(), cab.sin(), cab.cos()]
        return self.outer(self.inner(stack(seen, 1)).tanh()).tanh()[:, 0] * MOST_STEERING

    def forward(self, starts: Tensor) -> Tensor:
        """Where the trucks stand in the end."""
        return self._driven(starts)[0]

    def path(self, starts: Tensor) -> Tensor:
        """Every state on the way, (steps, n, 4), the first one included."""
        return self._driven(starts)[1]

    def _driven(self, starts: Any) -> tuple[Tensor, Tensor]:
        if starts.ndim != 2 or starts.shape[1] != 4:
            raise ShapeError(
                explain("TruckBackerUpper: a start is four numbers", received=f"shape {starts.shape}",
                        expected="(n, 4): x, y, angle of the trailer, angle of the cab against it")
            )  # fmt: skip
        first = tuple(starts[:, i] for i in range(4))
        last, path = scan(lambda state, _: (self._moved(*state), stack(list(state), 1)), first, length=self.steps)
        return stack(list(last), 1), path

    def _moved(self, x: Any, y: Any, trailer: Any, cab: Any) -> tuple[Any, ...]:
        wheels = self.steering(x, y, trailer, cab)
        pull = wheels.cos() * STRIDE
        back, swing = pull * cab.cos(), (pull * cab.sin() / TRAILER).atan()
        turned = (wheels.sin() * STRIDE / CAB).atan()
        moved = (x - back * trailer.cos(), y - back * trailer.sin(), trailer - swing, cab - turned + swing)
        goes_on = (x > 0) & (cab.cos() > 0)
        return tuple(where(goes_on, new, old) for new, old in zip(moved, (x, y, trailer, cab), strict=True))


def docking_loss(ends: Any, dock: Any = None) -> Any:
    """How far trucks are from the dock: the mean of log(1 + (x / 5)^2 + (y / 5)^2 + (trailer / 0.3)^2).

    The logarithm keeps the trucks that went far astray from outweighing those that nearly made it; x only counts where
    the truck stopped before the dock. `dock` (n, 3) is where to go, zeros by default.
    """
    goal: Any = zeros(1, 3, dtype=ends.dtype) if dock is None else dock
    x, y, trailer = (ends[:, i] - goal[:, i] for i in range(3))
    error = (x.clamp(min=0) / 5) ** 2 + (y / 5) ** 2 + (trailer / 0.3) ** 2
    return (error + 1).log().mean()


def docked(ends: Any, dock: Dock = Dock()) -> np.ndarray:
    """Which trucks stand at the dock, bool (n,): arrived, at most 1 m beside it and 0.1 radians turned by default."""
    x, y, trailer, _ = np.asarray(ends.detach().numpy() if isinstance(ends, Tensor) else ends, np.float64).T
    return np.asarray((x <= 0) & (abs(y) <= dock.beside) & (abs(trailer) <= dock.turned))


def truck_starts(count: int, generator: np.random.Generator, difficulty: float = 1.0) -> np.ndarray:
    """Random starts, float32 (n, 4): uniform in the half of the field that is farther from the dock.

    With a `difficulty` below 1 the field, and the angle of the trailer (up to 90 degrees), are so much smaller: Nguyen
    and Widrow's lessons, which begin near the dock.
    """
    if not 0 < difficulty <= 1:
        raise ArgumentError(explain("truck_starts: difficulty", received=difficulty, expected="above 0, at most 1"))
    return starts_at(generator.uniform(size=(4, count)).T, difficulty)


def starts_at(places: np.ndarray, difficulty: float = 1.0) -> np.ndarray:
    """The starts for numbers in [0, 1), (n, 4): where along, how far beside, how the trailer and the cab are turned."""
    along, beside, trailer, cab = np.asarray(places, np.float64).T
    x, y = (0.5 + along / 2) * FIELD[0] * difficulty, (2 * beside - 1) * FIELD[1] * difficulty
    turned = (2 * trailer - 1) * math.pi / 2 * difficulty
    return np.stack([x, y, turned, (2 * cab - 1) * MOST_FOLDED], 1).astype(np.float32)
