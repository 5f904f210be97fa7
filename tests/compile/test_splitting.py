"""Large sums in two stages: which are cut, that the cut depends on shapes alone, and that the sum stays the sum.

In: sums over several axes. Out: sums of sums where there is enough to share, and the numbers of NumPy.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.compiled import assert_compiled_equals_numpy
from thalweg import ops
from thalweg.compile.executable import Executable
from thalweg.compile.program import Program
from thalweg.compile.splitting import pass_split
from thalweg.dtype import float32, int64
from thalweg.graph import Node, Shape, make_input
from thalweg.verify import verify


def cut_of(
    shape: Shape, axes: tuple[int, ...], record: object = ops.sum_, dtype: object = float32
) -> list[tuple[int, ...]]:
    """Which axes are summed, stage by stage."""
    x = make_input(shape, dtype)  # type: ignore[arg-type]
    outputs = pass_split([record(x, axes=axes)])  # type: ignore[operator]
    verify(outputs)
    stages, node = [], outputs[0]
    while node.inputs:
        stages.append(node.attributes["axes"])
        (node,) = node.inputs
    return stages[::-1]


@pytest.mark.parametrize(
    ("shape", "axes", "stages"),
    [
        ((32, 64, 8, 8), (0, 2, 3), [(2, 3), (0,)]),
        ((32, 8, 8, 64), (0, 1, 2), [(1, 2), (0,)]),
        ((4, 64, 64, 8), (0, 1, 2), [(2,), (0, 1)]),
        ((1, 64, 64, 32), (0, 1, 2), [(2,), (0, 1)]),
        ((256, 512), (0, 1), [(1,), (0,)]),
        ((2, 100_000), (0, 1), [(0, 1)]),  # two parts are not worth it
        ((100_000,), (0,), [(0,)]),  # one axis
        ((256, 512), (0,), [(0,)]),
        ((32, 8, 8, 16), (0, 1, 2), [(0, 1, 2)]),  # small
        ((32, 64, 64, 8), (1, 2), [(1, 2)]),  # each sample is a part already
        ((4, 64, 64, 8), (1, 2), [(1,), (2,)][::-1]),
    ],
    ids=str,
)
def test_which_sums_are_cut_and_where(shape: Shape, axes: tuple[int, ...], stages: list[tuple[int, ...]]) -> None:
    assert cut_of(shape, axes) == stages


def test_integers_too() -> None:
    assert cut_of((256, 512), (0, 1), dtype=int64) == [(1,), (0,)]


def test_an_extreme_is_left_as_it_is() -> None:
    assert cut_of((256, 512), (0, 1), ops.amax) == [(0, 1)]


@pytest.mark.parametrize("shape", [(32, 8, 8, 64), (9, 3, 50, 70), (70_001, 2, 3)], ids=str)
def test_the_sum_stays_the_sum(shape: Shape) -> None:
    x, n = make_input(shape, float32), make_input(shape, int64)
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=shape).astype(np.float32), generator.integers(-9, 9, shape)]
    axes = tuple(range(len(shape) - 1))
    outputs: list[Node] = [ops.sum_(x, axes=axes), ops.sum_(ops.tanh(x), axes=axes), ops.sum_(n, axes=axes)]
    assert_compiled_equals_numpy([x, n], outputs, arrays, tolerance=2e-5)


def test_entries_that_are_all_alike_lose_little() -> None:
    """A million times 0.1: far better than one chain of roundings."""
    x = make_input((1000, 1000), float32)
    array = np.full(x.shape, 0.1, np.float32)
    exact = array.astype(np.float64).sum()
    (found,) = Executable(Program((x,), (ops.sum_(x, axes=(0, 1)),)))([array])
    assert abs(found.item() - exact) < 1e-6 * exact
