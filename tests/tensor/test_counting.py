"""What answers in Python: comparisons of whole tensors; and new and filled tensors."""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from thalweg.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError, TraceError


@pytest.mark.parametrize(("shift", "expected"), [(0.0, True), (1e-9, True), (1e-3, False)])
def test_allclose_allows_for_tolerances(shift, expected):
    x = tw.tensor([1.0, -2.0], dtype=tw.float64)
    assert tw.allclose(x, x + shift) is expected


def test_allclose_and_nan():
    x = tw.tensor([np.nan, 1.0])
    assert not x.allclose(x)
    assert x.allclose(x, equal_nan=True)


def test_equal_asks_for_shape_and_entries():
    x = tw.ones(2)
    assert tw.equal(x, tw.ones(2)) is True
    assert tw.equal(x, tw.ones(1)) is False
    assert tw.equal(x, tw.zeros(2)) is False


def test_small_questions():
    x = tw.ones(2, 3)
    assert x.is_same_size(tw.zeros(2, 3))
    assert tw.tensor([3]).is_nonzero()
    assert (x.nelement(), x.ndimension(), tw.numel(x)) == (6, 2, 6)


@pytest.mark.parametrize("question", [lambda x: x.allclose(x), lambda x: x.equal(x), lambda x: x.is_nonzero()])
def test_a_compiled_step_cannot_ask(question):
    with pytest.raises(TraceError):
        tw.compile(lambda x: question(x))(tw.ones(1))


def test_new_tensors_have_the_dtype_of_the_old():
    x = tw.ones(1, dtype=tw.float64)
    found = [x.new_zeros(2), x.new_ones((2, 3)), x.new_full((2,), 7), x.new_tensor([1, 2]), x.new_empty(3)]
    assert {each.dtype for each in found} == {tw.float64}
    assert [each.shape for each in found] == [(2,), (2, 3), (2,), (2,), (3,)]
    assert x.new_zeros(1, dtype=tw.int64).dtype is tw.int64


@pytest.mark.parametrize(
    ("fill", "mean"),
    [
        (lambda x: x.exponential_(2.0), 0.5),
        (lambda x: x.log_normal_(0.0, 0.5), np.exp(0.125)),
        (lambda x: x.geometric_(0.25), 4.0),
        (lambda x: x.random_(10), 4.5),
        (lambda x: x.random_(5, 7), 5.5),
        (lambda x: x.bernoulli_(0.3), 0.3),
        (lambda x: x.cauchy_(3.0).clamp_(-1e3, 1e3).sign_(), 1 - 2 * np.arctan2(1, 3) / np.pi),
    ],
)
def test_random_fills_have_their_mean(fill, mean):
    tw.manual_seed(0)
    x = tw.zeros(50_000)
    assert fill(x) is x
    assert x.mean().item() == pytest.approx(mean, rel=0.03)


def test_bernoulli_of_given_probabilities():
    assert tw.tensor([0.0, 1.0]).bernoulli().tolist() == [0.0, 1.0]
    assert tw.zeros(2).bernoulli(1.0).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("call", "error", "part"),
    [
        (lambda x: tw.bincount(x), ArgumentError, "whole numbers"),
        (lambda x: tw.bincount(tw.tensor([-1])), ArgumentError, "negative"),
        (lambda x: tw.histc(x.long()), DTypeError, "bincount"),
        (lambda x: tw.histc(x, 3, 2, 1), ArgumentError, "bounds"),
        (lambda x: x.quantile(1.5), ArgumentError, "0 <= q <= 1"),
        (lambda x: x.quantile(0.5, interpolation="near"), ArgumentError, "interpolation"),
        (lambda x: x.scatter_reduce(0, tw.tensor([0]), x, "max"), ArgumentError, "amax"),
        (lambda x: x.scatter_reduce(0, tw.tensor([7]), x, "amax").numpy(), IndexRangeError, "received: 7"),
        (lambda x: x.index_reduce(0, tw.tensor([0]), x, "prod"), ShapeError, "source does not fit"),
        (lambda x: x.fill_diagonal_(1), ShapeError, "diagonal"),
        (lambda x: tw.unique([1, 2]), DTypeError, "takes a tensor"),
    ],
)
def test_bad_arguments_are_named(call, error, part):
    with pytest.raises(error, match=part):
        call(tw.tensor([1.0, 2.0, 3.0]))


def test_detaching_in_place_makes_a_leaf():
    x = tw.ones(2, requires_grad=True)
    y = (x * 2).detach_()
    assert y.is_leaf
    assert not y.requires_grad


@pytest.mark.parametrize("name", ["erfc", "erfinv"])
@pytest.mark.parametrize("is_compiled", [False, True])
def test_to_the_last_digits(name, is_compiled):
    special = pytest.importorskip("scipy.special")
    x = np.linspace(-5, 20, 20_001) if name == "erfc" else np.r_[np.linspace(-0.999, 0.999, 9_999), 1 - 1e-15, 1e-300]
    call = tw.compile(getattr(tw, name)) if is_compiled else getattr(tw, name)
    np.testing.assert_allclose(call(tw.tensor(x)).numpy(), getattr(special, name)(x), rtol=1e-13)


def test_erfinv_at_the_ends_and_beyond():
    assert tw.erfinv(tw.tensor([-1.0, 1.0])).tolist() == [-np.inf, np.inf]
    assert tw.erfinv(tw.tensor([1.5, np.nan])).isnan().all()
