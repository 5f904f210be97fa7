"""Arrays that begin on a cache line, and who owns them.

In: shapes. Out: addresses, and that views are told from owners.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest

import thalweg as tw
from thalweg.compile.memory import empty_array, has_own_memory
from thalweg.dtype import bool_, float32, float64


@pytest.mark.parametrize("shape", [(), (0,), (3, 5), (64, 64), (100, 300)], ids=str)
def test_an_array_has_its_shape_and_large_ones_begin_on_a_cache_line(shape: tuple[int, ...]) -> None:
    for dtype in (float32, float64, bool_):
        array = empty_array(shape, dtype)
        assert (array.shape, array.dtype, type(array)) == (shape, dtype.numpy, np.ndarray)
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.nbytes < 1 << 14 or array.ctypes.data % 64 == 0
        assert has_own_memory(array)


@pytest.mark.parametrize("shape", [(3, 5), (100, 300)], ids=str)
def test_a_view_holds_the_array_and_owns_nothing(shape: tuple[int, ...]) -> None:
    array = empty_array(shape, float32)
    held = sys.getrefcount(array)
    views = [array[1:], array.T, array.reshape(-1)[2:], array[1:][1:]]
    assert not any(has_own_memory(view) for view in views)
    assert all(view.base is array for view in views)
    assert sys.getrefcount(array) == held + len(views)


def test_a_cell_that_somebody_shows_is_not_written_where_it_lies() -> None:
    cell = tw.zeros(200, 200)

    @tw.compile
    def step(x: tw.Tensor) -> None:
        cell.add_(x)

    ones = tw.ones(200, 200)
    for _ in range(3):
        step(ones)
    shown = cell.detach().numpy()
    view, before = shown[10:], shown.copy()
    for _ in range(3):
        step(ones)
    np.testing.assert_array_equal(cell.numpy(), before + 3)
    assert view is not None
