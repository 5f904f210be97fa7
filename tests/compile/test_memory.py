"""Where values lie in an arena; arrays that begin on a cache line, and who owns them.

In: lives and sizes; shapes. Out: offsets that do not meet, addresses, and that views are told from owners.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import thalweg as tw
from thalweg.compile.memory import empty_array, has_own_memory, plan_arena, plan_loosely, plan_tightly
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


LIVES = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 5), st.integers(1, 2000)), max_size=12)


@pytest.mark.parametrize("plan", [plan_arena, plan_loosely, plan_tightly], ids=lambda plan: plan.__name__)
@given(lives=LIVES)
def test_values_that_live_at_the_same_time_lie_apart(plan: Any, lives: list[tuple[int, int, int]]) -> None:
    lives = sorted(lives)
    births = [(birth, index) for index, (birth, _, _) in enumerate(lives)]
    sizes = {index: size for index, (_, _, size) in enumerate(lives)}
    deaths = {index: birth + life for index, (birth, life, _) in enumerate(lives)}
    offsets, total = plan(births, sizes, deaths)
    for (birth, a), (later, b) in itertools.combinations(births, 2):
        if later <= deaths[a] and birth <= deaths[b]:
            assert offsets[a] + sizes[a] <= offsets[b] or offsets[b] + sizes[b] <= offsets[a]
    assert all(offsets[each] + sizes[each] <= total for each in offsets)
