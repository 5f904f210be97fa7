"""Rows of a table that get updates: vectors with and without a rest, in pieces, from zeros or from what was there."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.compiled import LANES, assert_all_agree, run_both
from thalweg import ops
from thalweg.compile.scattering import scattering_of
from thalweg.dtype import DType, float32, float64, int64
from thalweg.graph import Node, make_input

WIDTHS = (1, LANES - 1, LANES, LANES + 3, 12 * LANES + 1)
ROWS = 9


def arrays(count: int, width: int, dtype: DType) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    draw = generator.standard_normal
    table, updates = (draw((each, width)).astype(dtype.numpy) for each in (ROWS, count))
    return [table, updates, generator.integers(0, ROWS, count)]


def inputs(count: int, width: int, dtype: DType) -> list[Node]:
    return [make_input((ROWS, width), dtype), make_input((count, width), dtype), make_input((count,), int64)]


@pytest.mark.parametrize("dtype", [float32, float64], ids=lambda each: each.name)
@pytest.mark.parametrize("count", [0, 1, 40, 2000])
@pytest.mark.parametrize("width", WIDTHS)
def test_updates_are_added_where_they_belong(width: int, count: int, dtype: DType) -> None:
    table, updates, index = given = inputs(count, width, dtype)
    added = ops.scatter_add(updates, index, shape=table.shape, role="index")
    assert_all_agree(*run_both(given, [added + table], arrays(count, width, dtype)))


@pytest.mark.parametrize("count", [1, 5, 2000])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_last_update_of_a_row_stays(width: int, count: int) -> None:
    given = inputs(count, width, float32)
    put = ops.index_put(*given, role="index")
    assert_all_agree(*run_both(given, [put], arrays(count, width, float32)))


def test_threads_share_columns_of_many_updates() -> None:
    _, updates, index = inputs(2000, 12 * LANES + 1, float32)
    plan = scattering_of(ops.scatter_add(updates, index, shape=(ROWS, updates.shape[1]), role="index"))
    assert plan is not None
    assert plan.pieces.units == 13
    assert plan.pieces.count > 1
