"""Draws: numbers of a sample that depend on nothing but the seed, the epoch, the sample and the asking transform.

In: seeds, sample numbers from hypothesis. Out: the same numbers in any company; even, and independent of each other.
"""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import Draws, Moment

seeds, numbers = st.integers(0, 2**70), st.lists(st.integers(0, 2**40), min_size=1, max_size=8)


@given(seeds, st.integers(0, 99), numbers, st.integers(1, 9))
def test_a_sample_draws_the_same_in_any_company(seed, epoch, samples, count):
    moment = Moment(seed, (epoch,))
    together = Draws(moment, samples).at(2).uniform(count)
    assert together.shape == (len(samples), count)
    assert (together >= 0).all()
    assert (together < 1).all()
    for sample, row in zip(samples, together, strict=True):
        np.testing.assert_array_equal(Draws(moment, [sample]).at(2).uniform(count + 3)[0, :count], row)


def test_another_seed_epoch_part_sample_or_step_draws_others():
    base = Draws(Moment(0, (0,)), [5])
    others = [
        Draws(Moment(1, (0,)), [5]),
        Draws(Moment(0, (1,)), [5]),
        Draws(Moment(0, (0,)).within(0), [5]),
        Draws(Moment(0, (0,)), [6]),
        base.at(0),
        base.at(0).at(0),
        base.at(1),
    ]
    drawn = [each.uniform(1)[0, 0] for each in [base, *others]]
    assert len(set(drawn)) == len(drawn)


def test_the_numbers_are_even_and_do_not_go_together():
    drawn = Draws(Moment(3, (1,)), np.arange(20_000)).uniform(5)
    assert np.abs(drawn.mean(axis=0) - 0.5).max() < 0.01
    assert np.abs(drawn.var(axis=0) - 1 / 12).max() < 0.002
    assert np.abs(np.corrcoef(drawn.T) - np.eye(5)).max() < 0.03
    assert abs(np.corrcoef(drawn[1:, 0], drawn[:-1, 0])[0, 1]) < 0.03


def test_the_numbers_are_written_down():
    """Another NumPy, another machine: the same augmentation. These numbers may never change."""
    drawn = Draws(Moment(0, (0,)), [0, 1]).at(1).uniform(2)
    assert (drawn * 2**32).astype(np.int64).tolist() == WRITTEN_DOWN


WRITTEN_DOWN = [[3089751700, 80000670], [1285832091, 2638271222]]
