"""Mean average precision: how well boxes are found and ranked, as COCO and PASCAL VOC measure it.

In: detections and true boxes of images, batch by batch. Out: the mean over classes and IoU thresholds, or one value per
class. What a batch adds are its detections with their scores and whether each was right, so any split into batches
gives the same value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.train.metrics.arrays import Array, as_array, example_weights, require_examples, require_finite
from thalweg.train.metrics.base import Metric
from thalweg.train.metrics.labels import as_labels
from thalweg.train.metrics.matching import RECALLS, average_precision, match

COCO = tuple(np.linspace(0.5, 0.95, 10))
DETECTION, TRUTH = (6,), (5, 6)  # how many columns their rows may have
_NONE = np.zeros(0)
Interpolation = Literal["coco", "area", "voc2007"]


class MeanAveragePrecision(Metric):
    """The mean over classes (and IoU thresholds) of the average precision of detections ranked by score.

    A detection is right if it overlaps a true box of its class, which no better detection has taken, with an IoU of at
    least the threshold. AP is the mean, over recalls r, of the highest precision at recall r or more. Classes without a
    true box have none and are left out of the mean; without any true box it is NaN.

    Detections are (N, K, 6), rows of x1, y1, x2, y2, score, label; targets (N, M, 5), rows of x1, y1, x2, y2, label, or
    (N, M, 6) with a 1 behind the label of boxes that are difficult, which need not be found and are not wrong to find.
    Rows with a negative label are padding (`thalweg.data.boxes.padded_boxes`). Instead of one array for all images both
    may be lists with one array for each image.

    Args:
        iou_thresholds: 0.5 (default), several, or ``"coco"``: 0.5, 0.55, ... 0.95, of which the mean is taken.
        average: ``"macro"`` (default), the mean over classes; None, an array with one value per class.
        decode: turns the model's output into detections, such as the `decoder` of a `CenterNet`; default none.
        interpolation: the recalls of the mean. ``"coco"`` (default): 101 of them; ``"area"``: all, as VOC since 2010;
            ``"voc2007"``: 11.
        max_detections: only so many of an image and class count, the best ones; default 100, as COCO.
        name: default ``"map_50"`` for a threshold of 0.5, ``"map"`` for several.

    Example:
        >>> metric = MeanAveragePrecision()
        >>> metric.update([[[0, 0, 4, 4, 0.9, 0], [5, 5, 9, 9, 0.8, 0]]], [[[0, 0, 4, 4, 0], [20, 20, 24, 24, 0]]])
        >>> round(metric.compute(), 4)
        0.505

    Source: Everingham et al., IJCV 2010; Lin et al., "Microsoft COCO", ECCV 2014; agrees with pycocotools.
    """

    def __init__(
        self,
        iou_thresholds: float | Sequence[float] | Literal["coco"] = 0.5,
        average: Literal["macro"] | None = "macro",
        decode: Callable[[Array], Any] | None = None,
        interpolation: Interpolation = "coco",
        max_detections: int = 100,
        name: str | None = None,
    ) -> None:
        self.iou_thresholds = _thresholds(iou_thresholds)
        if average not in ("macro", None):
            raise ArgumentError(explain("unknown average", received=repr(average), expected="'macro' or None"))
        if interpolation not in (*RECALLS, "area"):
            expected = "'coco', 'area' or 'voc2007'"
            raise ArgumentError(explain("unknown interpolation", received=repr(interpolation), expected=expected))
        if max_detections < 1:
            raise ArgumentError(explain("max_detections is too small", received=max_detections, expected="1 or more"))
        self.average, self.interpolation = average, interpolation
        self.decode, self.max_detections = decode, max_detections
        super().__init__(name)

    def _default_name(self) -> str:
        one = len(self.iou_thresholds) == 1
        return f"map_{round(self.iou_thresholds[0] * 100)}" if one else "map"

    def empty_sums(self) -> dict[str, Array]:
        rows = 3 + 2 * len(self.iou_thresholds)  # label, score, weight, hit at each threshold, unjudged at each
        return {"weight": np.zeros(()), "truths": np.zeros(0), "detections": np.zeros((0, rows))}

    def update(self, prediction: Any, target: Any, weight: Any = None) -> None:
        if self.decode is not None:
            prediction = self.decode(self._array(prediction, "prediction"))
        pair = (self._images(prediction, "prediction", DETECTION), self._images(target, "target", TRUTH))
        if len(pair[0]) != len(pair[1]):
            received = f"{len(pair[0])} images with detections, {len(pair[1])} with true boxes"
            raise ShapeError(explain("every image needs both", received=received, where=self._where))
        self.add_batch(*pair, weight)

    def _images(self, value: Any, role: str, widths: tuple[int, ...]) -> Any:
        """One array of rows for each image, without padding."""
        images = value if isinstance(value, list | tuple) else self._array(value, role)
        if not isinstance(images, list | tuple):
            require_examples(images, role, self._where)
        return [self._rows(each, f"{role} of image {place}", widths) for place, each in enumerate(images)]

    def _rows(self, value: Any, role: str, widths: tuple[int, ...]) -> Array:
        rows = as_array(value, role, self._where).astype(np.float64)
        rows = rows.reshape(0, widths[0]) if rows.size == 0 else rows
        if rows.ndim != 2 or rows.shape[1] not in widths:
            raise self._other_form(role, rows, widths)
        require_finite(rows, role, self._where)
        rows = rows[rows[:, _label_column(widths)] >= 0]
        as_labels(rows[:, _label_column(widths)], None, role, self._where)
        return rows

    def _other_form(self, role: str, rows: Array, widths: tuple[int, ...]) -> ShapeError:
        is_found = widths == DETECTION
        columns = "x1, y1, x2, y2, score, label" if is_found else "x1, y1, x2, y2, label (, difficult)"
        remedy = "pass decode= if this is what the model returns" if is_found else "see thalweg.data.boxes.padded_boxes"
        problem, received, expected = f"the {role} has another form", f"shape {rows.shape}", f"rows of {columns}"
        return ShapeError(explain(problem, received=received, expected=expected, where=self._where, remedy=remedy))

    def add_batch(self, prediction: Any, target: Any, weight: Any) -> None:
        weights = example_weights(weight, (len(target),), self._where)
        counted = np.flatnonzero(weights)
        added = [self._judge(prediction[place], target[place], weights[place]) for place in counted]
        labels = [target[place][:, 4][~_difficult(target[place])] for place in counted]
        shares = [np.full(len(each), weights[place]) for each, place in zip(labels, counted, strict=True)]
        self.sums["truths"] = self._grown(np.concatenate([_NONE, *labels]), np.concatenate([_NONE, *shares]))
        self.sums["detections"] = np.concatenate([self.sums["detections"], *added])
        self.sums["weight"] = self.sums["weight"] + weights.sum()

    def _grown(self, labels: Array, shares: Array) -> Array:
        """The true boxes of each class, these among them."""
        counts = np.bincount(labels.astype(np.int64), shares, self._classes)
        counts = counts.astype(np.float64)  # of no boxes NumPy counts in integers
        counts[: self._classes] += self.sums["truths"]
        return counts

    @property
    def _classes(self) -> int:
        return int(self.sums["truths"].size)

    def _judge(self, found: Array, true: Array, weight: float) -> Array:
        """Rows for `sums["detections"]`: those of one image, class by class."""
        kept = [np.zeros((0, self.sums["detections"].shape[1]))]
        for label in np.unique(found[:, 5]):
            own = found[found[:, 5] == label]
            own = own[np.argsort(-own[:, 4], kind="stable")[: self.max_detections]]
            of_class = true[true[:, 4] == label]
            levels = np.array(self.iou_thresholds)
            hits, unjudged = match(own[:, :4], of_class[:, :4], _difficult(of_class), levels)
            shares = np.full((len(own), 1), weight)
            kept.append(np.concatenate([own[:, [5, 4]], shares, hits, unjudged], axis=1))
        return np.concatenate(kept)

    def formula(self) -> float | Array:
        per_class = np.array([self._of_class(label) for label in range(self._classes)])
        if self.average is None:
            return per_class
        known = per_class[~np.isnan(per_class)]
        return float(known.mean()) if known.size else float("nan")

    def _of_class(self, label: int) -> float:
        truths, rows = float(self.sums["truths"][label]), self.sums["detections"]
        if truths == 0:
            return float("nan")
        own = rows[rows[:, 0] == label]
        own = own[np.argsort(-own[:, 1], kind="stable")]
        return float(np.mean([self._at(own, place, truths) for place in range(len(self.iou_thresholds))]))

    def _at(self, own: Array, place: int, truths: float) -> float:
        """The average precision at one threshold, for the detections of one class by falling score."""
        hits, unjudged = own[:, 3 + place] > 0, own[:, 3 + len(self.iou_thresholds) + place] > 0
        return average_precision(hits[~unjudged], own[~unjudged, 2], truths, self.interpolation)


def _label_column(widths: tuple[int, ...]) -> int:
    return 5 if widths == DETECTION else 4


def _difficult(rows: Array) -> Array:
    return rows[:, 5] > 0 if rows.shape[1] == 6 else np.zeros(len(rows), dtype=bool)


def _thresholds(given: Any) -> tuple[float, ...]:
    values = COCO if isinstance(given, str) and given == "coco" else np.atleast_1d(given).tolist()
    is_legal = len(values) > 0 and all(isinstance(each, float | int) and 0 < each <= 1 for each in values)
    if not is_legal:
        expected = "numbers above 0 and up to 1, or 'coco'"
        raise ArgumentError(explain("these are no IoU thresholds", received=repr(given), expected=expected))
    return tuple(float(each) for each in values)
