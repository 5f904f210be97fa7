"""Buckets: little padding, few shapes, every sample once; and loaders that take batches from a sampler.

In: lengths of all kinds. Out: partitions that are a function of the seed and the epoch; the least padding that any cuts
give, by trying all of them.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import BucketBatchSampler, Buckets, DataLoader, SequenceDataset, Subset, TensorDataset
from thalweg.errors import ArgumentError, DataError, DTypeError

some_lengths = st.lists(st.integers(1, 30), min_size=1, max_size=60)
pairs = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=40)


def padded_sum(lengths, shapes):
    table = np.asarray(lengths).reshape(len(lengths), -1)
    buckets = Buckets(shapes)
    return buckets.shapes[buckets.of(table)].sum()


@given(st.lists(st.integers(1, 8), min_size=1, max_size=30), st.integers(1, 4))
def test_no_other_cuts_pad_less(lengths, count):
    found = padded_sum(lengths, Buckets.fit(lengths, count).shapes)
    candidates = sorted(set(lengths))
    for size in range(1, count + 1):
        for inner in itertools.combinations(candidates[:-1], min(size, len(candidates)) - 1):
            assert found <= padded_sum(lengths, [*inner, candidates[-1]])


@given(pairs, st.integers(1, 5), st.integers(1, 4))
def test_every_sequence_fits_into_its_bucket(lengths, count, multiple):
    buckets = Buckets.fit(lengths, count, multiple)
    assert len(buckets) <= count
    assert (buckets.shapes % multiple == 0).all()
    own = buckets.of(lengths)
    assert (buckets.shapes[own] >= lengths).all()
    assert all((buckets.shapes[o - 1] < pair).any() for o, pair in zip(own, lengths, strict=True) if o)
    assert (buckets.shape_of(lengths) >= np.max(lengths, axis=0)).all()


def test_thousands_of_lengths_are_cut_quickly_and_well():
    lengths = np.random.default_rng(0).integers(1, 20_000, 5_000)
    even = Buckets(np.arange(2_500, 20_001, 2_500))
    assert Buckets.fit(lengths, 8).padding(lengths) < even.padding(lengths) < 0.12


@given(some_lengths, st.integers(1, 9), st.booleans(), st.integers(0, 5), st.integers(0, 2**40))
def test_every_sample_comes_once_in_few_shapes(lengths, size, shuffle, epoch, seed):
    sampler = BucketBatchSampler(lengths, size, buckets=3, shuffle=shuffle, seed=seed)
    batches = sampler.batches(epoch)
    assert len(batches) == len(sampler)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert all(len(batch) == size for batch in batches[:-1])
    shapes = {(len(batch), *sampler.buckets.shape_of(sampler.lengths[batch])) for batch in batches}
    assert len(shapes) <= len(sampler.buckets) + 1
    again = BucketBatchSampler(lengths, size, buckets=3, shuffle=shuffle, seed=seed)
    assert all((a == b).all() for a, b in zip(again.batches(epoch), batches, strict=True))


def test_a_batch_holds_no_more_tokens_than_allowed():
    lengths = np.random.default_rng(0).integers(1, 50, 300)
    sampler = BucketBatchSampler(lengths, max_tokens=200, seed=1)
    batches = sampler.batches(0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(300))
    assert all(len(b) * sampler.buckets.shape_of(lengths[b])[0] <= 200 for b in batches)
    assert len(BucketBatchSampler([300, 2], max_tokens=200)) == 2  # a sample that is too long comes alone


def test_order_differs_by_epoch_and_by_seed_and_the_short_batch_is_last():
    sampler = BucketBatchSampler(np.arange(1, 101), 8)
    first, second = sampler.batches(0), sampler.batches(1)
    assert [b.tolist() for b in first] != [b.tolist() for b in second]
    assert [b.tolist() for b in first] != [b.tolist() for b in sampler.batches(0, seed=1)]
    assert len(first[-1]) == 4
    assert [b.tolist() for b in sampler] == [b.tolist() for b in first]
    assert [b.tolist() for b in sampler] == [b.tolist() for b in second]
    assert len(BucketBatchSampler(np.arange(1, 101), 8, drop_last=True)) == 12


def data_of(count=50):
    lengths = np.random.default_rng(0).integers(1, 20, count)
    return SequenceDataset([np.full(n, i) for i, n in enumerate(lengths)], np.arange(count), buckets=3)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_asks_for_the_batches_of_its_seed_and_epoch(workers):
    data = data_of()
    sampler = BucketBatchSampler(data, 8)
    loader = DataLoader(data, batch_sampler=sampler, seed=7, num_workers=workers)
    seen = [y.tolist() for _, y in loader]
    assert seen == [b.tolist() for b in sampler.batches(0, 7)]
    assert len(loader) == len(seen) == 7
    assert all((x.max(axis=1) == y).all() for x, y in loader.batches(0))
    assert [y.tolist() for _, y in loader.batches(0, start=5)] == seen[5:]
    assert loader.order(0).tolist() == [number for batch in seen for number in batch]
    resumed = DataLoader(data, batch_sampler=BucketBatchSampler(data, 8, seed=99), seed=0)
    resumed.load_state_dict(loader.state_dict())
    assert [y.tolist() for _, y in resumed] == [b.tolist() for b in sampler.batches(1, 7)]


def test_a_part_of_a_data_set_is_bucketed_like_the_whole():
    data = data_of()
    part = Subset(data, [3, 1, 4, 1])
    sampler = BucketBatchSampler(part, 2, shuffle=False)
    assert sampler.buckets is data.buckets
    assert sampler.lengths.tolist() == data.lengths_of[[3, 1, 4, 1]].tolist()
    assert sorted(y for _, batch in DataLoader(part, batch_sampler=sampler) for y in batch.tolist()) == [1, 1, 3, 4]


def test_lists_of_numbers_are_batches_as_in_pytorch():
    loader = DataLoader(TensorDataset(np.arange(10)), batch_sampler=[[1, 2], [0], [9, 8, 7]])
    assert [x.tolist() for (x,) in loader] == [[1, 2], [0], [9, 8, 7]]
    assert len(loader) == 3


def test_what_is_longer_than_every_bucket_is_padded_to_itself():
    buckets = Buckets([4, 8])
    assert buckets.shape_of([9, 3]).tolist() == [9]
    assert buckets.of([4, 5, 9]).tolist() == [0, 1, 2]
    sampler = BucketBatchSampler([3, 9, 12], 1, buckets=buckets)
    assert sorted(np.concatenate(sampler.batches(0)).tolist()) == [0, 1, 2]


MISUSE = [
    ("neither size", lambda: BucketBatchSampler([1, 2]), ArgumentError, "either batch_size or max_tokens"),
    ("both sizes", lambda: BucketBatchSampler([1], 1, max_tokens=4), ArgumentError, "either"),
    ("no lengths", lambda: BucketBatchSampler([], 1), DataError, "at least one sample"),
    ("fractions", lambda: Buckets.fit([1.5]), DataError, "whole numbers"),
    ("descending buckets", lambda: Buckets([4, 2]), ArgumentError, "ascending"),
    ("other fields", lambda: Buckets([4]).of([[1, 2]]), DataError, "2 sequences"),
    ("nothing left", lambda: BucketBatchSampler([1, 2], 3, drop_last=True), DataError, "no batch"),
    ("two orders", lambda: DataLoader(data_of(), shuffle=True, batch_sampler=[[0]]), ArgumentError, "shuffle=True"),
    ("no length", lambda: len(DataLoader(data_of(), batch_sampler=iter([[0]]))), DTypeError, "without __len__"),
    ("two sizes", lambda: DataLoader(data_of(), 4, batch_sampler=[[0]]), ArgumentError, "a batch_size"),
]


@pytest.mark.parametrize(("call", "kind", "words"), [row[1:] for row in MISUSE], ids=[row[0] for row in MISUSE])
def test_misuse_is_explained(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
