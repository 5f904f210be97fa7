"""How well labels agree with the truth beyond what chance would give: balanced accuracy, Cohen's kappa, Matthews.

In: scores, probabilities or labels, and true labels (the table in `labels` says which shapes mean what). Out: one value
of the confusion matrix, whose classes join as they are first seen. For classes of very unequal size, where plain
accuracy flatters.
"""

from __future__ import annotations

import abc
from typing import Any

import numpy as np

from thalweg.errors import ArgumentError, explain
from thalweg.train.metrics.arrays import Array, example_weights
from thalweg.train.metrics.base import Metric
from thalweg.train.metrics.labels import label_pair, require_threshold


class _OfConfusion(Metric):
    """A value of the confusion matrix: entry (i, j) is the weight of examples of class i that were given j."""

    counts_exactly = True

    def __init__(self, threshold: float = 0.5, from_logits: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        self.threshold = require_threshold(threshold, self._where)
        self.from_logits = from_logits

    def empty_sums(self) -> dict[str, Array]:
        return {"weight": np.zeros(()), "matrix": np.zeros((0, 0))}

    def add_batch(self, prediction: Array, target: Array, weight: Any) -> None:
        predicted, true, classes = label_pair(prediction, target, self._where, self.threshold, self.from_logits)
        weights = example_weights(weight, true.shape, self._where)
        known = len(self.sums["matrix"])
        size = max(classes or 0, known, predicted.max(initial=-1) + 1, true.max(initial=-1) + 1)
        counts = np.bincount((true * size + predicted).ravel(), weights.ravel(), size**2)
        grown = counts.astype(np.float64).reshape(size, size)  # of an empty batch NumPy counts in integers
        grown[:known, :known] += self.sums["matrix"]
        self.sums["matrix"] = grown
        self.sums["weight"] = self.sums["weight"] + weights.sum()

    def formula(self) -> float:
        matrix = self.sums["matrix"]
        occurs = matrix.sum(axis=0) + matrix.sum(axis=1) > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(self._value(matrix[np.ix_(occurs, occurs)]))

    @abc.abstractmethod
    def _value(self, matrix: Array) -> Any:
        """The value of the matrix of those classes that occur; NaN where it is 0 / 0."""


class BalancedAccuracy(_OfConfusion):
    """The mean over the classes of the share of each that was found: every class counts alike, however rare.

    balanced accuracy = mean over classes i of matrix[i, i] / Σⱼ matrix[i, j]; classes without examples have no say.

    Args:
        threshold, from_logits: for binary scores, as in `Accuracy`.
        adjusted: scaled so that guessing has 0 instead of 1 / classes; default False. NaN for one class.
        name: default ``"balanced_accuracy"``.

    Example:
        >>> metric = BalancedAccuracy()
        >>> metric.update([1, 1, 1, 0], [1, 1, 1, 1])
        >>> metric.update([1, 1], [0, 0])
        >>> metric.compute()
        0.375

    Source: Brodersen et al., "The balanced accuracy and its posterior distribution", 2010; agrees with scikit-learn's
    `balanced_accuracy_score`.
    """

    default_name = "balanced_accuracy"

    def __init__(
        self, threshold: float = 0.5, from_logits: bool = False, adjusted: bool = False, name: str | None = None
    ) -> None:
        super().__init__(threshold, from_logits, name)
        self.adjusted = adjusted

    def _value(self, matrix: Array) -> Any:
        found = np.diag(matrix) / matrix.sum(axis=1)
        found = found[~np.isnan(found)]
        chance = 1.0 / len(found) if self.adjusted else 0.0
        return (found.mean() - chance) / np.float64(1.0 - chance)


class CohenKappa(_OfConfusion):
    """Agreement beyond chance: 1 is perfect, 0 what two independent raters of these habits reach.

    κ = 1 - Σ W·matrix / Σ W·expected, expected = rows · columns / total. W is 0 on the diagonal and elsewhere 1; with
    ``weights="linear"`` |i - j|, with "quadratic" (i - j)², for classes in order, numbered as they occur.

    Args:
        weights: None (default), "linear" or "quadratic".
        threshold, from_logits: for binary scores, as in `Accuracy`.
        name: default ``"cohen_kappa"``.

    NaN where all examples are of one class and found to be so: chance leaves nothing to do better.

    Example:
        >>> metric = CohenKappa()
        >>> metric.update([0, 0, 1, 1, 1, 0], [0, 0, 1, 1, 0, 1])
        >>> round(metric.compute(), 4)
        0.3333

    Source: Cohen, "A coefficient of agreement for nominal scales", 1960; agrees with scikit-learn's
    `cohen_kappa_score`.
    """

    default_name = "cohen_kappa"

    def __init__(
        self, weights: str | None = None, threshold: float = 0.5, from_logits: bool = False, name: str | None = None
    ) -> None:
        if weights not in (None, "linear", "quadratic"):
            expected = "None, 'linear' or 'quadratic'"
            raise ArgumentError(explain("unknown weights", received=repr(weights), expected=expected, where="weights"))
        self.weights = weights
        super().__init__(threshold, from_logits, name)

    def _value(self, matrix: Array) -> Any:
        expected = np.outer(matrix.sum(axis=1), matrix.sum(axis=0)) / matrix.sum()
        apart = np.abs(np.subtract.outer(np.arange(len(matrix)), np.arange(len(matrix))))
        cost = apart != 0 if self.weights is None else apart ** (1 if self.weights == "linear" else 2)
        return 1.0 - np.sum(cost * matrix) / np.sum(cost * expected)


class MatthewsCorrelation(_OfConfusion):
    """The correlation between true and predicted classes: 1 is perfect, 0 no better than chance, down to -1.

    With t and p how often each class is true and predicted, c how many examples are right, n of all:
    (c n - t·p) / √((n² - p·p)(n² - t·t)); 0 where only one class is true or predicted.

    Args:
        threshold, from_logits: for binary scores, as in `Accuracy`.
        name: default ``"matthews"``.

    Example:
        >>> metric = MatthewsCorrelation()
        >>> metric.update([1, 1, 1, 0], [1, 1, 0, 0])
        >>> round(metric.compute(), 4)
        0.5774

    Source: Matthews 1975; for several classes Gorodkin, "Comparing two K-category assignments by a K-category
    correlation coefficient", 2004; agrees with scikit-learn's `matthews_corrcoef`.
    """

    default_name = "matthews"

    def _value(self, matrix: Array) -> Any:
        true, predicted, total = matrix.sum(axis=1), matrix.sum(axis=0), matrix.sum()
        both = np.trace(matrix) * total - true @ predicted
        spread = (total**2 - predicted @ predicted) * (total**2 - true @ true)
        # One class only: exactly 0 with whole numbers, and up to rounding with weights.
        return 0.0 if spread <= 1e-24 * total**4 else both / np.sqrt(spread)
