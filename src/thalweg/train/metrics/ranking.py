"""How well scores put the right examples first, whatever the threshold: ROC AUC and average precision.

In: scores of the positive class, or of every class, and true labels. Out: one value, or one for each class. The value
is exact, so every score is kept until `reset`: 8 bytes for each score, twice, and one weight for each example.
"""

from __future__ import annotations

import abc
from typing import Any, Literal, TypeAlias

import numpy as np

from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.train.metrics.arrays import Array, example_weights, require_examples, require_finite, shape_mismatch
from thalweg.train.metrics.base import Metric
from thalweg.train.metrics.labels import EXPECTED_SHAPES, as_labels, class_labels, is_class_scores, without_column

Average: TypeAlias = Literal["macro", "micro", "weighted"] | None
AVERAGES: tuple[Average, ...] = ("macro", "micro", "weighted", None)


class RankingMetric(Metric):
    """Keeps, for every example, the score and the truth of each class; a subclass says what a ranking is worth."""

    def __init__(
        self,
        average: Average = "macro",
        from_logits: bool = False,
        multilabel: bool = False,
        name: str | None = None,
    ) -> None:
        if average not in AVERAGES:
            allowed = ", ".join(repr(one) for one in AVERAGES)
            raise ArgumentError(explain("unknown average", received=repr(average), expected=allowed, where="average"))
        self.average, self.from_logits, self.multilabel = average, from_logits, multilabel
        self._memory = np.zeros((0, 0))
        super().__init__(name)

    def empty_sums(self) -> dict[str, Array]:
        return {"weight": np.zeros(()), "rows": np.zeros((0, 0))}  # rows: scores, truths, weight

    def add_batch(self, prediction: Array, target: Array, weight: Any) -> None:
        scores, truths = self._columns(prediction, target)
        require_finite(scores, "prediction", self._where, infinity=self.from_logits)
        weights = example_weights(weight, truths.shape[:1], self._where)
        added = np.concatenate([scores, truths, weights[:, None]], axis=1)[weights > 0]
        self._require_width(added.shape[1])
        self.sums["rows"] = self._appended(added)
        self.sums["weight"] = self.sums["weight"] + weights.sum()

    def _columns(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        """Scores and truths, (N, 1) for a binary problem, else (N, C)."""
        for array, role in ((prediction, "prediction"), (target, "target")):
            require_examples(array, role, self._where)
        if self.multilabel:
            if prediction.shape != target.shape or prediction.ndim != 2:
                raise shape_mismatch(prediction, target, "equal shapes (N, L), as multilabel=True", self._where)
            return prediction.astype(np.float64), as_labels(target, 2, "target", self._where)
        if is_class_scores(prediction):
            return self._of_classes(prediction, target)
        prediction, target = without_column(prediction, target)
        if prediction.shape != target.shape or prediction.dtype.kind != "f":
            raise shape_mismatch(prediction, target, f"floating {EXPECTED_SHAPES}", self._where, _REMEDY)
        truths = as_labels(target, 2, "target", self._where)
        return prediction.astype(np.float64).reshape(-1, 1), truths.reshape(-1, 1)

    def _of_classes(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        true, classes = class_labels(prediction, target, self._where).reshape(-1), prediction.shape[1]
        if prediction.ndim > 2:
            expected = "one decision for each example: (N, C)"
            raise ShapeError(explain("a ranking is of examples", received=f"predictions of shape {prediction.shape}",
                                     expected=expected, where=self._where))  # fmt: skip
        scores = prediction.astype(np.float64)
        if classes == 2:  # the second against the first: one ranking, also of logits
            return scores[:, 1:] - scores[:, :1], true[:, None]
        return _softmax(scores) if self.from_logits else scores, (true[:, None] == np.arange(classes)).astype(np.int64)

    def _require_width(self, width: int) -> None:
        known = self.sums["rows"].shape[1]
        if len(self.sums["rows"]) and width != known:
            received, expected = f"scores for {width // 2} classes", f"{known // 2}, as in the batches before"
            raise ShapeError(explain("the number of classes changed", received=received, expected=expected,
                                     where=self._where))  # fmt: skip

    def _appended(self, added: Array) -> Array:
        """The rows with these behind them, in memory that doubles when it is full: not one copy for each batch."""
        rows = self.sums["rows"]
        count = len(rows) + len(added)
        if rows.base is not self._memory or count > len(self._memory) or rows.shape[1] != added.shape[1]:
            self._memory = np.empty((max(64, 2 * count), added.shape[1]))
            if len(rows):
                self._memory[: len(rows)] = rows
        self._memory[len(rows) : count] = added
        return self._memory[:count]

    def formula(self) -> float | Array:
        rows = self.sums["rows"]
        classes = rows.shape[1] // 2
        scores, truths, weights = rows[:, :classes], rows[:, classes:-1], rows[:, -1]
        if self.average == "micro":
            scores, truths, weights = scores.reshape(-1, 1), truths.reshape(-1, 1), np.repeat(weights, classes)
        values = np.array([self._of(*each, weights) for each in zip(scores.T, truths.T, strict=True)])
        if self.average is None:
            return values
        if self.average != "weighted" or len(values) == 1:
            return float(values.mean())
        counts = (truths * weights[:, None]).sum(axis=0)
        return float(np.average(values, weights=counts)) if counts.any() else 0.0

    def _of(self, scores: Array, truths: Array, weights: Array) -> float:
        """Of one ranking: weights of true and false examples at or above each score that occurs, falling."""
        order = np.argsort(-scores, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
        hits = np.cumsum((truths * weights)[order])[ends]
        misses = np.cumsum(((1 - truths) * weights)[order])[ends]
        return float(self._value(hits, misses))

    @abc.abstractmethod
    def _value(self, hits: Array, misses: Array) -> Any:
        """The value of one ranking."""


_REMEDY = "labels alone have no order: pass the scores or probabilities"


def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


class ROCAUC(RankingMetric):
    """The area under the curve of true positive rate over false positive rate.

    Equal to the probability that a positive example has a higher score than a negative one, half of it for a tie.

    Predictions are scores of the positive class, (N,) or (N, 1), probabilities or logits alike; of two classes (N, 2);
    or probabilities of every class (N, C): then each class against the others ("one versus rest").

    Args:
        average: over the classes: "macro" (default), "weighted" by how often each is true, "micro" (all decisions as
            one ranking), or None for an array.
        from_logits: (N, C) are logits, and their softmax is taken, so that rows can be compared; default False.
        multilabel: every column is a yes/no decision of its own; prediction and target (N, L). Default False.
        name: default ``"roc_auc"``.

    NaN for a class that is true of none or of all examples: there is nothing to be told apart.

    Example:
        >>> metric = ROCAUC()
        >>> metric.update([0.1, 0.4], [0, 0])
        >>> metric.update([0.35, 0.8], [1, 1])
        >>> metric.compute()
        0.75

    Source: Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
    1982; agrees with scikit-learn's `roc_auc_score`.
    """

    default_name = "roc_auc"

    def _value(self, hits: Array, misses: Array) -> Any:
        if not hits[-1] > 0 or not misses[-1] > 0:
            return np.nan
        rise, run = np.append(0.0, hits / hits[-1]), np.append(0.0, misses / misses[-1])
        return np.sum(np.diff(run) * (rise[1:] + rise[:-1])) / 2.0


class AveragePrecision(RankingMetric):
    """The mean precision as recall grows: Σ (Rₙ - Rₙ₋₁) Pₙ over the scores that occur, falling.

    Precision P is the share of true examples among those at or above the score, recall R the share of the true ones
    that are there. No interpolation. Better than ROC AUC at telling how good a search for something rare is.

    Arguments and predictions as for `ROCAUC`. A class that is never true has the value 0.

    Example:
        >>> metric = AveragePrecision()
        >>> metric.update([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
        >>> round(metric.compute(), 4)
        0.8333

    Source: Zhu, "Recall, precision and average precision", 2004; agrees with scikit-learn's `average_precision_score`.
    """

    default_name = "average_precision"

    def _value(self, hits: Array, misses: Array) -> Any:
        if not hits[-1] > 0:
            return 0.0
        found = hits + misses
        precision = np.where(found > 0, hits / np.where(found > 0, found, 1.0), 0.0)
        return np.sum(np.diff(np.append(0.0, hits / hits[-1])) * precision)
