"""Mean average precision against pycocotools and a naive twin, and the matching of boxes by its own laws.

In: random images with boxes and detections, and the degenerate ones: none of either, ties, duplicates, one class only.
Out: COCO's numbers to 1e-9, one value for any split into batches, and errors that name what is wrong.
"""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
import pytest

from tests.support.sweep import sweep
from thalweg.errors import ArgumentError, DataError, DTypeError, NonFiniteError, ShapeError, ThalwegError
from thalweg.train.metrics import MeanAveragePrecision, get_metric


def problem(seed, images=6, classes=3, most=8, grid=40):
    """Whole-numbered boxes, so that no IoU lies within rounding of a threshold; scores with ties."""
    rng = np.random.default_rng(seed)

    def boxes(count):
        corner = rng.integers(0, grid, (count, 2))
        return np.concatenate([corner, corner + rng.integers(1, 20, (count, 2))], axis=1).astype(float)

    targets, found = [], []
    for _ in range(images):
        true = np.concatenate([boxes(k := rng.integers(0, most + 1)), rng.integers(0, classes, (k, 1))], axis=1)
        near = true[rng.random(k) < 0.8]
        moved = near[:, :4] + rng.integers(-2, 3, (len(near), 4))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        corners = np.concatenate([moved, boxes(extra := rng.integers(0, most))])
        labels = np.concatenate([near[:, 4], rng.integers(0, classes, extra)])
        scores = np.round(rng.random(len(corners)), 1)
        targets.append(true)
        found.append(np.concatenate([corners, scores[:, None], labels[:, None]], axis=1))
    return found, targets


def coco(found, targets, classes, max_detections=100):
    """The precision at every threshold, recall and class, (T, R, K), by pycocotools."""
    peer, evaluation = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    annotations, results = [], []
    for image, (rows, true) in enumerate(zip(found, targets, strict=True), start=1):
        for x1, y1, x2, y2, label in true:
            annotations.append({"image_id": image, "category_id": int(label) + 1, "bbox": [x1, y1, x2 - x1, y2 - y1],
                                "area": (x2 - x1) * (y2 - y1), "iscrowd": 0, "id": len(annotations) + 1})  # fmt: skip
        for x1, y1, x2, y2, score, label in rows:
            results.append({"image_id": image, "category_id": int(label) + 1, "bbox": [x1, y1, x2 - x1, y2 - y1],
                            "score": score})  # fmt: skip
    data = {"images": [{"id": i + 1} for i in range(len(found))], "annotations": annotations,
            "categories": [{"id": i + 1} for i in range(classes)], "info": {}}  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = peer.COCO()
        truth.dataset = data
        truth.createIndex()
        judged = evaluation.COCOeval(truth, truth.loadRes(results), "bbox")
        judged.params.maxDets = [max_detections]
        judged.evaluate()
        judged.accumulate()
    precision = judged.eval["precision"][..., 0, 0]  # of all areas
    return np.where(precision < 0, np.nan, precision)


def value_of(found, targets, **options):
    metric = MeanAveragePrecision(**options)
    metric.update(found, targets)
    return metric.compute()


# --- against pycocotools ---------------------------------------------------------------------------------------------


@pytest.mark.peer
@pytest.mark.parametrize("seed", sweep(range(60), fraction=0.25, seed=51))
@pytest.mark.parametrize("max_detections", [100, 2])
def test_values_are_those_of_pycocotools(seed, max_detections):
    classes = 1 + seed % 4
    found, targets = problem(seed, images=1 + seed % 7, classes=classes)
    if not sum(map(len, found)) or not sum(map(len, targets)):
        pytest.skip("pycocotools takes no empty results")
    precision = coco(found, targets, classes, max_detections)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        per_class = precision.mean(axis=(0, 1))
        expected = np.nanmean(precision), np.nanmean(precision[0])
    options = {"max_detections": max_detections}
    np.testing.assert_allclose(value_of(found, targets, iou_thresholds="coco", **options), expected[0], atol=1e-9)
    np.testing.assert_allclose(value_of(found, targets, **options), expected[1], atol=1e-9)
    ours = value_of(found, targets, iou_thresholds="coco", average=None, **options)
    np.testing.assert_allclose(ours, per_class[: len(ours)], atol=1e-9)
    assert np.isnan(per_class[len(ours) :]).all()


# --- against a naive twin --------------------------------------------------------------------------------------------


def naive_iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height)


def naive_voc_ap(found, targets, label, threshold):
    """VOC's area under the curve, with the best free box of the image for each detection, one at a time."""
    ranked = sorted(
        ((-row[4], image, place, row) for image, rows in enumerate(found) for place, row in enumerate(rows)
         if row[5] == label), key=lambda entry: entry[:3],
    )  # fmt: skip
    free = [[true for true in rows if true[4] == label] for rows in targets]
    count = sum(map(len, free))
    if not count:
        return np.nan
    right, curve = 0, []
    for number, (_, image, _, row) in enumerate(ranked, start=1):
        best = max(free[image], key=lambda true: naive_iou(row, true), default=None)
        if best is not None and naive_iou(row, best) >= threshold:
            free[image] = [true for true in free[image] if true is not best]
            right += 1
        curve.append((right / count, right / number))
    total, before = 0.0, 0.0
    for place, (recall, _) in enumerate(curve):
        total += (recall - before) * max(precision for _, precision in curve[place:])
        before = recall
    return total


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.75])
@pytest.mark.parametrize("seed", range(8))
def test_area_under_the_curve_is_that_of_a_naive_twin(seed, threshold):
    found, targets = problem(100 + seed)
    ours = value_of(found, targets, iou_thresholds=threshold, average=None, interpolation="area")
    theirs = [naive_voc_ap(found, targets, label, threshold) for label in range(len(ours))]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_eleven_points_by_hand():
    """One of two found first, then a miss: precision 1 up to recall 0.5, nothing beyond it: 6 of 11 recalls."""
    found = [[[0, 0, 4, 4, 0.9, 0], [50, 50, 54, 54, 0.8, 0]]]
    targets = [[[0, 0, 4, 4, 0], [20, 20, 24, 24, 0]]]
    assert value_of(found, targets, interpolation="voc2007") == pytest.approx(6 / 11)
    assert value_of(found, targets, interpolation="area") == pytest.approx(0.5)
    assert value_of(found, targets) == pytest.approx(51 / 101)


# --- laws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_any_split_into_batches_gives_the_same_bits(seed):
    found, targets = problem(200 + seed, images=9)
    whole = MeanAveragePrecision("coco", average=None)
    whole.update(found, targets)
    split = MeanAveragePrecision("coco", average=None)
    for start, stop in ((0, 1), (1, 1), (1, 5), (5, 9)):
        split.update(found[start:stop], targets[start:stop])
    np.testing.assert_array_equal(whole.compute(), split.compute())
    again = MeanAveragePrecision("coco", average=None)
    again.load_state_dict(whole.state_dict())
    np.testing.assert_array_equal(again.compute(), whole.compute())


def test_padding_changes_nothing():
    found, targets = problem(3)

    def padded(rows, width, most):
        array = np.full((most, width), -1.0)
        array[: len(rows)] = rows
        return array

    arrays = np.stack([padded(each, 6, 30) for each in found]), np.stack([padded(each, 5, 20) for each in targets])
    assert value_of(*arrays) == value_of(found, targets)


def test_perfect_detections_score_one_and_a_duplicate_counts_against_them():
    _, targets = problem(4)
    perfect = [np.insert(true, 4, 0.5, axis=1) for true in targets]
    assert value_of(perfect, targets, iou_thresholds="coco") == 1.0
    doubled = [np.concatenate([rows, rows]) for rows in perfect]
    assert value_of(doubled, targets) < 1.0


def test_difficult_boxes_are_neither_owed_nor_wrong():
    found = [[[0, 0, 4, 4, 0.9, 0], [0, 0, 4, 4, 0.8, 0], [10, 10, 14, 14, 0.7, 0]]]
    targets = [[[0, 0, 4, 4, 0, 1], [10, 10, 14, 14, 0, 0]]]
    assert value_of(found, targets) == 1.0
    assert value_of(found, [[[0, 0, 4, 4, 0, 0], [10, 10, 14, 14, 0, 0]]]) < 1.0


def test_degenerate_input():
    nothing = np.zeros((0, 6))
    assert value_of([nothing], [[[0, 0, 4, 4, 1]]]) == 0.0  # class 0 has no true box and no say
    assert np.isnan(value_of([nothing], [np.zeros((0, 5))]))
    assert np.isnan(value_of([[[0, 0, 4, 4, 0.9, 0]]], [np.zeros((0, 5))]))
    np.testing.assert_array_equal(value_of([nothing], [[[0, 0, 4, 4, 1]]], average=None), [np.nan, 0.0])
    assert value_of([[[2, 2, 2, 2, 0.9, 0]]], [[[2, 2, 2, 2, 0]]]) == 0.0  # no area, no overlap


def test_images_of_weight_zero_are_left_out():
    metric = MeanAveragePrecision()
    metric.update([[[0, 0, 4, 4, 0.9, 0]], [[9, 9, 10, 10, 1.0, 0]]], [[[0, 0, 4, 4, 0]], [[0, 0, 1, 1, 0]]], [1, 0])
    assert metric.compute() == 1.0


def test_the_models_output_is_decoded():
    metric = MeanAveragePrecision(decode=lambda output: np.concatenate([output, output[..., :1] * 0], axis=-1))
    metric.update([[[0.0, 0, 4, 4, 0.9]]], [[[0, 0, 4, 4, 0]]])
    assert metric.compute() == 1.0


def test_names():
    assert [get_metric(name).name for name in ("map_50", "map")] == ["map_50", "map"]
    assert MeanAveragePrecision(0.75).name == "map_75"


@pytest.mark.parametrize(
    ("action", "error", "words"),
    [
        (lambda m: m.compute(), DataError, ("nothing to be computed from",)),
        (lambda m: m.update(np.zeros((1, 3, 5)), np.zeros((1, 2, 5))), ShapeError, ("score", "decode=")),
        (lambda m: m.update(np.zeros((1, 3, 6)), np.zeros((2, 2, 5))), ShapeError, ("1 images", "2 with true")),
        (lambda m: m.update([[[0, 0, 1, 1, np.nan, 0]]], [[[0, 0, 1, 1, 0]]]), NonFiniteError, ("image 0",)),
        (lambda m: m.update([[[0, 0, 1, 1, 0.5, 0.5]]], [[[0, 0, 1, 1, 0]]]), DTypeError, ("0.5",)),
        (lambda m: m.update([[[0, 0, 1, 1, 0.5, 0]]], [[[0, 0, 1, 1, 0]]], [-1.0]), ArgumentError, ("negative",)),
        (lambda m: MeanAveragePrecision(0.0), ArgumentError, ("above 0",)),
        (lambda m: MeanAveragePrecision("voc"), ArgumentError, ("'coco'",)),
        (lambda m: MeanAveragePrecision(average="micro"), ArgumentError, ("'macro' or None",)),
        (lambda m: MeanAveragePrecision(interpolation="twelve"), ArgumentError, ("'voc2007'",)),
        (lambda m: MeanAveragePrecision(max_detections=0), ArgumentError, ("1 or more",)),
    ],
)  # fmt: skip
def test_misuse_is_named(action, error, words):
    metric = MeanAveragePrecision()
    with pytest.raises(error) as caught:
        action(metric)
    assert isinstance(caught.value, ThalwegError)
    assert all(word in str(caught.value) for word in words), caught.value
    assert metric.sums["weight"] == 0
