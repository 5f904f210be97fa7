"""Random tensors: repeatable, well distributed, a fresh draw each time, with a state that can be saved.

In: seeds. Out: the moments, ranges and frequencies that the distributions have, within five standard errors.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import thalweg as tw
from thalweg.tensor import lazy
from thalweg.tensor.random import default_generator

DRAWS = {
    "rand": lambda g: tw.rand(4, 5, generator=g),
    "randn": lambda g: tw.randn((4, 5), generator=g),
    "randint": lambda g: tw.randint(0, 1000, (20,), generator=g),
    "randperm": lambda g: tw.randperm(50, generator=g),
    "bernoulli": lambda g: tw.bernoulli(tw.full((40,), 0.5), generator=g),
    "multinomial": lambda g: tw.multinomial(tw.ones(50), 10, generator=g),
    "multinomial with replacement": lambda g: tw.multinomial(tw.ones(50), 20, replacement=True, generator=g),
    "rand_like": lambda g: tw.rand_like(tw.ones(20, dtype="float64"), generator=g),
    "randn_like": lambda g: tw.randn_like(tw.ones(20), generator=g),
    "uniform_": lambda g: tw.empty(20).uniform_(-1, 1, generator=g),
    "normal_": lambda g: tw.empty(20).normal_(1, 2, generator=g),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_draws_repeat_with_the_seed_and_differ_from_each_other(draw):
    tw.manual_seed(5)
    first, second = draw(None).tolist(), draw(None).tolist()
    tw.manual_seed(5)
    assert [draw(None).tolist(), draw(None).tolist()] == [first, second]
    assert first != second
    tw.manual_seed(6)
    assert draw(None).tolist() != first


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_generator_of_ones_own_leaves_the_default_one_alone(draw):
    tw.manual_seed(1)
    before = default_generator.get_state()
    a = draw(tw.Generator(9)).tolist()
    assert draw(tw.Generator(9)).tolist() == a
    assert default_generator.get_state() == before


def test_the_state_can_be_saved_and_restored():
    generator = tw.Generator(2**60 + 7)
    tw.rand(3, generator=generator)
    state = generator.get_state()
    assert state == {"seed": 2**60 + 7, "draws": 1}
    expected = tw.randn(3, generator=generator).tolist()
    other = tw.Generator(0)
    other.set_state(state)
    assert tw.randn(3, generator=other).tolist() == expected
    assert other.initial_seed() == 2**60 + 7


def test_unseeded_generators_differ_and_bad_seeds_are_refused():
    assert tw.Generator().initial_seed() != tw.Generator().initial_seed()
    assert tw.manual_seed(-1).initial_seed() == -1
    for bad in (1.5, "a", True, None):
        with pytest.raises(tw.ThalwegError, match="seed must be an integer"):
            tw.manual_seed(bad)


def test_a_draw_does_not_change_when_it_is_looked_at_late_or_twice():
    tw.manual_seed(3)
    late = tw.rand(3)
    tw.rand(100)
    tw.manual_seed(3)
    now = tw.rand(3)
    assert late.tolist() == now.tolist() == now.tolist()


def test_pending_and_eager_draws_are_the_same_bits(monkeypatch):
    tw.manual_seed(3)
    a = (tw.randn(5) * tw.rand(5)).tolist()
    monkeypatch.setattr(lazy, "eager", True)
    tw.manual_seed(3)
    assert (tw.randn(5) * tw.rand(5)).tolist() == a


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_numbers(dtype):
    tw.manual_seed(0)
    x = tw.rand(200_000, dtype=dtype).numpy()
    assert x.dtype == dtype
    assert 0 <= x.min() < 1e-4
    assert 1 - 1e-4 < x.max() < 1
    assert abs(x.mean() - 0.5) < 5 / math.sqrt(12 * x.size)
    assert abs(x.var() - 1 / 12) < 1e-3
    counts = np.histogram(x, 64, (0, 1))[0]
    assert ((counts - x.size / 64) ** 2 / (x.size / 64)).sum() < 64 + 5 * math.sqrt(128)
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 0.02


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_numbers(dtype):
    tw.manual_seed(0)
    x = tw.randn(200_000, dtype=dtype).numpy().astype(np.float64)
    assert np.isfinite(x).all()
    error = 5 / math.sqrt(x.size)
    assert abs(x.mean()) < error
    assert abs(x.var() - 1) < error * math.sqrt(2)
    assert abs((x**3).mean()) < error * math.sqrt(15)
    assert abs((x**4).mean() - 3) < error * math.sqrt(96)
    assert abs((np.abs(x) > 2).mean() - 0.0455) < 0.003


def test_integers():
    tw.manual_seed(0)
    x = tw.randint(-3, 7, (50_000,))
    assert x.dtype == "int64"
    counts = np.bincount(x.numpy() + 3, minlength=10)
    assert len(counts) == 10
    assert ((counts - 5000) ** 2 / 5000).sum() < 9 + 5 * math.sqrt(18)
    assert tw.randint(5, (2, 3)).shape == (2, 3)
    assert set(tw.randint(2, high=3, size=(100,)).tolist()) == {2}


@pytest.mark.parametrize("count", [2**18 + 1, 3 * 2**30, 2**40])
def test_wide_ranges_are_not_biased(count):
    tw.manual_seed(0)
    x = tw.randint(0, count, (50_000,)).numpy()
    assert x.min() >= 0
    assert x.max() < count
    assert abs((x < count // 2).mean() - 0.5) < 5 * 0.5 / math.sqrt(x.size)
    assert abs(x.mean() / count - 0.5) < 5 / math.sqrt(12 * x.size)


def test_permutations():
    tw.manual_seed(0)
    for n in (0, 1, 2, 1000):
        assert sorted(tw.randperm(n).tolist()) == list(range(n))
    first = [tw.randperm(4)[0].item() for _ in range(400)]
    assert all(abs(first.count(i) - 100) < 45 for i in range(4))


def test_bernoulli_frequencies():
    tw.manual_seed(0)
    p = tw.tensor([0.0, 0.2, 0.9, 1.0]).expand(20_000, 4)
    drawn = tw.bernoulli(p)
    assert drawn.dtype == "float32"
    np.testing.assert_allclose(drawn.mean(0).numpy(), [0, 0.2, 0.9, 1], atol=0.015)


def test_multinomial_frequencies():
    tw.manual_seed(0)
    weights = tw.tensor([[1.0, 0.0, 3.0, 0.0], [0.0, 5.0, 5.0, 0.0]])
    drawn = tw.multinomial(weights, 20_000, replacement=True)
    assert (drawn.shape, drawn.dtype) == ((2, 20_000), "int64")
    shares = np.stack([np.bincount(row, minlength=4) for row in drawn.numpy()]) / 20_000
    np.testing.assert_allclose(shares, [[0.25, 0, 0.75, 0], [0, 0.5, 0.5, 0]], atol=0.02)


def test_multinomial_without_replacement_picks_each_once_and_in_proportion():
    tw.manual_seed(0)
    weights = tw.tensor([1.0, 2.0, 3.0, 0.0]).expand(20_000, 4)
    drawn = tw.multinomial(weights, 3).numpy()
    assert all(len(set(row)) == 3 for row in drawn[:500])
    assert (drawn != 3).all()
    np.testing.assert_allclose(np.bincount(drawn[:, 0], minlength=4) / 20_000, [1 / 6, 2 / 6, 3 / 6, 0], atol=0.02)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tw.randint(3, 3, (2,)), "nothing to choose from"),
        (lambda: tw.randint(5), "bounds and a size"),
        (lambda: tw.multinomial(tw.ones(3), 4), "without replacement"),
        (lambda: tw.multinomial(tw.ones(3, dtype="int64"), 1), "floating-point weights"),
        (lambda: tw.multinomial(tw.ones(3), 0), "cannot draw that many"),
        (lambda: tw.rand(-1), "cannot be negative"),
        (lambda: tw.rand(2.5), "size must be an integer"),
        (lambda: tw.randn(2, dtype="int64"), "floating-point dtype"),
        (lambda: tw.randperm(-1), "cannot be negative"),
        (lambda: tw.ones(2, dtype="int64").uniform_(), "floating-point dtype"),
        (lambda: tw.ones(2, requires_grad=True).normal_(), "written in place"),
    ],
)
def test_misuse(call, message):
    with pytest.raises(tw.ThalwegError, match=message):
        call()


def test_random_tensors_can_be_leaves():
    w = tw.randn(3, requires_grad=True)
    assert w.is_leaf
    (w * w).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), 2 * w.detach().numpy(), rtol=1e-6)
