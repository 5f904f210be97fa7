"""How probable the truth was: the cross-entropy of predicted probabilities, as a metric.

In: probabilities (or logits) and true labels. Out: the mean of -ln of what the true class was given. A loss that knows
no class weights, label smoothing or penalties, and so can be compared between runs that have them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.errors import ArgumentError, explain
from thalweg.train.metrics.arrays import Array, require_examples, require_finite, shape_mismatch
from thalweg.train.metrics.base import RunningMean
from thalweg.train.metrics.labels import EXPECTED_SHAPES, as_labels, class_labels, is_class_scores, without_column


class LogLoss(RunningMean):
    """-Σ weight·ln p(true class) / Σ weight.

    Predictions are probabilities of every class (N, C, ...), or of label 1, (N,) or (N, 1). They are kept ε away from 0
    and 1, with ε of their dtype, so that one wrong certainty is 36 (15 in float32) and not infinity.

    Args:
        from_logits: predictions are logits, of which softmax (for one column the sigmoid) is taken; default False.
        name: default ``"log_loss"``.

    Example:
        >>> metric = LogLoss()
        >>> metric.update([[0.5, 0.5], [0.25, 0.75]], [0, 1])
        >>> round(metric.compute(), 4)
        0.4904

    Source: Good, "Rational decisions", 1952; agrees with scikit-learn's `log_loss`.
    """

    default_name = "log_loss"
    higher_is_better = False

    def __init__(self, from_logits: bool = False, name: str | None = None) -> None:
        super().__init__(name)
        self.from_logits = from_logits

    def add_batch(self, prediction: Array, target: Array, weight: Any) -> None:
        for array, role in ((prediction, "prediction"), (target, "target")):
            require_examples(array, role, self._where)
        pair = self._of_classes if is_class_scores(prediction) else self._binary
        self.accumulate(pair(prediction, target), weight)

    def _of_classes(self, prediction: Array, target: Array) -> Array:
        true = np.expand_dims(class_labels(prediction, target, self._where), 1)
        require_finite(prediction, "prediction", self._where)
        scores = prediction.astype(np.float64)
        if self.from_logits:
            highest = scores.max(axis=1, keepdims=True)
            total = np.log(np.exp(scores - highest).sum(axis=1)) + highest[:, 0]
            return np.asarray(total - np.take_along_axis(scores, true, axis=1)[:, 0])
        self._require_probabilities(prediction)
        return self._surprise(np.take_along_axis(prediction, true, axis=1)[:, 0])

    def _binary(self, prediction: Array, target: Array) -> Array:
        prediction, target = without_column(prediction, target)
        if prediction.shape != target.shape or prediction.dtype.kind != "f":
            raise shape_mismatch(prediction, target, f"floating {EXPECTED_SHAPES}", self._where)
        true = as_labels(target, 2, "target", self._where)
        require_finite(prediction, "prediction", self._where)
        if self.from_logits:
            return np.logaddexp(0.0, np.where(true == 1, -prediction, prediction).astype(np.float64))
        self._require_probabilities(prediction)
        return self._surprise(np.where(true == 1, prediction, 1 - prediction))

    def _surprise(self, probability: Array) -> Array:
        least = np.finfo(probability.dtype).eps
        return -np.log(np.clip(probability, least, 1 - least).astype(np.float64))

    def _require_probabilities(self, prediction: Array) -> None:
        if ((prediction < 0) | (prediction > 1)).any():
            raise ArgumentError(
                explain("the predictions are no probabilities",
                        received=f"values from {prediction.min():g} to {prediction.max():g}",
                        expected="values between 0 and 1", where=self._where,
                        remedy="if the model returns logits, say from_logits=True")
            )  # fmt: skip
