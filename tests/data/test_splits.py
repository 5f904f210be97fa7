"""Splits: every sample in exactly one part, every class in its proportion, the same parts from the same seed.

In: sizes, fractions and labels from hypothesis. Out: partitions.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import (
    Subset,
    TensorDataset,
    looks_like_classes,
    random_split,
    split_indices,
    stratified_split,
    train_validation_split,
)
from thalweg.errors import DataError

fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**64)


@given(st.integers(0, 60), st.lists(st.integers(1, 9), min_size=1, max_size=5), seeds)
def test_random_split_by_fractions_partitions_exactly(count, weights, seed):
    parts = random_split(TensorDataset(np.arange(count)), [w / sum(weights) for w in weights], seed)
    assert sorted(np.concatenate([part.indices for part in parts]).tolist()) == list(range(count))
    for part, weight in zip(parts, weights, strict=True):
        assert abs(len(part) - count * weight / sum(weights)) < len(weights)


def test_random_split_by_whole_numbers():
    assert [len(part) for part in random_split(TensorDataset(np.arange(10)), [7, 0, 3])] == [7, 0, 3]


@given(st.integers(2, 200), fractions, seeds)
def test_split_indices_partitions_exactly(count, fraction, seed):
    training, validation = split_indices(count, fraction, seed=seed)
    assert sorted([*training.tolist(), *validation.tolist()]) == list(range(count))
    assert len(validation) == min(max(1, round(count * fraction)), count - 1)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=100), fractions, seeds)
def test_a_stratified_split_gives_every_class_its_share(labels, fraction, seed):
    sizes = np.bincount(labels, minlength=5)
    if not (sizes >= 2).any():
        return
    training, validation = split_indices(len(labels), fraction, labels, seed)
    assert sorted([*training.tolist(), *validation.tolist()]) == list(range(len(labels)))
    in_training = np.bincount(np.asarray(labels)[training], minlength=5)
    assert (in_training[sizes > 0] >= 1).all(), "a class lost its last sample to validation"
    in_validation = sizes - in_training
    spare = sizes >= 2 * max(1, 1 / (1 - fraction))
    wanted = min(max(1, round(len(labels) * fraction)), len(labels) - 1)
    assert (in_validation[spare] >= np.floor(sizes[spare] * wanted / len(labels)) - 1).all()


def test_shares_are_exact_where_they_can_be():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    _, validation = split_indices(100, 0.2, labels)
    assert np.bincount(labels[validation]).tolist() == [10, 6, 4]


def test_a_class_of_one_sample_stays_in_training():
    labels = ["rare"] + ["common"] * 9
    training, validation = split_indices(10, 0.5, labels)
    assert 0 in training
    assert len(validation) == 5


def test_the_seed_decides_the_parts():
    one, same, other = (split_indices(50, 0.3, seed=seed)[1].tolist() for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_stratified_split_finds_the_labels_of_arrays_and_their_subsets():
    dataset = TensorDataset(np.arange(20.0), np.arange(20) % 2)
    training, validation = stratified_split(Subset(dataset, np.arange(10)), 0.4)
    assert np.bincount(validation.take(np.arange(4))[1]).tolist() == [2, 2]
    assert len(training) == 6


def test_arrays_stay_paired_and_labels_are_stratified_on_their_own():
    x, y = np.arange(100.0), (np.arange(100) >= 90).astype(np.int64)
    (x_training, y_training), (x_validation, y_validation) = train_validation_split((x, y), 0.1)
    assert y_validation.sum() == 1
    np.testing.assert_array_equal(y_training, x_training >= 90)
    np.testing.assert_array_equal(y_validation, x_validation >= 90)


def test_a_quantity_is_not_stratified():
    (_, training), (_, validation) = train_validation_split((np.zeros(10), np.linspace(0, 1, 10)), 0.2)
    assert len(training) + len(validation) == 10


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array([0, 1, 0, 1]), True),
        (np.array(["a", "b", "a", "a"], dtype=object), True),
        (np.array([True, False]), True),
        (np.arange(10), False),
        (np.array([0.0, 1.0]), False),
        (np.zeros((3, 2), dtype=int), False),
        (np.zeros(0, dtype=int), False),
    ],
)
def test_what_looks_like_classes(labels, expected):
    assert looks_like_classes(labels) is expected


def test_classes_of_one_sample_each_cannot_be_stratified():
    with pytest.raises(DataError, match="no class has a sample to spare"):
        split_indices(3, 0.3, [0, 1, 2])
