"""Philox 4x32-10 against the known answers of Random123, and that its bits look random."""

from __future__ import annotations

import numpy as np
import pytest

from thalweg import ops
from thalweg.dtype import int32, int64
from thalweg.errors import DTypeError, ShapeError
from thalweg.graph import evaluate_node, make_input
from thalweg.ops.random import philox_4x32, words_at


def words(text):
    return tuple(np.array([int(each, 16)], np.uint64) for each in text.split())


def bits(seed, draw, shape):
    node = ops.random_bits(make_input((2,), int64), shape=shape)
    return evaluate_node(node, [np.array([seed, draw])])


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ("0 0 0 0", "0 0", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_known_answers_of_random123(counter, key, answer):
    assert philox_4x32(words(counter), tuple(each[0] for each in words(key))) == words(answer)


def test_the_first_block_of_seed_zero_is_the_known_answer():
    words_of_block_0 = bits(0, 0, (64,))[::16]  # 16 blocks side by side, word after word
    assert [f"{each:08x}" for each in words_of_block_0] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


def test_seed_and_draw_reach_all_their_bits():
    kinds = {bytes(bits(seed, draw, (8,))) for seed in (0, 1, 2**32, -1) for draw in (0, 1, 2**32, -1)}
    assert len(kinds) == 16


def test_a_longer_draw_begins_with_the_shorter_one():
    np.testing.assert_array_equal(bits(3, 5, (7, 11)).ravel()[:13], bits(3, 5, (13,)))


def test_bits_by_their_places_are_the_same_bits():
    wanted = bits(3, 5, (1000,))
    np.testing.assert_array_equal(words_at(np.arange(1000), 3, 5), wanted)
    assert words_at(77, 3, 5) == wanted[77]


def test_uniform_mean_variance_and_independence():
    u = bits(42, 0, (200_000,)) / 2**32
    assert 0 <= u.min() < 1e-4
    assert 1 - 1e-4 < u.max() < 1
    assert abs(u.mean() - 0.5) < 4 / np.sqrt(12 * u.size)
    assert abs(u.var() - 1 / 12) < 1e-3
    for lag in (1, 2, 3, 4, 8, 16, 32, 48, 64):
        assert abs(np.corrcoef(u[:-lag], u[lag:])[0, 1]) < 0.01
    assert abs(np.corrcoef(u, bits(42, 1, u.shape))[0, 1]) < 0.01
    assert abs(np.corrcoef(u, bits(43, 0, u.shape))[0, 1]) < 0.01


def test_every_bit_is_one_half_of_the_time():
    drawn = bits(7, 0, (100_000,))
    for bit in range(32):
        assert abs(((drawn >> bit) & 1).mean() - 0.5) < 0.01


def test_equal_frequencies():
    counts = np.bincount(bits(1, 2, (160_000,)) >> 28, minlength=16)
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 45  # chi-squared with 15 degrees of freedom, p < 1e-4


def test_the_key_is_two_int64():
    with pytest.raises(ShapeError, match="two integers"):
        ops.random_bits(make_input((3,), int64), shape=(4,))
    with pytest.raises(DTypeError, match="int64"):
        ops.random_bits(make_input((2,), int32), shape=(4,))
