"""The judge of compiled programs is judged: what is wrong by little is noticed, what is equal passes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.support.compiled import assert_agree, assert_all_agree, assert_compiled_equals_numpy, with_gradients
from thalweg import ops
from thalweg.dtype import float64
from thalweg.graph import make_input


def test_equal_arrays_agree_special_values_included() -> None:
    array = np.array([1.0, np.nan, np.inf, -np.inf, 0.0])
    assert_agree(array, array.copy())


@pytest.mark.parametrize("wrong", [
    np.array([1.0, 2.0 + 1e-9]), np.array([1.0, np.nan]), np.array([1.0, np.inf]), np.array([1.0, 2.0], np.float32),
    np.array([[1.0, 2.0]]),
])  # fmt: skip
def test_what_differs_is_noticed(wrong: np.ndarray) -> None:
    with pytest.raises(AssertionError):
        assert_agree(wrong, np.array([1.0, 2.0]))
    with pytest.raises(AssertionError):
        assert_agree(np.array([1.0, 2.0]), wrong)


def test_whole_numbers_are_equal_or_not() -> None:
    with pytest.raises(AssertionError):
        assert_agree(np.array([2**40 + 1]), np.array([2**40]))


def test_a_missing_result_is_noticed() -> None:
    with pytest.raises((AssertionError, ValueError)):
        assert_all_agree([np.ones(1)], [np.ones(1), np.ones(1)])


def test_an_emission_that_is_a_millionth_wrong_is_noticed() -> None:
    """Planted: a tanh whose code is not its NumPy meaning."""
    right = ops.tanh.emit
    wrong = dataclasses.replace(
        ops.tanh, name="wrong_tanh", emit=lambda e, x: e.multiply(right(e, x), e.number(1 + 1e-6, x.dtype))
    )
    x = make_input((19,), float64)
    array = np.linspace(-2, 2, 19)
    assert_compiled_equals_numpy([x], [ops.tanh(x)], [array])
    with pytest.raises(AssertionError):
        assert_compiled_equals_numpy([x], [wrong(x)], [array])


def test_gradients_up_to_the_second_are_asked_for() -> None:
    x = make_input((3,), float64)
    seeds, found, names = with_gradients([x * x], [x])
    assert names == ["value", "gradient 0 of order 1", *[f"gradient {i} of order 2" for i in range(2)]]
    assert len(found) == 4
    assert len(seeds) == 2
