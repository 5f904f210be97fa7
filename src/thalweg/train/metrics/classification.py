"""How often the predicted class is the true one, at the first guess or among the first k.

In: scores, probabilities or labels, and true labels (the table in `labels` says which shapes mean what).
Out: a share between 0 and 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.train.metrics.arrays import Array, require_examples, require_finite, shape_mismatch
from thalweg.train.metrics.base import RunningMean
from thalweg.train.metrics.labels import (
    as_labels,
    binary_labels,
    class_labels,
    is_class_scores,
    label_pair,
    require_threshold,
)


class Accuracy(RunningMean):
    """The share of examples whose predicted label is the true one.

    accuracy = Σ weight·[predicted = true] / Σ weight.

    Predictions are class scores (N, C, ...), logits or probabilities alike, of which the largest wins (the first of
    equals); or binary scores (N,) or (N, 1); or labels. Targets are labels, or for class scores also class
    probabilities of the same shape. Extra axes count as further examples.

    Args:
        threshold: a binary score above it means label 1; a probability, default 0.5.
        from_logits: binary scores are logits, of which the sigmoid is the probability; default False. Class scores
            need no word about it.
        multilabel: every element is a yes/no decision of its own, prediction and target of equal shape; default False.
        name: default ``"accuracy"``.

    Example:
        >>> metric = Accuracy()
        >>> metric.update([[0.1, 0.9], [0.8, 0.2]], [1, 1])
        >>> metric.update([[0.3, 0.7]], [1])
        >>> round(metric.compute(), 4)
        0.6667
        >>> metric = Accuracy(from_logits=True)
        >>> metric.update([-2.0, 3.0, 0.5], [0, 1, 0])
        >>> round(metric.compute(), 4)
        0.6667

    Source: the complement of the 0-1 loss; agrees with scikit-learn's `accuracy_score`.
    """

    default_name = "accuracy"
    counts_exactly = True

    def __init__(
        self, threshold: float = 0.5, from_logits: bool = False, multilabel: bool = False, name: str | None = None
    ) -> None:
        super().__init__(name)
        self.threshold = require_threshold(threshold, self._where)
        self.from_logits = from_logits
        self.multilabel = multilabel

    def add_batch(self, prediction: Array, target: Array, weight: Any) -> None:
        pair = self._decisions if self.multilabel else self._labels
        predicted, true = pair(prediction, target)
        self.accumulate(predicted == true, weight)

    def _labels(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        return label_pair(prediction, target, self._where, self.threshold, self.from_logits)[:2]

    def _decisions(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        require_examples(prediction, "prediction", self._where)
        if prediction.shape != target.shape:
            raise shape_mismatch(prediction, target, "equal shapes, as multilabel=True", self._where)
        predicted = binary_labels(prediction, self.threshold, self.from_logits, self._where)
        return predicted, as_labels(target, 2, "target", self._where)


class TopKAccuracy(RunningMean):
    """The share of examples whose true class is among the k classes with the highest scores.

    top-k accuracy = Σ weight·[rank of the true class < k] / Σ weight, where the rank counts the classes with a higher
    score, and those of equal score that come first; so k = 1 is `Accuracy`.

    Args:
        k: how many guesses there are, default 5; at most the number of classes.
        name: default ``"top_5_accuracy"``, with k in it.

    Predictions are class scores (N, C, ...) with labels (N, ...) or class probabilities (N, C, ...).

    Example:
        >>> metric = TopKAccuracy(k=2)
        >>> metric.update([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], [1, 0])
        >>> metric.compute()
        0.5

    Source: the measure of ImageNet (Russakovsky et al., 2015).
    """

    counts_exactly = True

    def __init__(self, k: int = 5, name: str | None = None) -> None:
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            problem = "k counts how many guesses there are"
            raise ArgumentError(explain(problem, received=repr(k), expected="1 or more", where="TopKAccuracy(k)"))
        self.k = int(k)
        super().__init__(name)

    def _default_name(self) -> str:
        return f"top_{self.k}_accuracy"

    def add_batch(self, prediction: Array, target: Array, weight: Any) -> None:
        self._require_scores(prediction)
        true = class_labels(prediction, target, self._where)
        require_finite(prediction, "prediction", self._where, infinity=True)
        hits = _rank(prediction, true) < self.k
        self.accumulate(hits, weight)

    def _require_scores(self, prediction: Array) -> None:
        if is_class_scores(prediction) and prediction.shape[1] >= self.k:
            return
        raise ShapeError(
            explain(
                f"the first {self.k} guesses need scores for at least {self.k} classes",
                received=f"predictions of shape {prediction.shape}, dtype {prediction.dtype}",
                expected=f"floating (N, C, ...) with C of {max(self.k, 2)} or more",
                where=self._where,
                remedy="choose a smaller k, or Accuracy for a single guess",
            )
        )


def _rank(scores: Array, labels: Array) -> Array:
    """How many classes stand before the labelled one, by score and then by number."""
    labels = np.expand_dims(labels, 1)
    own = np.take_along_axis(scores, labels, axis=1)
    numbers = np.arange(scores.shape[1]).reshape((1, -1) + (1,) * (scores.ndim - 2))
    return np.asarray(((scores > own) | ((scores == own) & (numbers < labels))).sum(axis=1))
