"""Cross-validation: every sample is tested once, every class is in every fold.

In: counts, labels. Out: partitions that are a function of the seed.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import k_fold
from thalweg.errors import ArgumentError, DataError


@given(st.integers(2, 60), st.integers(2, 10), st.integers(0, 99))
def test_every_sample_is_tested_once(count, folds, seed):
    if count < folds:
        return
    parts = k_fold(count, folds, seed=seed)
    assert sorted(n for _, test in parts for n in test.tolist()) == list(range(count))
    assert all(sorted([*training, *test]) == list(range(count)) for training, test in parts)
    sizes = [len(test) for _, test in parts]
    assert max(sizes) - min(sizes) <= 1


def test_classes_are_spread_evenly():
    labels = np.repeat([0, 1, 2], [50, 31, 7])
    for _, test in k_fold(88, 5, labels):
        shares = np.bincount(labels[test], minlength=3)
        assert (np.abs(shares - np.array([10, 6.2, 1.4])) < 1).all()


def test_folds_are_a_function_of_the_seed():
    assert k_fold(20, 4)[0][1].tolist() == k_fold(20, 4)[0][1].tolist() != k_fold(20, 4, seed=1)[0][1].tolist()


def test_misuse_is_explained():
    with pytest.raises(DataError, match="at least 10"):
        k_fold(9)
    with pytest.raises(DataError, match=r"labels of shape \(3,\)"):
        k_fold(4, 2, [0, 1, 0])
    with pytest.raises(ArgumentError, match="folds"):
        k_fold(4, 1)
