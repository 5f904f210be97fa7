"""Boxes as one array of a fixed number of rows, so that samples with one object and with thirty stack into a batch.

In: rows (x_min, y_min, x_max, y_max, class) in pixels, float32 of shape (..., most, 5); rows of -1 are empty. Out: the
same after a picture was flipped, cut or turned; boxes of which too little is left become empty rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import DataError, explain

COLUMNS = 5
EMPTY = -1.0


def padded_boxes(boxes: ArrayLike, labels: ArrayLike, most: int) -> np.ndarray:
    """Corners (k, 4) and class numbers (k,) as float32 (most, 5); DataError if there are more than `most`.

    >>> padded_boxes([[0, 0, 4, 2]], [1], 2).tolist()
    [[0.0, 0.0, 4.0, 2.0, 1.0], [-1.0, -1.0, -1.0, -1.0, -1.0]]
    """
    corners = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    if len(corners) > most:
        raise DataError(
            explain(
                "more boxes than rows",
                received=f"{len(corners)} boxes",
                expected=f"at most {most}",
                remedy=f"pass most_boxes={len(corners)} or more",
            )
        )
    rows = np.full((most, COLUMNS), EMPTY, dtype=np.float32)
    rows[: len(corners), :4], rows[: len(corners), 4] = corners, np.asarray(labels)
    return rows


def present(boxes: np.ndarray) -> np.ndarray:
    """Which rows hold a box: bool (..., most)."""
    return np.asarray(boxes[..., 4] >= 0)


def kept_within(
    boxes: np.ndarray, height: int, width: int, least_visible: float, whole_areas: np.ndarray | None = None
) -> np.ndarray:
    """Boxes clipped to a picture; those that keep less than a share of their area, or no area, become empty rows.

    `whole_areas` are those before clipping where corners alone do not tell (a turned box's corners grow).
    The boxes that stay move up, so that the empty rows come last.
    """
    whole = areas(boxes) if whole_areas is None else whole_areas
    clipped = boxes.copy()
    clipped[..., 0:4:2] = np.clip(boxes[..., 0:4:2], 0, width)
    clipped[..., 1:4:2] = np.clip(boxes[..., 1:4:2], 0, height)
    left = areas(clipped)
    stays = present(boxes) & (left > 0) & (left >= least_visible * whole)
    clipped[~stays] = EMPTY
    order = np.argsort(~stays, axis=-1, kind="stable")
    return np.take_along_axis(clipped, order[..., None], axis=-2)


def areas(boxes: np.ndarray) -> np.ndarray:
    """Width times height of each row, (..., most); 0 for empty rows."""
    return np.asarray((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))


def scaled(boxes: np.ndarray, vertical: float | np.ndarray, horizontal: float | np.ndarray) -> np.ndarray:
    """Boxes of a picture that was resized by these factors (numbers, or one for each sample)."""
    factors = np.stack(np.broadcast_arrays(horizontal, vertical, horizontal, vertical), axis=-1)
    return with_corners(boxes, boxes[..., :4] * np.reshape(factors, (*np.shape(factors)[:-1], 1, 4)))


def shifted(boxes: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Boxes moved by pixels, one pair of numbers for each sample."""
    return with_corners(boxes, boxes[..., :4] + np.stack([right, down, right, down], axis=-1)[:, None, :])


def with_corners(boxes: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """The same boxes at other places; empty rows stay empty."""
    moved = boxes.copy()
    moved[..., :4] = np.where(present(boxes)[..., None], corners, EMPTY)
    return moved


def mapped(boxes: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """The smallest upright boxes around boxes whose corners affine maps move; `matrices` are (n, 2, 3), x first."""
    left, top, right, bottom = (boxes[..., column] for column in range(4))
    corners = np.stack([[left, right, left, right], [top, top, bottom, bottom]])  # (2, 4, n, most)
    matrix = matrices.transpose(1, 2, 0)[..., None]
    x, y = (row[0] * corners[0] + row[1] * corners[1] + row[2] for row in matrix)
    return with_corners(boxes, np.stack([x.min(0), y.min(0), x.max(0), y.max(0)], axis=-1))


def split_boxes(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One picture's rows as corners (k, 4) and class numbers int64 (k,), without the empty ones."""
    rows = boxes[present(boxes)]
    return rows[:, :4], rows[:, 4].astype(np.int64)


def most_of(counts: Sequence[int]) -> int:
    """The number of rows that holds every picture's boxes; at least one, so that no array has an empty axis."""
    return max([1, *counts])
