"""Rows of boxes: padded, clipped, dropped; empty rows stay empty and come last.

In: boxes by hand and from hypothesis.
Out: rows of one number, however many boxes there are.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data.boxes import areas, kept_within, mapped, padded_boxes, scaled, shifted, split_boxes
from thalweg.errors import DataError

corner = st.floats(-20, 40, width=32)


def test_boxes_are_padded_and_split_again():
    rows = padded_boxes([[1, 2, 3, 4], [5, 6, 9, 8]], [2, 0], 4)
    assert rows.shape == (4, 5)
    assert (rows[2:] == -1).all()
    corners, labels = split_boxes(rows)
    assert corners.tolist() == [[1, 2, 3, 4], [5, 6, 9, 8]]
    assert labels.tolist() == [2, 0]
    assert split_boxes(padded_boxes([], [], 3))[0].shape == (0, 4)


def test_more_boxes_than_rows_are_refused():
    with pytest.raises(DataError, match="most_boxes=2"):
        padded_boxes([[0, 0, 1, 1]] * 2, [0, 0], 1)


@given(st.lists(st.tuples(corner, corner, corner, corner), max_size=6), st.floats(0, 1))
def test_what_is_kept_lies_inside_and_shows_enough(corners, least):
    boxes = [[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in corners]
    before = padded_boxes(boxes, range(len(boxes)), 7)
    after = kept_within(before[None], 12, 20, least)[0]
    held = after[:, 4] >= 0
    assert held.tolist() == sorted(held.tolist(), reverse=True)
    assert (after[~held] == -1).all()
    for row in after[held]:
        old = before[int(row[4])]
        assert 0 <= row[0] < row[2] <= 20
        assert 0 <= row[1] < row[3] <= 12
        assert areas(row) >= least * areas(old) * (1 - 1e-5)
    kept = {int(row[4]) for row in after[held]}
    for number, (left, top, right, bottom) in enumerate(boxes):
        visible = max(0, min(right, 20) - max(left, 0)) * max(0, min(bottom, 12) - max(top, 0))
        whole = (right - left) * (bottom - top)
        if visible > 1e-3 and visible > least * whole * 1.001:
            assert number in kept


def test_empty_rows_stay_empty_wherever_boxes_go():
    boxes = padded_boxes([[0, 0, 4, 2]], [1], 3)[None]
    one = np.ones(1, dtype=np.float32)
    turn = np.array([[[0.0, 1.0, 0.0], [-1.0, 0.0, 10.0]]])
    for moved in (scaled(boxes, 2.0, 3.0), shifted(boxes, one, one), mapped(boxes, turn)):
        assert (moved[0, 1:] == -1).all()
    assert scaled(boxes, 2.0, 3.0)[0, 0].tolist() == [0, 0, 12, 4, 1]
    assert shifted(boxes, one, 2 * one)[0, 0].tolist() == [2, 1, 6, 3, 1]
    assert mapped(boxes, turn)[0, 0].tolist() == [0, 6, 2, 10, 1]
