"""Windows for language models: each token predicted once, or windows at random places as nanoGPT draws them.

In: token numbers. Out: inputs and targets one place further; draws that are a function of seed, epoch and number.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import DataLoader, Moment, RandomTokenWindows, TokenWindows
from thalweg.errors import ArgumentError, DataError


@given(st.integers(2, 40), st.integers(1, 12), st.data())
def test_every_token_is_predicted_once_from_those_before_it(count, context, data):
    tokens = np.arange(100, 100 + count)
    stride = data.draw(st.integers(1, context))
    windows = TokenWindows(tokens, context, stride=stride)
    inputs, targets = windows.take(range(len(windows)))
    counts = targets != -100
    assert sorted(targets[counts].tolist()) == tokens[1:].tolist()
    assert (inputs[counts] + 1 == targets[counts]).all()
    assert counts.any(axis=1).all()  # no window for nothing
    before = np.where(counts, np.arange(context) + 1, context)[1:]
    assert before.size == 0 or before.min() >= context - stride + 1


def test_a_window_is_a_sample():
    windows = TokenWindows(np.arange(10, dtype=np.uint16), 4)
    assert len(windows) == 3
    assert [part.tolist() for part in windows[-1]] == [[8, 9, 0, 0], [9, -100, -100, -100]]
    assert windows[0][0].dtype == np.int64


@given(st.integers(2, 50), st.integers(1, 10), st.integers(0, 2**60))
def test_random_windows_lie_within_the_text(count, context, seed):
    if count <= context:
        return
    data = RandomTokenWindows(np.arange(count), context, count=20)
    for inputs, targets in (data.draw(range(20), Moment(seed, (0,))), data.take(range(20))):
        assert inputs.shape == (20, context)
        assert (inputs + 1 == targets).all()
        assert (np.diff(inputs, axis=1) == 1).all()
        assert inputs.min() >= 0
        assert targets.max() < count


def test_every_place_is_equally_likely_the_last_one_too():
    data = RandomTokenWindows(np.arange(14), 4, count=20_000)
    starts = np.bincount(data.draw(range(20_000), Moment(0, (0,)))[0][:, 0])
    assert len(starts) == 10
    assert (np.abs(starts - 2_000) < 200).all()


def test_places_are_a_function_of_seed_epoch_and_number():
    data = RandomTokenWindows(np.arange(1000), 8, count=64)
    small, large = DataLoader(data, 4, seed=3), DataLoader(data, 16, seed=3, num_workers=2)
    first, second = (np.concatenate([x for x, _ in loader]) for loader in (small, large))
    np.testing.assert_array_equal(first, second)
    assert (np.concatenate([x for x, _ in small]) != first).any()


def test_a_text_on_disk_stays_there(tmp_path):
    np.save(tmp_path / "tokens.npy", np.arange(50, dtype=np.uint16))
    tokens = np.load(tmp_path / "tokens.npy", mmap_mode="r")
    data = RandomTokenWindows(tokens, 8)
    assert np.shares_memory(data.tokens, tokens)
    assert data.take([0])[0].dtype == np.int64
    assert len(data) == 6


MISUSE = [
    ("a short text", lambda: RandomTokenWindows([1, 2, 3], 3), DataError, "at least 4"),
    ("one token", lambda: TokenWindows([1], 3), DataError, "at least 2"),
    ("fractions", lambda: TokenWindows([1.0, 2.0], 3), DataError, "integers"),
    ("rows", lambda: TokenWindows([[1, 2]], 3), DataError, "one axis"),
    ("no context", lambda: TokenWindows([1, 2], 0), ArgumentError, "context"),
    ("gaps", lambda: TokenWindows([1, 2, 3], 2, stride=3), DataError, "at most the context"),
]


@pytest.mark.parametrize(("call", "kind", "words"), [row[1:] for row in MISUSE], ids=[row[0] for row in MISUSE])
def test_misuse_is_explained(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
