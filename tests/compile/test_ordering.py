"""Sorting, running sums and division with a floor in compiled programs: NumPy's order, signs and special values.

In: lines of awkward lengths with ties, NaN, infinities and zeros of both signs. Out: exactly what NumPy gives.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from thalweg import ops
from thalweg.compile.executable import Executable
from thalweg.compile.program import Program
from thalweg.dtype import ALL_DTYPES, DType, dtype_of_array, float32, int64
from thalweg.errors import ArgumentError
from thalweg.graph import Primitive, full, make_input

NUMERIC = [dtype for dtype in ALL_DTYPES if dtype.name != "bool"]
LENGTHS = [1, 2, 3, 7, 16, 17, 100, 1000]
SPECIAL = [0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 7.0, -7.0, 1e-45, 3e38, np.inf, -np.inf, np.nan]


def run(record: Primitive, *arrays: np.ndarray, **attributes: object) -> tuple[np.ndarray, np.ndarray]:
    """(compiled, meant)."""
    inputs = tuple(make_input(array.shape, dtype_of_array(array)) for array in arrays)
    program = Executable(Program(inputs, (record(*inputs, **attributes),)))
    assert program.is_native
    return program(arrays)[0], record.numpy(*arrays, **attributes)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
def test_sorting_is_stable_with_nan_last(length: int, descending: bool) -> None:
    random = np.random.default_rng(length)
    lines = random.choice([*SPECIAL, 3.0, 3.0, 4.0], size=(3, length)).astype(np.float32)
    found, meant = run(ops.argsort, lines, axis=1, descending=descending)
    np.testing.assert_array_equal(found, meant)


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=lambda each: each.name)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_axis_and_dtype_is_sorted(dtype: DType, axis: int) -> None:
    cube = np.random.default_rng(0).integers(0, 9, (5, 4, 3)).astype(dtype.numpy)
    for descending in (False, True):
        found, meant = run(ops.argsort, cube, axis=axis, descending=descending)
        np.testing.assert_array_equal(found, meant)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", NUMERIC, ids=lambda each: each.name)
def test_running_sums_add_in_order(dtype: DType, reverse: bool) -> None:
    for length in LENGTHS:
        lines = np.random.default_rng(length).normal(0, 50, (2, length)).astype(dtype.numpy)
        for axis in (0, 1):
            found, meant = run(ops.cumsum, lines, axis=axis, reverse=reverse)
            np.testing.assert_array_equal(found, meant)
    found, meant = run(ops.cumsum, np.array([-0.0, -0.0, 1.0, np.inf, -np.inf]), axis=0, reverse=reverse)
    np.testing.assert_array_equal(found, meant)
    np.testing.assert_array_equal(np.signbit(found[:2]), np.signbit(meant[:2]))


@pytest.mark.parametrize("record", [ops.floor_divide, ops.remainder], ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_division_with_a_floor_has_the_signs_and_specials_of_numpy(record: Primitive, dtype: type) -> None:
    a, b = (each.ravel().astype(dtype) for each in np.meshgrid(SPECIAL, SPECIAL))
    found, meant = run(record, a, b)
    np.testing.assert_array_equal(found, meant)
    known = ~np.isnan(meant)
    np.testing.assert_array_equal(np.signbit(found)[known], np.signbit(meant)[known])


def test_powers_of_integers_wrap_and_refuse_negative_exponents() -> None:
    base, exponent = np.meshgrid([0, 1, 2, 3, -1, -2, -7, 10], [0, 1, 2, 5, 31, 62, 63, 64, 1000])
    found, meant = run(ops.power, base.ravel(), exponent.ravel())
    np.testing.assert_array_equal(found, meant)
    small = np.arange(256, dtype=np.uint8)
    found, meant = run(ops.power, small, small)
    np.testing.assert_array_equal(found, meant)
    with pytest.raises(ArgumentError, match=r"received: -1 at position \(1,\)"):
        run(ops.power, np.array([2, 2, 2]), np.array([1, -1, 3]))


def test_a_division_that_cannot_fail_holds_nothing_up() -> None:
    """A stated divisor other than 0 needs no look at the data, so cells may be written at once."""
    x = make_input((8,), int64)
    for divisor, count in ((4, 0), (0, 1)):
        node = ops.floor_divide(x, full((8,), divisor, int64))
        assert Executable(Program((x,), (node,))).native.layout.checks == count


def test_sort_and_topk_of_a_compiled_step() -> None:
    x = tw.tensor(np.array([[3.0, 1.0, np.nan, 2.0], [0.0, -1.0, 5.0, 5.0]], np.float32))

    @tw.compile
    def step(x: tw.Tensor) -> tuple:
        return x.sort(dim=1), x.topk(2, dim=1), x.cumsum(1), x // 2.0, x % 2.0

    found, meant = step(x), step.function(x)
    (program,) = step._programs.values()
    assert program.executable.is_native
    for a, b in zip(found[:2], meant[:2], strict=True):
        np.testing.assert_array_equal(a[0].numpy(), b[0].numpy())
        np.testing.assert_array_equal(a[1].numpy(), b[1].numpy())
    for a, b in zip(found[2:], meant[2:], strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert found[2].dtype is float32
