"""Paths of optimizers over a loss of two parameters: those of the library, step by step.

In: losses, starts. Out: arrays that agree with formulas and with each other, and a figure.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from thalweg.errors import ArgumentError
from thalweg.report import draw_optimizer_paths, optimizer_paths
from thalweg.report.paths import OPTIMIZERS, ravine


def test_descent_follows_its_formula():
    found = optimizer_paths(start=(4.0, -2.0), steps=5, optimizers={"SGD": lambda w: tw.optim.SGD(w, lr=0.5)})["SGD"]
    factors = np.array([1 - 0.5 / 10, 1 - 0.5 * 2])  # of x^2 / 20 + y^2
    np.testing.assert_allclose(found, [np.array([4.0, -2.0]) * factors**k for k in range(6)], rtol=1e-12)


def test_all_begin_at_the_start_and_end_nearer_to_the_lowest_point():
    for path in optimizer_paths().values():
        assert path.shape == (61, 2)
        np.testing.assert_array_equal(path[0], [-7.0, 2.0])
        assert ravine(*path[-1]) < 0.01 * ravine(*path[0])


def test_each_has_a_character_of_its_own():
    paths = optimizer_paths()
    turns = {name: int((np.diff(np.sign(path[:30, 1])) != 0).sum()) for name, path in paths.items()}
    assert turns["SGD"] > 20  # from wall to wall
    assert turns["AdaGrad"] == 0  # each weight by its own scale: straight down
    assert 0 < turns["Adam"] < turns["SGD"]
    assert list(paths) == list(OPTIMIZERS)


def test_a_loss_of_ones_own_is_drawn():
    pytest.importorskip("matplotlib")

    def rosenbrock(x, y):
        return (1 - x) ** 2 + 100 * (y - x * x) ** 2

    paths = optimizer_paths(rosenbrock, (-1.0, 1.0), 20, {"Adam": lambda w: tw.optim.Adam(w, lr=0.1)})
    drawn = draw_optimizer_paths(paths, rosenbrock, area=((-2, 2), (-1, 3)))
    assert drawn.axes[0].get_xlim() == (-2.0, 2.0)
    flown = {"SGD": np.array([[1.0, 1.0], [1e9, -1e9]])}
    assert abs(draw_optimizer_paths(flown).axes[0].get_xlim()[1]) < 100


def test_no_step_is_refused():
    with pytest.raises(ArgumentError, match="at least one step"):
        optimizer_paths(steps=0)
