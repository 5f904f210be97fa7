"""From scores to labels: the one place that decides which class a prediction names.

In: a model's output (class scores, binary scores, or labels) and its targets (labels, or class probabilities).
Out: two integer arrays of equal shape, the label that was predicted and the one that is true.

=====================  ====================  ==========================================================
prediction             target                read as
=====================  ====================  ==========================================================
floating (N, C, ...)   integer (N, ...)      class scores: the largest of C names the class
floating (N, C, ...)   (N, C, ...), sum 1    class scores against class probabilities or one-hot rows
floating (N,), (N, 1)  0 or 1, (N,), (N, 1)  binary scores: label 1 above the threshold
integer or bool        integer, same shape   labels
=====================  ====================  ==========================================================
"""

from __future__ import annotations

import numpy as np

from thalweg.errors import ArgumentError, DTypeError, IndexRangeError, explain
from thalweg.train.metrics.arrays import Array, require_examples, require_finite, shape_mismatch

EXPECTED_SHAPES = "scores (N, C, ...) with labels (N, ...), or equal shapes"


def is_class_scores(prediction: Array) -> bool:
    """Whether axis 1 holds one score for each of two or more classes."""
    return prediction.dtype.kind == "f" and prediction.ndim >= 2 and prediction.shape[1] >= 2


def class_labels(scores: Array, target: Array, where: str) -> Array:
    """The true labels (N, ...) for class scores (N, C, ...), from labels, a column of labels, or probabilities."""
    spatial = (scores.shape[0], *scores.shape[2:])
    if target.shape == scores.shape:
        return _most_probable(target, where)
    if target.ndim == scores.ndim and target.shape == (spatial[0], 1, *spatial[1:]):
        target = target[:, 0]
    if target.shape != spatial:
        raise shape_mismatch(scores, target, f"a target of shape {spatial} for scores of shape {scores.shape}", where)
    return as_labels(target, scores.shape[1], "target", where)


def _most_probable(target: Array, where: str) -> Array:
    require_finite(target, "target", where)
    sums = target.sum(axis=1, dtype=np.float64)
    if (target < 0).any() or not np.allclose(sums, 1.0, atol=1e-4):
        raise ArgumentError(
            explain(
                "a target of the shape of the scores is read as class probabilities, and these are none",
                received=f"rows that sum to between {sums.min():g} and {sums.max():g}",
                expected="rows that sum to 1, or integer labels of one dimension less",
                where=where,
                remedy="for independent yes/no decisions use Accuracy(multilabel=True)",
            )
        )
    return np.asarray(target.argmax(axis=1))


def as_labels(values: Array, classes: int | None, role: str, where: str) -> Array:
    """Integer labels in 0 ... classes-1; whole numbers in a floating array are taken as well."""
    require_finite(values, role, where)
    with np.errstate(invalid="ignore"):  # what int64 cannot hold is found by the comparison below
        labels = values.astype(np.int64)
    if values.dtype.kind == "f" and (labels != values).any():
        raise DTypeError(
            explain(
                f"the {role} holds numbers that are no class labels",
                received=f"{values[labels != values].flat[0]} among them, dtype {values.dtype}",
                expected="whole numbers 0, 1, 2, ...",
                where=where,
                remedy="for a regression use mae, rmse or r2",
            )
        )
    _require_range(labels, classes, role, where)
    return labels


def _require_range(labels: Array, classes: int | None, role: str, where: str) -> None:
    bad = (labels < 0) if classes is None else (labels < 0) | (labels >= classes)
    if not bad.any():
        return
    place = tuple(int(index) for index in np.argwhere(bad)[0])
    raise IndexRangeError(
        explain(
            f"a {role} label is out of range",
            received=f"{labels[place]} at position {place}",
            expected="0 or more" if classes is None else f"0 to {classes - 1}, as there are {classes} classes",
            where=where,
            remedy="labels count from 0; give masked positions the weight 0 and any legal label",
        )
    )


def binary_labels(prediction: Array, threshold: float, from_logits: bool, where: str) -> Array:
    """1 where the probability is above the threshold, else 0. For logits, where sigmoid(logit) is."""
    require_finite(prediction, "prediction", where, infinity=from_logits)
    if not from_logits and ((prediction < 0) | (prediction > 1)).any():
        raise ArgumentError(
            explain(
                "the predictions are no probabilities",
                received=f"values from {prediction.min():g} to {prediction.max():g}",
                expected="values between 0 and 1",
                where=where,
                remedy="if the model returns logits, say from_logits=True",
            )
        )
    # sigmoid(x) > p exactly when x > log(p / (1 - p)); comparing there cannot overflow.
    level = np.log(threshold) - np.log1p(-threshold) if from_logits else threshold
    return (prediction > level).astype(np.int64)


def label_pair(
    prediction: Array, target: Array, where: str, threshold: float = 0.5, from_logits: bool = False
) -> tuple[Array, Array, int | None]:
    """Predicted labels, true labels (equal shapes) and the number of classes, None where only labels are given."""
    for array, role in ((prediction, "prediction"), (target, "target")):
        require_examples(array, role, where)
    if is_class_scores(prediction):
        true = class_labels(prediction, target, where)
        require_finite(prediction, "prediction", where, infinity=True)
        return np.asarray(prediction.argmax(axis=1)), true, prediction.shape[1]
    prediction, target = without_column(prediction, target)
    if prediction.shape != target.shape:
        raise shape_mismatch(prediction, target, EXPECTED_SHAPES, where)
    if prediction.dtype.kind == "f":
        predicted = binary_labels(prediction, threshold, from_logits, where)
        return predicted, as_labels(target, 2, "target", where), 2
    classes = 2 if prediction.dtype.kind == "b" else None
    return as_labels(prediction, classes, "prediction", where), as_labels(target, classes, "target", where), classes


def without_column(prediction: Array, target: Array) -> tuple[Array, Array]:
    """(N, 1) against (N,) is the same examples twice; both become (N,). All else stays as it is."""
    if prediction.ndim >= 2 and prediction.shape[1] == 1 and prediction.ndim == target.ndim + 1:
        return prediction[:, 0], target
    if target.ndim >= 2 and target.shape[1] == 1 and target.ndim == prediction.ndim + 1:
        return prediction, target[:, 0]
    return prediction, target


def require_threshold(threshold: float, where: str) -> float:
    if not 0 < threshold < 1:
        problem, expected = "the threshold is no probability", "more than 0 and less than 1"
        raise ArgumentError(explain(problem, received=threshold, expected=expected, where=where))
    return float(threshold)
