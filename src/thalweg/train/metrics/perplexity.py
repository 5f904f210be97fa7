"""How surprised a language model is.

In: scores of the next token (logits or log probabilities) and the tokens that came. Out: the exponential of the mean
negative log likelihood: 1 for one who knows, the size of the vocabulary for one who guesses.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.train.metrics.arrays import Array, example_weights, require_examples, require_finite, shape_mismatch
from thalweg.train.metrics.base import RunningMean
from thalweg.train.metrics.labels import as_labels

IGNORED = -100


class Perplexity(RunningMean):
    """exp of the mean over all tokens of -ln p(token).

    perplexity = exp(Σ weight·(-ln softmax(scores)[token]) / Σ weight). Every token counts alike, in whichever batch or
    sequence it is; tokens of `ignore_index` do not count.

    Predictions are scores (N, C, ...) with targets (N, ...), as `F.cross_entropy` takes them, or (..., C) with
    class_axis=-1; logits and log probabilities alike.

    Args:
        ignore_index: targets that do not count, such as padding; default -100.
        class_axis: 1 (default), or -1.
        name: default ``"perplexity"``.

    Example:
        >>> metric = Perplexity()
        >>> metric.update(np.zeros((2, 4)), [1, 3])
        >>> metric.compute()
        4.0

    Source: Jelinek et al., "Perplexity: a measure of the difficulty of speech recognition tasks", 1977; equals exp of
    PyTorch's `cross_entropy` over the same tokens.
    """

    default_name = "perplexity"
    higher_is_better = False

    def __init__(self, ignore_index: int = IGNORED, class_axis: int = 1, name: str | None = None) -> None:
        super().__init__(name)
        if class_axis not in (1, -1):
            raise ArgumentError(
                explain("unknown class_axis", received=repr(class_axis), expected="1 or -1", where=self._where)
            )
        self.ignore_index, self.class_axis = ignore_index, class_axis

    def add_batch(self, prediction: Array, target: Array, weight: Any) -> None:
        scores = self._classes_last(prediction, target)
        require_finite(np.where(scores == -np.inf, 0, scores), "prediction", self._where)  # impossible tokens are -inf
        counts = target != self.ignore_index
        tokens = np.zeros(target.shape, dtype=np.int64)
        tokens[counts] = as_labels(target[counts], scores.shape[-1], "target", self._where)
        weights = example_weights(weight, target.shape, self._where) * counts
        self.accumulate(_surprise(scores.astype(np.float64), tokens, counts), weights)

    def _classes_last(self, prediction: Array, target: Array) -> Array:
        require_examples(target, "target", self._where)
        if prediction.dtype.kind != "f" or prediction.ndim < 2:
            raise ShapeError(
                explain(
                    "a perplexity is of scores for each token",
                    received=f"predictions of shape {prediction.shape}, dtype {prediction.dtype}",
                    expected="floating (N, C, ...)",
                    where=self._where,
                )
            )
        scores = np.moveaxis(prediction, self.class_axis, -1)
        if scores.shape[:-1] != target.shape:
            is_last = prediction.shape[:-1] == target.shape
            remedy = "the scores lie along the last axis: class_axis=-1" if is_last else "every token needs its scores"
            raise shape_mismatch(prediction, target, f"a target of shape {scores.shape[:-1]}", self._where, remedy)
        return scores

    def formula(self) -> float:
        return float(np.exp(super().formula()))


def _surprise(scores: Array, tokens: Array, counts: Array) -> Array:
    """-ln softmax(scores)[token], 0 where it does not count."""
    highest = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    total = np.log(np.exp(scores - highest).sum(axis=-1)) + highest[..., 0]
    own = np.take_along_axis(scores, tokens[..., None], axis=-1)[..., 0]
    return np.where(counts, total - own, 0.0)
