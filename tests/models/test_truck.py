"""The truck backer-upper: its movements against geometry and the equations of the paper, and that it learns.

In: starts, steering angles. Out: lengths that do not change, straight lines, circles; a smaller loss.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import thalweg as tw
from thalweg import optim
from thalweg.errors import ArgumentError, ShapeError
from thalweg.models import TruckBackerUpper, docked, docking_loss, truck_starts
from thalweg.models.truck import CAB, TRAILER


def steered(angle: float, steps: int) -> TruckBackerUpper:
    """A truck whose wheels always stand at one angle."""
    truck = TruckBackerUpper(steps=steps)
    truck.steering = lambda x, y, trailer, cab: x * 0 + angle
    return truck


def end(truck: TruckBackerUpper, *start: float) -> np.ndarray:
    return truck(tw.tensor([list(start)], dtype="float64")).detach().numpy()[0]


def test_a_straight_truck_backs_straight():
    np.testing.assert_allclose(end(steered(0.0, 30), 50.0, 3.0, 0.0, 0.0), [20.0, 3.0, 0.0, 0.0], atol=1e-12)
    x, y, trailer, cab = end(steered(0.0, 10), 50.0, 0.0, 0.5, 0.0)
    np.testing.assert_allclose([x, y], [50 - 10 * math.cos(0.5), -10 * math.sin(0.5)], atol=1e-12)
    assert (trailer, cab) == (0.5, 0.0)


@pytest.mark.parametrize("angle", [-0.5, 0.1, 0.6])
def test_a_step_is_that_of_the_paper(angle):
    """The absolute angles of Nguyen and Widrow, whose arctangents hold while both are less than a right angle."""
    x, y, trailer, relative = 40.0, 5.0, 0.3, 0.2
    cab = trailer + relative
    a = math.cos(angle)
    b, c = a * math.cos(cab - trailer), a * math.sin(cab - trailer)
    new_cab = math.atan((CAB * math.sin(cab) - math.cos(cab) * math.sin(angle))
                        / (CAB * math.cos(cab) + math.sin(cab) * math.sin(angle)))  # fmt: skip
    new_trailer = math.atan((TRAILER * math.sin(trailer) - c * math.cos(trailer))
                            / (TRAILER * math.cos(trailer) + c * math.sin(trailer)))  # fmt: skip
    expected = [x - b * math.cos(trailer), y - b * math.sin(trailer), new_trailer, new_cab - new_trailer]
    np.testing.assert_allclose(end(steered(angle, 1), x, y, trailer, relative), expected, atol=1e-12)


def test_a_truck_stops_behind_the_dock_and_when_it_folds_up():
    x, *_ = end(steered(0.0, 100), 10.4, 0.0, 0.0, 0.0)
    assert -1 < x <= 0
    *_, cab = end(steered(1.0, 100), 90.0, 0.0, 0.0, 0.0)
    assert math.pi / 2 <= abs(cab) < math.pi / 2 + 0.3


def test_the_path_begins_at_the_start_and_leads_to_the_end():
    tw.manual_seed(0)
    truck, starts = TruckBackerUpper(steps=20), tw.tensor(truck_starts(5, np.random.default_rng(0)))
    path = truck.path(starts).detach().numpy()
    assert path.shape == (20, 5, 4)
    np.testing.assert_array_equal(path[0], starts.numpy())


def test_what_counts_as_docked():
    ends = np.array([[-0.5, 0.9, 0.05, 0.0], [0.1, 0, 0, 0], [0, 1.1, 0, 0], [0, 0, 0.2, 0]])
    assert docked(ends).tolist() == [True, False, False, False]


def test_backpropagation_through_the_simulator_teaches_the_controller():
    tw.manual_seed(0)
    draw, truck = np.random.default_rng(0), TruckBackerUpper(steps=40)
    optimizer = optim.Adam(truck.parameters(), lr=0.01)

    @tw.compile
    def step(starts):
        optimizer.zero_grad()
        loss = docking_loss(truck(starts))
        loss.backward()
        optimizer.step()
        return loss

    losses = [step(tw.tensor(truck_starts(64, draw, 0.2))).item() for _ in range(150)]
    assert np.mean(losses[-10:]) < 0.4 * np.mean(losses[:10])


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: TruckBackerUpper()(tw.zeros(2, 3)), ShapeError),
        (lambda: TruckBackerUpper(steps=0), ArgumentError),
        (lambda: truck_starts(3, np.random.default_rng(0), 0.0), ArgumentError),
    ],
    ids=["three numbers", "no steps", "no difficulty"],
)
def test_bad_input_is_refused(call, error):
    with pytest.raises(error):
        call()
