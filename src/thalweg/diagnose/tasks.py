"""What kind of task a run has, and how good its predictions are, whatever its loss.

In: targets as the loss takes them, predictions. Out: a `Task`, which measures predictions as skill: 1 for perfect ones,
0 for the best constant, the same scale for classes and for numbers, whatever the loss is multiplied by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np


class Kind(Enum):
    """How targets are to be read."""

    CLASSES = "one of several classes"
    BINARY = "one of two classes, told by one number"
    VALUES = "numbers"
    OTHER = "none of these: skill is not measured"


@dataclass
class Task:
    """The targets of a run.

    skill = 1 − error / error of the best constant prediction, with the share of wrong labels or the squared error as
    error. Predictions that are not finite are wrong.

    >>> import numpy as np
    >>> task = task_of(np.array([0, 0, 1, 2]), outputs=3)
    >>> task.skill(np.eye(3)[[0, 0, 1, 1]], np.array([0, 0, 1, 2]))
    0.5
    """

    kind: Kind
    targets: np.ndarray
    outputs: int
    labels: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.labels = self.read(self.targets)

    @property
    def has_classes(self) -> bool:
        return self.kind in (Kind.CLASSES, Kind.BINARY)

    def read(self, targets: np.ndarray) -> np.ndarray:
        """Labels from 0, or a matrix of numbers."""
        if self.kind is Kind.CLASSES:
            is_one_hot = targets.ndim == 2 and targets.shape[1] > 1
            return np.asarray(targets.argmax(1) if is_one_hot else targets.reshape(-1), int)
        if self.kind is Kind.BINARY:
            return np.asarray(targets.reshape(-1) > (self.targets.min() + self.targets.max()) / 2, int)
        return np.asarray(targets.reshape(len(targets), -1), np.float64)

    def columns(self) -> np.ndarray:
        """Targets as a regression sees them: a column for each class, or the numbers."""
        if not self.has_classes:
            return self.labels
        return np.asarray(self.labels[:, None] == np.arange(max(2, self.outputs)), np.float64)

    def skill(self, predictions: np.ndarray, targets: np.ndarray, middle: float = 0.5) -> float:
        """How good, from −∞ to 1; `middle` is the output that stands between the two classes of a binary task."""
        if self.kind is Kind.OTHER:
            return float("nan")
        truth = self.read(targets)
        if not self.has_classes:
            return self._skill_of_numbers(predictions.reshape(truth.shape), truth)
        found = predicted_labels(predictions, middle)
        wrong = float((found != truth).mean())
        constant = 1 - np.unique(truth, return_counts=True)[1].max() / len(truth)
        return float(1 - wrong / constant) if constant else float("nan")

    def middle(self, predictions: np.ndarray, targets: np.ndarray) -> float:
        """The output that separates the two classes of a binary task best; 0.5 for other tasks, which ask for none."""
        return best_middle(predictions, self.read(targets)) if self.kind is Kind.BINARY else 0.5

    def _skill_of_numbers(self, found: np.ndarray, truth: np.ndarray) -> float:
        if not np.isfinite(found).all():
            return float("-inf")
        spread = ((truth - truth.mean(0)) ** 2).sum()
        return float(1 - ((found - truth) ** 2).sum() / spread) if spread else float("nan")


def predicted_labels(predictions: np.ndarray, middle: float) -> np.ndarray:
    """The largest output, or the side of `middle`; -1 where an output is not finite."""
    rows = predictions.reshape(len(predictions), -1)
    found = (rows[:, 0] > middle).astype(int) if rows.shape[1] == 1 else rows.argmax(1)
    return np.where(np.isfinite(rows).all(1), found, -1)


def best_middle(predictions: np.ndarray, labels: np.ndarray) -> float:
    """The threshold that separates two classes best; it does not matter whether outputs are scores or probabilities."""
    values = predictions.reshape(-1)
    finite = np.isfinite(values)
    if not finite.any():
        return 0.5
    values, labels = values[finite], labels[finite]
    candidates = np.unique(np.quantile(values, np.linspace(0, 1, 101)))
    right = [((values > each) == labels).mean() for each in candidates]
    return float(candidates[int(np.argmax(right))])


def task_of(targets: np.ndarray, outputs: int) -> Task:
    """Read from the targets themselves: labels, one-hot rows, two values, or numbers."""
    targets = np.asarray(targets)
    is_whole = targets.dtype.kind in "iub"
    columns = 1 if targets.ndim == 1 else targets.shape[1]
    if targets.ndim > 2:
        kind = Kind.OTHER
    elif (outputs > 1 and columns == 1 and is_whole) or (columns == outputs and columns > 1 and _is_one_hot(targets)):
        kind = Kind.CLASSES
    elif columns == 1 and outputs == 1 and len(np.unique(targets)) == 2:
        kind = Kind.BINARY
    elif columns == outputs:
        kind = Kind.VALUES
    else:
        kind = Kind.OTHER
    return Task(kind, targets, outputs)


def _is_one_hot(targets: np.ndarray) -> bool:
    low, high = targets.min(), targets.max()
    return low < high and bool(np.isin(targets, (low, high)).all() and ((targets == high).sum(1) == 1).all())
