"""Loop nests mean what NumPy means: every kind of reduction at awkward extents, edges, groups, columns, kept values.

In: small graphs, and arrays that lie amid NaN. Out: agreement with the NumPy meaning, and nothing read or written past
an edge.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from thalweg import ops
from thalweg.compile import native
from thalweg.compile.passes import run_passes
from thalweg.compile.reference import evaluate
from thalweg.compile.target import compiling_for, host, target_named
from thalweg.dtype import DType, float32, float64, int32, int64, uint8
from thalweg.graph import Node, full, make_input

SHAPES = [(), (1,), (15,), (16,), (17,), (67,), (1, 17), (17, 1), (3, 5), (31, 33), (130, 18), (64, 80), (4, 0), (0, 4),
          (2, 3, 5), (3, 1, 17), (5, 2, 32), (2, 3, 4, 5)]  # fmt: skip


def random_array(node: Node, seed: int = 0) -> np.ndarray:
    numbers = np.random.default_rng(seed).uniform(-2, 2, node.shape)
    return (numbers * (1 if node.dtype.is_floating_point else 20)).astype(node.dtype.numpy)


def amid_nan(array: np.ndarray) -> np.ndarray:
    """The same array in the middle of a buffer of NaN (or of the largest integer)."""
    around = 64
    bad = np.nan if array.dtype.kind == "f" else np.iinfo(array.dtype).max
    buffer = np.full(array.size + 2 * around, bad, array.dtype)
    view = buffer[around : around + array.size].reshape(array.shape)
    view[...] = array
    return view


def assert_meant(inputs: Sequence[Node], outputs: Sequence[Node], tolerance: float = 1e-5) -> native.NativeProgram:
    """Compiled equals meant; inputs and results lie amid NaN, and what is around the results stays as it was."""
    arrays = [amid_nan(random_array(node, i)) for i, node in enumerate(inputs)]
    program = native.build(inputs, run_passes(outputs))
    assert program is not None
    results = [amid_nan(np.zeros(node.shape, node.dtype.numpy)) for node in outputs]
    found = program(arrays, dict(enumerate(results)))
    assert found is not None
    meant = evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
    for a, b in zip(found, meant, strict=True):
        scale = float(np.max(np.abs(b), initial=1.0)) if b.dtype.kind == "f" else 0
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)
        if a.base is not None:
            around = np.concatenate([a.base[:64], a.base[-64:]])
            assert np.isnan(around).all() if a.dtype.kind == "f" else (around == np.iinfo(a.dtype).max).all()
    return program


def all_axes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    axes = range(len(shape))
    return [each for count in range(len(shape) + 1) for each in itertools.combinations(axes, count)]


def repeated(node: Node, shape: tuple[int, ...]) -> Node:
    return ops.broadcast(node, shape=shape)


# --- reductions by themselves ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_over_any_axes(shape: tuple[int, ...]) -> None:
    x = make_input(shape, float32)
    assert_meant([x], [ops.sum_(x, axes=axes) for axes in all_axes(shape)])


@pytest.mark.parametrize("dtype", [float32, float64, int32, int64, uint8], ids=str)
@pytest.mark.parametrize("shape", [(17,), (31, 33), (2, 3, 5), (64, 80)], ids=str)
def test_extremes_over_any_axes(shape: tuple[int, ...], dtype: DType) -> None:
    x = make_input(shape, dtype)
    reductions: list[Callable[..., Node]] = [ops.amax, ops.amin, ops.sum_]
    assert_meant([x], [each(x, axes=axes) for axes in all_axes(shape) for each in reductions])


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_nan_wins_an_extreme_wherever_it_stands(axes: tuple[int, ...]) -> None:
    x = make_input((9, 70), float32)
    program = native.build([x], [ops.amax(x, axes=axes), ops.amin(x, axes=axes)])
    assert program is not None
    for place in [(0, 0), (3, 5), (8, 69), (4, 40)]:
        array = np.full((9, 70), -1.0, np.float32)
        array[place] = np.nan
        for found, meant in zip(program([array]) or [], [array.max(axes), array.min(axes)], strict=True):
            np.testing.assert_array_equal(found.reshape(meant.shape), meant)


@pytest.mark.parametrize("shape", [(300_007,), (3, 100_003), (70_001, 3)], ids=str)
def test_long_sums_are_not_one_chain_of_roundings(shape: tuple[int, ...]) -> None:
    x = make_input(shape, float32)
    program = native.build([x], [ops.sum_(x, axes=tuple(range(len(shape))))])
    assert program is not None
    array = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    (found,) = program([array]) or []
    assert abs(found.item() / array.sum(dtype=np.float64) - 1) < 2e-6


# --- rows, columns, and both -----------------------------------------------------------------------------------------


def normalised(x: Node, axes: tuple[int, ...]) -> list[Node]:
    """Mean, deviation, variance, quotient: two passes and what comes after them."""
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    rows = tuple(1 if i in axes else extent for i, extent in enumerate(x.shape))
    mean = ops.divide(ops.sum_(x, axes=axes), full(rows, count, x.dtype))
    deviation = ops.subtract(x, repeated(mean, x.shape))
    variance = ops.divide(ops.sum_(ops.multiply(deviation, deviation), axes=axes), full(rows, count, x.dtype))
    root = ops.sqrt(ops.add(variance, full(rows, 1e-3, x.dtype)))
    return [ops.divide(deviation, repeated(root, x.shape)), variance]


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (5, 17), (6, 16), (7, 40), (2, 3, 33), (4, 1, 9)], ids=str)
def test_normalised_over_any_axes(shape: tuple[int, ...]) -> None:
    x = make_input(shape, float32)
    for axes in all_axes(shape)[1:]:
        assert_meant([x], normalised(x, axes), 1e-4)


def with_columns(shape: tuple[int, int]) -> tuple[list[Node], list[Node]]:
    """What a layer norm does backwards: sums over rows that come back, and sums over columns of the same entries."""
    x, g, w = make_input(shape, float32), make_input(shape, float32), make_input((1, shape[1]), float32)
    normal, _ = normalised(x, (1,))
    weighted = ops.multiply(g, repeated(w, shape))
    back = ops.subtract(weighted, repeated(ops.sum_(ops.multiply(weighted, normal), axes=(1,)), shape))
    columns = [ops.sum_(ops.multiply(g, normal), axes=(0,)), ops.sum_(g, axes=(0,)), ops.amax(back, axes=(0,))]
    return [x, g, w], [back, *columns]


@pytest.mark.parametrize("shape", [(3, 5), (2, 16), (5, 17), (9, 70), (33, 64), (1, 8), (8, 1), (6, 1030)], ids=str)
def test_rows_and_columns_in_one_nest(shape: tuple[int, int]) -> None:
    inputs, outputs = with_columns(shape)
    program = assert_meant(inputs, outputs, 1e-4)
    assert len(program.layout.kernels) == 1 or 1 in shape


@pytest.mark.parametrize("rows", [1, 6])
def test_a_column_is_not_read_before_it_is_whole(rows: int) -> None:
    x = make_input((rows, 20), float32)
    with_total = ops.add(x, repeated(ops.sum_(x, axes=(1,)), x.shape))
    column = ops.sum_(with_total, axes=(0,))
    outputs = [ops.multiply(with_total, repeated(column, x.shape)), ops.exp(column)]
    program = native.build([x], outputs)  # no passes: they would drop the sum over one row
    assert program is not None
    assert len(program.layout.kernels) > 1
    array = random_array(x)
    for found, meant in zip(program([array]) or [], evaluate(outputs, {x: array}), strict=True):
        np.testing.assert_allclose(found, meant, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 5), (4, 100), (5, 16), (130, 33)], ids=str)
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_keeps_its_exponentials(shape: tuple[int, int], axis: int) -> None:
    x = make_input(shape, float32)
    powers = ops.exp(ops.subtract(x, repeated(ops.amax(x, axes=(axis,)), shape)))
    assert_meant([x], [ops.divide(powers, repeated(ops.sum_(powers, axes=(axis,)), shape))])


def test_a_kept_value_may_be_of_another_dtype() -> None:
    x = make_input((5, 37), float32)
    small = ops.less(ops.exp(ops.sin(x)), full(x.shape, 1.0, float32))
    count = ops.sum_(ops.cast(small, dtype="float32"), axes=(1,))
    assert_meant([x], [ops.where(small, repeated(count, x.shape), ops.multiply(x, repeated(count, x.shape)))])


# --- entry by entry --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1,), (3, 5), (5, 17), (7, 9, 11), (1000, 3), (2, 1, 3, 1), (0, 3)], ids=str)
def test_entrywise_with_numbers_rows_and_columns_repeated(shape: tuple[int, ...]) -> None:
    x, one = make_input(shape, float32), make_input((1,) * len(shape), float32)
    last = make_input((*(1,) * (len(shape) - 1), shape[-1]), float32)
    first = make_input((shape[0], *(1,) * (len(shape) - 1)), float32)
    spread = [repeated(each, shape) for each in (one, last, first)]
    outputs = [ops.multiply(x, spread[0]), *[ops.add(x, each) for each in spread], ops.tanh(ops.add(*spread[:2]))]
    assert_meant([x, one, last, first], outputs)


def test_a_reshape_of_memory_is_read_in_its_own_order() -> None:
    x, y = make_input((6, 20), float32), make_input((4, 30), float32)
    both = ops.add(ops.reshape(x, shape=(4, 30)), y)
    weight = make_input((30,), float32)
    outputs = [ops.multiply(both, repeated(ops.reshape(weight, shape=(1, 30)), (4, 30)))]
    program = assert_meant([x, y, weight], outputs)
    assert "masked.gather" not in program.text
    assert "urem" not in program.text


@pytest.mark.skipif(bool(target_named("x86-64-v3").missing()), reason="this processor has no AVX2")
@pytest.mark.parametrize("shape", [(9, 70), (5, 17), (33, 8)], ids=str)
def test_narrower_vectors_compute_the_same(shape: tuple[int, int]) -> None:
    with compiling_for("x86-64-v3") as target:
        assert target.vector_bytes <= host().vector_bytes
        inputs, outputs = with_columns(shape)
        assert_meant(inputs, outputs, 1e-4)
        assert_meant(inputs[:1], normalised(inputs[0], (0,)), 1e-4)
