"""What losses do, found by trying them: named losses and a user's own, good ones and wrong ones.

In: a loss, targets, the bounds of the output. Out: the facts that rules read.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from thalweg.diagnose.behaviour import Behaviour, behaviour
from thalweg.diagnose.tasks import task_of
from thalweg.nn import functional as F

FREE, UNIT = (-math.inf, math.inf), (0.0, 1.0)
RANDOM = np.random.default_rng(0)
NUMBERS = RANDOM.uniform(0, 1, (60, 1)).astype(np.float32)
LABELS = RANDOM.integers(0, 4, 60)
ONE_HOT = np.eye(4, dtype=np.float32)[LABELS]
BINARY = RANDOM.integers(0, 2, (60, 1)).astype(np.float32)


def tried(loss: Any, targets: np.ndarray, outputs: int, bounds: tuple[float, float] = FREE) -> Behaviour:
    return behaviour(loss, task_of(targets, outputs), targets, bounds)


def of_probabilities(p: Any, t: Any) -> Any:
    return -(t * p.clamp(1e-7, 1 - 1e-7).log()).sum(1).mean()


SANE: dict[str, tuple[Any, np.ndarray, int, tuple[float, float]]] = {
    "mse": (F.mse_loss, NUMBERS, 1, FREE),
    "mae": (F.l1_loss, NUMBERS, 1, FREE),
    "huber": (F.huber_loss, NUMBERS, 1, FREE),
    "mse of large numbers": (F.mse_loss, NUMBERS * 1e6, 1, FREE),
    "mse behind sigmoid": (F.mse_loss, NUMBERS, 1, UNIT),
    "cross-entropy": (F.cross_entropy, LABELS, 4, FREE),
    "bce with scores": (F.binary_cross_entropy_with_logits, BINARY, 1, FREE),
    "bce of probabilities": (F.binary_cross_entropy, BINARY, 1, UNIT),
    "cross-entropy of probabilities": (of_probabilities, ONE_HOT, 4, UNIT),
}


@pytest.mark.parametrize("name", SANE)
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_a_fitting_pair_of_output_and_loss_has_no_odd_behaviour(name: str, scale: float) -> None:
    loss, targets, outputs, bounds = SANE[name]
    found = tried(lambda p, t: loss(p, t) * scale, targets, outputs, bounds)
    assert found.guessing > 0
    assert found.pairs_matter
    assert found.has_floor
    assert found.better_than_targets < 1e-3
    assert found.left_over < 0.01


def test_guessing_is_the_entropy_of_the_labels_and_the_variance_of_numbers() -> None:
    share = np.bincount(LABELS) / len(LABELS)
    assert tried(F.cross_entropy, LABELS, 4).guessing == pytest.approx(-(share * np.log(share)).sum(), rel=1e-4)
    assert tried(F.mse_loss, NUMBERS, 1).guessing == pytest.approx(NUMBERS.var(), rel=1e-4)


def test_softmax_before_a_loss_that_applies_it_leaves_loss_over() -> None:
    left = tried(F.cross_entropy, LABELS, 4, UNIT).left_over
    assert left == pytest.approx(math.log(1 + 3 / math.e) / math.log(4), rel=0.05)


def test_bounds_that_exclude_targets_leave_loss_over() -> None:
    assert tried(F.mse_loss, 4 * NUMBERS - 2, 1, UNIT).left_over > 0.2
    assert tried(F.mse_loss, NUMBERS, 1, (1.0, 1.0)).left_over > 1


def test_shapes_that_broadcast_make_pairs_meaningless() -> None:
    assert not tried(lambda p, t: ((p - t.reshape(-1)) ** 2).mean(), NUMBERS, 1).pairs_matter


def test_signed_labels_take_the_floor_away() -> None:
    def with_scores(p: Any, t: Any) -> Any:
        return (p.clamp(min=0.0) - p * t + F.softplus(-p.abs())).mean()

    assert tried(with_scores, BINARY, 1).has_floor
    assert not tried(with_scores, 2 * BINARY - 1, 1).has_floor


def test_cross_entropy_of_numbers_prefers_other_outputs() -> None:
    found = tried(lambda p, t: -(t * p.clamp(1e-10, 1.0).log()).mean(), NUMBERS, 1)
    assert found.better_than_targets > 0.1


@pytest.mark.parametrize(("loss", "is_squared"), [(F.mse_loss, True), (of_probabilities, False), (F.l1_loss, False)])
def test_squared_error_on_classes_is_known_by_its_gradient(loss: Any, is_squared: bool) -> None:
    assert tried(loss, ONE_HOT, 4, UNIT).is_squared_error is is_squared


@pytest.mark.parametrize(("loss", "is_flat"), [(of_probabilities, True), (F.mse_loss, False)])
def test_losses_of_probabilities_are_flat_outside(loss: Any, is_flat: bool) -> None:
    assert tried(loss, ONE_HOT, 4).is_flat_when_wrong is is_flat
