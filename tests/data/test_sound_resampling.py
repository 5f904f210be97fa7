"""Other sample rates: tones stay what they are, and what the new rate cannot hold is gone.

In: tones, noise. Out: the same tones at the new rate; a naive sum over all samples gives the same numbers.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import resample
from thalweg.data.sound_resampling import BETA, ROLLOFF, ZERO_CROSSINGS
from thalweg.errors import ArgumentError, DataError

RATES = [(16000, 8000), (8000, 16000), (44100, 16000), (11025, 16000), (22050, 8000), (8000, 11025)]
MIDDLE = slice(200, -200)


def tone(frequency, rate, count):
    return np.sin(2 * np.pi * frequency * np.arange(count) / rate)


@pytest.mark.parametrize(("old", "new"), RATES)
def test_a_tone_that_both_rates_hold_stays_what_it_is(old, new):
    frequency = 0.4 * min(old, new)
    found = resample(tone(frequency, old, old // 4), old, new)
    assert len(found) == math.ceil(old // 4 * new / old)
    np.testing.assert_allclose(found[MIDDLE], tone(frequency, new, len(found))[MIDDLE], atol=3e-5)


@pytest.mark.parametrize(("old", "new"), [pair for pair in RATES if pair[0] > pair[1]])
def test_a_tone_that_the_new_rate_cannot_hold_is_gone(old, new):
    assert np.abs(resample(tone(0.53 * new, old, old // 4), old, new)[MIDDLE]).max() < 1e-4


def naive(x, old, new):
    """The formula of the docstring, one output and one sample at a time."""
    cutoff = ROLLOFF * min(1.0, new / old)
    result = np.zeros(math.ceil(len(x) * new / old))
    for n in range(len(result)):
        for k, value in enumerate(x):
            t = cutoff * (n * old / new - k)
            if abs(t) <= ZERO_CROSSINGS:
                window = np.i0(BETA * np.sqrt(1 - (t / ZERO_CROSSINGS) ** 2)) / np.i0(BETA)
                result[n] += value * cutoff * np.sinc(t) * window
    return result


@pytest.mark.parametrize(("old", "new"), [(3, 2), (2, 3), (5, 1), (160, 147)])
def test_it_is_the_sum_that_its_formula_says(old, new):
    x = np.random.default_rng(0).normal(size=45)
    np.testing.assert_allclose(resample(x, old, new), naive(x, old, new), atol=1e-12)


@given(st.integers(1, 100), st.integers(1, 50_000), st.integers(1, 50_000))
def test_any_two_rates_will_do(count, old, new):
    if count * new / old > 2_000:
        return
    assert resample(np.ones(count), old, new).shape == (-(-count * new // old),)


def test_channels_are_resampled_each_and_dtypes_stay():
    x = np.random.default_rng(0).normal(size=(2, 3, 100)).astype(np.float32)
    found = resample(x, 8000, 16000)
    assert (found.shape, found.dtype) == ((2, 3, 200), np.float32)
    np.testing.assert_array_equal(found[1, 2], resample(x[1, 2], 8000, 16000))
    same = resample(x, 8000, 8000)
    assert (same == x).all()
    assert not np.shares_memory(same, x)


def test_misuse_is_explained():
    with pytest.raises(DataError, match="floating"):
        resample(np.arange(4), 2, 1)
    with pytest.raises(ArgumentError, match="new_rate"):
        resample(np.zeros(4), 2, 0)
