"""Boxes compared with boxes: areas, overlaps, conversions, and the suppression of those that say the same.

In: boxes (N, 4) in pixels, x1, y1, x2, y2 with x1 <= x2 and y1 <= y2; x to the right, y downwards; a box of one pixel
is 1 wide. Out: arrays. Names and arguments are those of `torchvision.ops`. Batches of boxes are rows as in `boxes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from thalweg.errors import ArgumentError, NonFiniteError, ShapeError, explain

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def as_corners(boxes: Any, name: str = "boxes") -> Array:
    """A floating array (N, 4), or an error that says what is wrong; an empty list is no boxes.

    Raises:
        ShapeError: not (N, 4).
        NonFiniteError: NaN or infinity among the coordinates.
    """
    array: Array = np.asarray(boxes.numpy() if hasattr(boxes, "numpy") else boxes)
    if array.size == 0:
        array = array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ShapeError(
            explain(f"{name} are no boxes", received=f"shape {array.shape}", expected="(N, 4): x1, y1, x2, y2")
        )
    array = array if array.dtype.kind == "f" else array.astype(np.float64)
    if not np.isfinite(array).all():
        first = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise NonFiniteError(
            explain(f"{name} hold numbers that are not finite", received=array[first].tolist(), where=f"box {first}")
        )
    return array


# --- conversions -----------------------------------------------------------------------------------------------------


def box_convert(boxes: Any, in_fmt: str, out_fmt: str) -> Array:
    """Boxes in another format: "xyxy" (corners), "xywh" (corner and size) or "cxcywh" (centre and size).

    >>> box_convert([[1, 1, 3, 5]], "xyxy", "cxcywh")
    array([[2., 3., 2., 4.]])
    """
    for name, given in (("in_fmt", in_fmt), ("out_fmt", out_fmt)):
        if given not in _TO_CORNERS:
            expected = ", ".join(map(repr, _TO_CORNERS))
            raise ArgumentError(explain(f"box_convert: unknown {name}", received=repr(given), expected=expected))
    array = as_corners(boxes)
    if in_fmt == out_fmt:
        return array.copy()
    first, second = _TO_CORNERS[in_fmt](array[:, :2], array[:, 2:])
    return np.concatenate(_FROM_CORNERS[out_fmt](first, second), axis=1)


_TO_CORNERS: dict[str, Any] = {
    "xyxy": lambda a, b: (a, b),
    "xywh": lambda a, size: (a, a + size),
    "cxcywh": lambda centre, size: (centre - size / 2, centre + size / 2),
}
_FROM_CORNERS: dict[str, Any] = {
    "xyxy": lambda a, b: (a, b),
    "xywh": lambda a, b: (a, b - a),
    "cxcywh": lambda a, b: ((a + b) / 2, b - a),
}


def clip_boxes_to_image(boxes: Any, size: Sequence[int]) -> Array:
    """Boxes cut off at the border of an image of `size` (height, width).

    >>> clip_boxes_to_image([[-5, 2, 30, 8]], (10, 20))
    array([[ 0.,  2., 20.,  8.]])
    """
    array, (height, width) = as_corners(boxes), size
    return np.clip(array, 0, np.array([width, height, width, height], dtype=array.dtype))


# --- overlap ---------------------------------------------------------------------------------------------------------


def box_area(boxes: Any) -> Array:
    """Width times height.

    >>> box_area([[0, 0, 2, 3]])
    array([6.])
    """
    array = as_corners(boxes)
    return np.asarray((array[:, 2] - array[:, 0]) * (array[:, 3] - array[:, 1]))


def box_iou(boxes1: Any, boxes2: Any) -> Array:
    """Intersection over union of each box of the first with each of the second: (N, M), between 0 and 1.

    Two boxes without area have an IoU of 0.

    >>> box_iou([[0, 0, 2, 2]], [[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]])
    array([[1.        , 0.33333333, 0.        ]])
    """
    a, b = as_corners(boxes1, "boxes1"), as_corners(boxes2, "boxes2")
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    shared = np.clip(sides, 0, None).prod(axis=-1)
    union = box_area(a)[:, None] + box_area(b)[None] - shared
    return np.asarray(shared / np.where(union > 0, union, 1))


# --- suppression -----------------------------------------------------------------------------------------------------


def nms(boxes: Any, scores: Any, iou_threshold: float) -> Array:
    """Non-maximum suppression: of boxes that overlap by more than `iou_threshold` only the best is kept.

    Goes through the boxes by falling score (of equal scores the first comes first) and drops each whose IoU with one
    that was kept is larger than the threshold. Returns the positions of those kept, best first.

    >>> nms([[0, 0, 4, 4], [0, 0, 4, 5], [8, 8, 9, 9]], [0.6, 0.9, 0.3], 0.5)
    array([1, 2])
    """
    array, values = as_corners(boxes), _scores(boxes, scores)
    if not 0 <= iou_threshold <= 1:
        raise ArgumentError(explain("nms: iou_threshold out of range", received=iou_threshold, expected="0 to 1"))
    kept, left = [np.zeros(0, dtype=np.int64)], np.argsort(-values, kind="stable")
    while left.size:  # in blocks, so that ten thousand boxes do not make a matrix of a hundred million overlaps
        block, left = left[:_BLOCK], left[_BLOCK:]
        kept.append(block[_not_suppressed(box_iou(array[block], array[block]) > iou_threshold)])
        left = left[~(box_iou(array[kept[-1]], array[left]) > iou_threshold).any(axis=0)]
    return np.concatenate(kept)


_BLOCK = 512


def _not_suppressed(overlaps: Array) -> Array:
    """For boxes from best to worst and which of them overlap: those that no better one suppresses."""
    dropped = np.zeros(len(overlaps), dtype=bool)
    for place, row in enumerate(overlaps):
        if not dropped[place]:
            dropped[place + 1 :] |= row[place + 1 :]
    return ~dropped


def batched_nms(boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Array:
    """`nms` for every class by itself: boxes of different `idxs` (N,) never suppress each other.

    >>> batched_nms([[0, 0, 4, 4], [0, 0, 4, 4]], [0.6, 0.9], [0, 1], 0.5)
    array([1, 0])
    """
    array, values, classes = as_corners(boxes), _scores(boxes, scores), np.asarray(idxs)
    if classes.shape != values.shape:
        received = f"idxs {classes.shape}, boxes {array.shape}"
        raise ShapeError(explain("batched_nms: one class for each box", received=received, expected="(N,) and (N, 4)"))
    kept = [
        members[nms(array[members], values[members], iou_threshold)]
        for members in (np.flatnonzero(classes == each) for each in np.unique(classes))
    ]
    found = np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *kept]))
    return found[np.argsort(-values[found], kind="stable")]


def _scores(boxes: Any, scores: Any) -> Array:
    array, values = as_corners(boxes), np.asarray(scores, dtype=np.float64).reshape(-1)
    if len(values) != len(array):
        received = f"{len(array)} boxes, {len(values)} scores"
        raise ShapeError(explain("one score for each box", received=received, expected="as many of both"))
    if np.isnan(values).any():
        raise NonFiniteError(explain("a score is NaN", received=f"at position {int(np.isnan(values).argmax())}"))
    return values
