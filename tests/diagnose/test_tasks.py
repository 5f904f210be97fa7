"""Reading targets, and skill against its definition written as a loop.

In: targets of every kind. Out: the task; a number between minus infinity and 1.
"""

from __future__ import annotations

import numpy as np
import pytest

from thalweg.diagnose.tasks import Kind, best_middle, task_of

LABELS = np.array([0, 1, 2, 1, 0, 2])
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]


@pytest.mark.parametrize(
    ("targets", "outputs", "kind"),
    [
        (LABELS, 3, Kind.CLASSES),
        (LABELS[:, None], 3, Kind.CLASSES),
        (ONE_HOT, 3, Kind.CLASSES),
        (2 * ONE_HOT - 1, 3, Kind.CLASSES),
        (np.array([[0.0], [1.0], [1.0]]), 1, Kind.BINARY),
        (np.array([[-1.0], [1.0], [1.0]]), 1, Kind.BINARY),
        (np.array([[0.1], [0.7], [1.0]]), 1, Kind.VALUES),
        (np.random.default_rng(0).normal(size=(5, 3)), 3, Kind.VALUES),
        (np.zeros((4, 5, 5), int), 3, Kind.OTHER),
    ],
)
def test_the_kind_of_a_task_is_read_from_its_targets(targets: np.ndarray, outputs: int, kind: Kind) -> None:
    assert task_of(targets, outputs).kind is kind


def test_skill_of_labels_is_that_of_counting() -> None:
    random = np.random.default_rng(1)
    task, scores = task_of(LABELS, 3), random.normal(size=(6, 3))
    wrong = sum(int(row.argmax()) != label for row, label in zip(scores, LABELS, strict=True)) / 6
    assert task.skill(scores, LABELS) == pytest.approx(1 - wrong / (1 - 2 / 6))


def test_skill_of_numbers_is_the_coefficient_of_determination() -> None:
    random = np.random.default_rng(2)
    y, found = random.normal(size=(50, 1)), random.normal(size=(50, 1))
    task = task_of(y, 1)
    assert task.skill(found, y) == pytest.approx(1 - np.mean((found - y) ** 2) / np.var(y))
    assert task.skill(np.full_like(y, y.mean()), y) == pytest.approx(0)
    assert task.skill(y, y) == 1


def test_outputs_that_are_not_finite_are_wrong() -> None:
    task = task_of(LABELS, 3)
    assert task.skill(np.full((6, 3), np.nan), LABELS) == pytest.approx(1 - 1 / (1 - 2 / 6))
    y = np.array([[0.1], [0.2], [0.4]])
    assert task_of(y, 1).skill(np.array([[0.1], [np.inf], [0.4]]), y) == -np.inf


@pytest.mark.parametrize("map_", [lambda z: z, lambda z: 1 / (1 + np.exp(-z)), lambda z: 100 * z - 7])
def test_two_classes_are_told_apart_whatever_the_output_means(map_: object) -> None:
    """Scores, probabilities or anything that rises with them."""
    labels = np.array([0, 0, 0, 1, 1])
    outputs = map_(np.array([-2.0, -1.0, 0.1, 0.3, 4.0]))[:, None]  # type: ignore[operator]
    task = task_of(labels[:, None].astype(np.float32), 1)
    assert task.skill(outputs, task.targets, best_middle(outputs, labels)) == 1
