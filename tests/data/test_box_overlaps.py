"""Boxes against boxes: conversions there and back, overlaps and suppression beside naive twins, and what is refused.

In: random boxes with ties and duplicates, empty lists, boxes without area. Out: equality, and errors with the remedy.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import box_overlaps
from thalweg.data.box_overlaps import batched_nms, box_area, box_convert, box_iou, clip_boxes_to_image, nms
from thalweg.errors import ArgumentError, NonFiniteError, ShapeError

seeds = given(seed=st.integers(0, 2**16))


def boxes(seed, count=12, grid=20):
    """Whole numbers, so that there are ties, duplicates and boxes that touch."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, grid, (count, 2))
    return np.concatenate([corner, corner + rng.integers(0, 10, (count, 2))], axis=1).astype(float)


def naive_iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union else 0.0


def naive_nms(array, scores, threshold):
    kept = []
    for place in sorted(range(len(array)), key=lambda i: (-scores[i], i)):
        if all(naive_iou(array[place], array[other]) <= threshold for other in kept):
            kept.append(place)
    return kept


@seeds
def test_overlap_is_that_of_a_naive_twin(seed):
    a, b = boxes(seed), boxes(seed + 1, 7)
    expected = [[naive_iou(one, other) for other in b] for one in a]
    np.testing.assert_allclose(box_iou(a, b), expected, atol=1e-12)
    np.testing.assert_array_equal(box_iou(a, b), box_iou(b, a).T)


@pytest.mark.parametrize("block", [1, 3, 512])
@seeds
def test_suppression_is_that_of_a_naive_twin(block, seed):
    rng = np.random.default_rng(seed)
    array, scores, classes = boxes(seed, 25), np.round(rng.random(25), 1), rng.integers(0, 3, 25)
    threshold = float(rng.choice([0.0, 0.3, 0.5, 1.0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(box_overlaps, "_BLOCK", block)
        assert nms(array, scores, threshold).tolist() == naive_nms(array, scores, threshold)
        # boxes of different classes, moved far apart, cannot suppress each other
        apart = naive_nms(array + classes[:, None] * 1000, scores, threshold)
        assert batched_nms(array, scores, classes, threshold).tolist() == apart


@seeds
def test_conversions_lead_back(seed):
    array = boxes(seed)
    for one, other in itertools.product(("xyxy", "xywh", "cxcywh"), repeat=2):
        there = box_convert(array, "xyxy", one)
        np.testing.assert_allclose(box_convert(there, one, other), box_convert(array, "xyxy", other))
        np.testing.assert_allclose(box_convert(box_convert(there, one, other), other, "xyxy"), array)
    sides = box_convert(array, "xyxy", "xywh")[:, 2:]
    np.testing.assert_allclose(box_area(array), sides.prod(axis=1))


def test_what_was_converted_is_a_copy():
    array = np.array([[0.0, 0, 2, 2]])
    box_convert(array, "xyxy", "xyxy")[:] = 9
    assert array.max() == 2


def test_clipping_keeps_the_dtype_and_stays_inside():
    clipped = clip_boxes_to_image(np.array([[-3, -4, 50, 60], [5, 5, 6, 6]], np.float32), (20, 30))
    assert clipped.dtype == np.float32
    np.testing.assert_array_equal(clipped, [[0, 0, 30, 20], [5, 5, 6, 6]])


def test_no_boxes_are_no_fault():
    assert box_iou([], [[0, 0, 1, 1]]).shape == (0, 1)
    assert nms([], [], 0.5).tolist() == []
    assert batched_nms([], [], [], 0.5).tolist() == []
    assert box_convert([], "xywh", "xyxy").shape == (0, 4)


@pytest.mark.parametrize(
    ("action", "error", "words"),
    [
        (lambda: box_area([1, 2, 3, 4]), ShapeError, ("(N, 4)",)),
        (lambda: box_iou([[0, 0, 1, np.nan]], []), NonFiniteError, ("boxes1", "box 0")),
        (lambda: box_convert([], "xyxy", "yxyx"), ArgumentError, ("out_fmt", "'cxcywh'")),
        (lambda: nms([[0, 0, 1, 1]], [0.5, 0.6], 0.5), ShapeError, ("1 boxes, 2 scores",)),
        (lambda: nms([[0, 0, 1, 1]], [np.nan], 0.5), NonFiniteError, ("position 0",)),
        (lambda: nms([[0, 0, 1, 1]], [0.5], 1.5), ArgumentError, ("0 to 1",)),
        (lambda: batched_nms([[0, 0, 1, 1]], [0.5], [0, 1], 0.5), ShapeError, ("one class for each box",)),
    ],
)
def test_misuse_is_named(action, error, words):
    with pytest.raises(error) as caught:
        action()
    assert all(word in str(caught.value) for word in words), caught.value
