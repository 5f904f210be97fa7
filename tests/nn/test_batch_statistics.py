"""Mean and variance of a batch are exact where they are hard: large means, small variances, planes of one entry.

In: float32 data of all sorts. Out: what float64 gives for the same data, within a few roundings of the data,
compiled and not; and the gradients.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from tests.support.compiled import arrays_of, assert_all_agree, run_both
from thalweg import nn
from thalweg.graph import make_input
from thalweg.nn.expressions import batch_statistics

SHAPES = [(16, 3), (8, 3, 50), (8, 5, 9, 7), (1, 2, 64, 64), (2, 3, 4, 5, 6), (32, 4, 1, 1), (256, 2, 3, 3)]
MEANS = [0.0, 1.0, -300.0, 1e4]
ROUNDING = 2.0**-23


def sample(shape: tuple[int, ...], mean: float, deviation: float) -> np.ndarray:
    generator = np.random.default_rng(0)
    offsets = generator.normal(size=(1, shape[1], *(1,) * (len(shape) - 2)))
    return (mean + offsets + deviation * generator.normal(size=shape)).astype(np.float32)


def statistics(x: np.ndarray, compiled: bool) -> list[np.ndarray]:
    node = make_input(x.shape, tw.float32)
    natively, by_numpy = run_both([node], batch_statistics(node), [x])
    return natively if compiled else by_numpy


@pytest.mark.parametrize("compiled", [False, True], ids=["numpy", "compiled"])
@pytest.mark.parametrize("deviation", [1.0, 0.01])
@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_they_are_those_of_float64(shape: tuple[int, ...], mean: float, deviation: float, compiled: bool) -> None:
    x = sample(shape, mean, deviation)
    axes = (0, *range(2, len(shape)))
    wide = x.astype(np.float64)
    found_mean, found_variance = statistics(x, compiled)
    rounding = (4 if compiled else 16) * ROUNDING * np.abs(wide).max()  # NumPy sums over the batch in one chain
    np.testing.assert_allclose(found_mean, wide.mean(axes, keepdims=True), rtol=0, atol=rounding)
    # Where the mean of a sample is wrong by e, the sample's distance from the mean of all counts e too much or too
    # little; and the variance around a mean that is wrong by e is e squared too large.
    variance = wide.var(axes, keepdims=True)
    allowed = rounding * np.sqrt(variance.max()) + rounding**2 + 2e-6 * variance.max()
    np.testing.assert_allclose(found_variance, variance, rtol=0, atol=allowed)


def test_the_variance_of_equal_entries_is_0() -> None:
    for shape in SHAPES:
        _, variance = statistics(np.full(shape, 3.0, np.float32), True)
        assert (variance == 0).all()


def test_shapes_are_those_of_rows() -> None:
    for shape in SHAPES:
        mean, variance = batch_statistics(make_input(shape, tw.float32))
        assert mean.shape == variance.shape == (1, shape[1], *(1,) * (len(shape) - 2))


@pytest.mark.parametrize("mean", MEANS)
def test_gradients_through_them_are_those_of_float64(mean: float) -> None:
    x = sample((8, 4, 6, 6), mean, 1.0)
    generator = np.random.default_rng(1)
    cotangent = generator.normal(size=x.shape)

    def gradients(dtype: str) -> list[np.ndarray]:
        norm = nn.BatchNorm2d(4).to(dtype)
        leaf = tw.tensor(x.astype(dtype), requires_grad=True)

        @tw.compile
        def step(x: tw.Tensor, g: tw.Tensor) -> tuple[tw.Tensor, ...]:
            return tw.grad((norm(x) * g).sum(), [x, *norm.parameters()])

        return arrays_of(step(leaf, tw.tensor(cotangent.astype(dtype))))

    narrow, wide = gradients("float32"), gradients("float64")
    tolerance = 2e-5 + 8 * ROUNDING * abs(mean)
    assert_all_agree([each.astype(np.float64) for each in narrow], wide, tolerance)
