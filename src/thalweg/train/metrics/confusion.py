"""Which classes are mistaken for which: the confusion matrix, and precision, recall and F1 that follow from it.

In: scores, probabilities or labels, and true labels (the table in `labels` says which shapes mean what).
Out: a matrix, one value per class, or their average. Written tp, fp, fn: true positives, false positives, false
negatives of one class against all the others.
"""

from __future__ import annotations

import abc
from typing import Any, Literal, TypeAlias

import numpy as np

from thalweg.errors import ArgumentError, IndexRangeError, explain
from thalweg.train.metrics.arrays import Array, example_weights
from thalweg.train.metrics.base import Metric
from thalweg.train.metrics.labels import as_labels, label_pair, require_threshold

Average: TypeAlias = Literal["binary", "macro", "micro", "weighted"] | None
AVERAGES: tuple[Average, ...] = ("binary", "macro", "micro", "weighted", None)


class ClassCounts(Metric):
    """Weighted tp, predicted and true counts of each class; classes join as they are first seen."""

    counts_exactly = True

    def __init__(
        self,
        average: Average = "binary",
        zero_division: float = 0.0,
        threshold: float = 0.5,
        from_logits: bool = False,
        name: str | None = None,
    ) -> None:
        if average not in AVERAGES:
            allowed = ", ".join(repr(one) for one in AVERAGES)
            raise ArgumentError(explain("unknown average", received=repr(average), expected=allowed, where="average"))
        self.average = average
        self.zero_division = float(zero_division)
        super().__init__(name)
        self.threshold = require_threshold(threshold, self._where)
        self.from_logits = from_logits

    def _default_name(self) -> str:
        return self.default_name if self.average in ("binary", None) else f"{self.average}_{self.default_name}"

    def empty_sums(self) -> dict[str, Array]:
        classes = 2 if self.average == "binary" else 0
        return {"weight": np.zeros(()), **{key: np.zeros(classes) for key in ("hits", "predicted", "true")}}

    def add_batch(self, prediction: Array, target: Array, weight: Any) -> None:
        predicted, true, classes = label_pair(prediction, target, self._where, self.threshold, self.from_logits)
        weights = example_weights(weight, true.shape, self._where)
        size = max(classes or 0, self.sums["true"].size, predicted.max(initial=-1) + 1, true.max(initial=-1) + 1)
        self._require_binary(size)
        hits = weights * (predicted == true)
        self._grow("hits", np.bincount(true.ravel(), hits.ravel(), size))
        self._grow("predicted", np.bincount(predicted.ravel(), weights.ravel(), size))
        self._grow("true", np.bincount(true.ravel(), weights.ravel(), size))
        self.sums["weight"] = self.sums["weight"] + weights.sum()

    def _require_binary(self, classes: int) -> None:
        if self.average == "binary" and classes > 2:
            raise ArgumentError(
                explain(
                    f"{self.name} is the value of class 1 against class 0, and there are more classes",
                    received=f"{classes} classes",
                    expected="labels 0 and 1",
                    where=self._where,
                    remedy=f"use the metric 'macro_{self.default_name}', or average='macro', 'micro' or 'weighted'",
                )
            )

    def _grow(self, key: str, added: Array) -> None:
        grown = added.astype(np.float64)  # of an empty batch NumPy counts in integers
        grown[: self.sums[key].size] += self.sums[key]
        self.sums[key] = grown

    def formula(self) -> float | Array:
        hits, predicted, true = (self.sums[key] for key in ("hits", "predicted", "true"))
        if self.average == "micro":
            hits, predicted, true = (np.atleast_1d(counts.sum()) for counts in (hits, predicted, true))
        per_class = self._ratio(hits, predicted, true)
        if self.average is None:
            return per_class
        if self.average == "binary":
            return float(per_class[1])
        # As in scikit-learn, classes that occur neither as target nor as prediction have no say.
        weights = true if self.average == "weighted" else ((predicted + true) > 0).astype(np.float64)
        return _mean_of_numbers(per_class, weights)

    @abc.abstractmethod
    def _ratio(self, hits: Array, predicted: Array, true: Array) -> Array:
        """The value of each class, `zero_division` where it is 0 / 0."""

    def _divide(self, numerator: Array, denominator: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return np.where(denominator > 0, numerator / denominator, self.zero_division)


def _mean_of_numbers(values: Array, weights: Array) -> float:
    """The weighted mean that leaves out NaN, which `zero_division=nan` asks for; the plain one if no weight is left."""
    kept = ~np.isnan(values)
    if not kept.any():
        return float("nan")
    return float(np.average(values[kept], weights=weights[kept] if weights[kept].any() else None))


class Precision(ClassCounts):
    """Of all examples that were given a label, the share that has it: tp / (tp + fp).

    Args:
        average: how classes become one value, as in scikit-learn. ``"binary"`` (default): class 1 of two.
            ``"macro"``: the plain mean over classes that occur. ``"weighted"``: the mean weighted by how many examples
            each class truly has. ``"micro"``: from the sums over classes. None: an array with one value per class.
        zero_division: the value of 0 / 0, default 0.0; `nan` leaves such classes out of averages.
        threshold, from_logits: for binary scores, as in `Accuracy`.
        name: default ``"precision"``, or ``"macro_precision"`` and so on.

    Example:
        >>> metric = Precision()
        >>> metric.update([0.9, 0.8, 0.3], [1, 0, 1])
        >>> metric.compute()
        0.5

    Source: van Rijsbergen, *Information Retrieval* (1979); agrees with scikit-learn's `precision_score`.
    """

    default_name = "precision"

    def _ratio(self, hits: Array, predicted: Array, true: Array) -> Array:
        return self._divide(hits, predicted)


class Recall(ClassCounts):
    """Of all examples that have a label, the share that was given it: tp / (tp + fn).

    Arguments as for `Precision`. Also called sensitivity or true positive rate; the macro average is balanced accuracy.

    Example:
        >>> metric = Recall(average=None)
        >>> metric.update([0, 1, 1, 2], [0, 1, 2, 2])
        >>> metric.compute()
        array([1. , 1. , 0.5])

    Source: van Rijsbergen, *Information Retrieval* (1979); agrees with scikit-learn's `recall_score`.
    """

    default_name = "recall"

    def _ratio(self, hits: Array, predicted: Array, true: Array) -> Array:
        return self._divide(hits, true)


class F1(ClassCounts):
    """The harmonic mean of precision and recall: 2·tp / (2·tp + fp + fn).

    Arguments as for `Precision`.

    Example:
        >>> metric = F1(average="macro")
        >>> metric.update([[2.0, 1.0, 0.0], [0.0, 1.0, 0.5], [0.0, 2.0, 1.0]], [0, 1, 2])
        >>> round(metric.compute(), 4)
        0.5556

    Source: van Rijsbergen, *Information Retrieval* (1979); agrees with scikit-learn's `f1_score`.
    """

    default_name = "f1"

    def _ratio(self, hits: Array, predicted: Array, true: Array) -> Array:
        return self._divide(2.0 * hits, predicted + true)  # tp + fp = predicted, tp + fn = true


class FBeta(ClassCounts):
    """Precision and recall in one, recall counting β times as much: (1 + β²)·tp / ((1 + β²)·tp + β²·fn + fp).

    Args:
        beta: above 0; 2 (default) for a search that must not miss, 0.5 for one that must not cry wolf, 1 is `F1`.
        average, zero_division, threshold, from_logits: as for `Precision`.
        name: default ``"f2"``, with beta in it.

    Example:
        >>> metric = FBeta(beta=2.0)
        >>> metric.update([0.9, 0.8, 0.3], [1, 0, 1])
        >>> metric.compute()
        0.5

    Source: van Rijsbergen, *Information Retrieval* (1979); agrees with scikit-learn's `fbeta_score`.
    """

    def __init__(
        self,
        beta: float = 2.0,
        average: Average = "binary",
        zero_division: float = 0.0,
        threshold: float = 0.5,
        from_logits: bool = False,
        name: str | None = None,
    ) -> None:
        is_number = isinstance(beta, int | float | np.integer | np.floating) and not isinstance(beta, bool)
        if not is_number or not 0 < beta < np.inf:
            problem, expected = "beta weighs recall against precision", "a number above 0"
            raise ArgumentError(explain(problem, received=repr(beta), expected=expected, where="FBeta(beta)"))
        self.beta = float(beta)
        super().__init__(average, zero_division, threshold, from_logits, name)

    @property
    def default_name(self) -> str:  # type: ignore[override]
        return f"f{self.beta:g}"

    def _ratio(self, hits: Array, predicted: Array, true: Array) -> Array:
        square = self.beta**2
        return self._divide((1.0 + square) * hits, predicted + square * true)


class ConfusionMatrix(Metric):
    """Entry (i, j): how many examples of the true class i were given the label j.

    Args:
        num_classes: C; the matrix has shape (C, C).
        normalize: None (default): weighted counts. ``"true"``: each row sums to 1, so the diagonal is recall.
            ``"pred"``: each column sums to 1, so the diagonal is precision. ``"all"``: everything sums to 1. Rows or
            columns without examples stay 0.
        threshold, from_logits: for binary scores, as in `Accuracy`.
        name: default ``"confusion_matrix"``.

    Example:
        >>> metric = ConfusionMatrix(num_classes=2)
        >>> metric.update([0, 1, 1], [0, 0, 1])
        >>> metric.compute()
        array([[1., 1.],
               [0., 1.]])

    Source: agrees with scikit-learn's `confusion_matrix`.
    """

    default_name = "confusion_matrix"
    higher_is_better = None
    counts_exactly = True

    def __init__(
        self,
        num_classes: int,
        normalize: Literal["true", "pred", "all"] | None = None,
        threshold: float = 0.5,
        from_logits: bool = False,
        name: str | None = None,
    ) -> None:
        if isinstance(num_classes, bool) or not isinstance(num_classes, int | np.integer) or num_classes < 1:
            problem = "a confusion matrix needs a number of classes"
            raise ArgumentError(explain(problem, received=repr(num_classes), expected="1 or more", where="num_classes"))
        if normalize not in (None, "true", "pred", "all"):
            expected = "None, 'true', 'pred' or 'all'"
            raise ArgumentError(explain("unknown normalize", received=repr(normalize), expected=expected))
        self.num_classes = int(num_classes)
        self.normalize = normalize
        super().__init__(name)
        self.threshold = require_threshold(threshold, self._where)
        self.from_logits = from_logits

    def empty_sums(self) -> dict[str, Array]:
        return {"weight": np.zeros(()), "matrix": np.zeros((self.num_classes, self.num_classes))}

    def add_batch(self, prediction: Array, target: Array, weight: Any) -> None:
        predicted, true, classes = label_pair(prediction, target, self._where, self.threshold, self.from_logits)
        if classes is not None and classes > self.num_classes:
            received, expected = f"scores for {classes} classes", f"at most {self.num_classes}"
            problem = "the scores have more classes than the matrix"
            raise IndexRangeError(explain(problem, received=received, expected=expected, where=self._where))
        for labels, role in ((predicted, "prediction"), (true, "target")):
            as_labels(labels, self.num_classes, role, self._where)
        weights = example_weights(weight, true.shape, self._where)
        cells = (true * self.num_classes + predicted).ravel()
        counts = np.bincount(cells, weights.ravel(), self.num_classes**2)
        self.sums["matrix"] = self.sums["matrix"] + counts.reshape(self.num_classes, self.num_classes)
        self.sums["weight"] = self.sums["weight"] + weights.sum()

    def formula(self) -> Array:
        matrix = self.sums["matrix"]
        axes = {None: (), "true": (1,), "pred": (0,), "all": (0, 1)}[self.normalize]
        if not axes:
            return matrix.copy()
        totals = matrix.sum(axis=axes, keepdims=True)
        return np.asarray(matrix / np.where(totals > 0, totals, 1.0))
