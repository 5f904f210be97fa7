"""The loader: each sample once, in an order that depends on the seed and the epoch and on nothing else.

In: data sets of all kinds, workers, seeds. Out: batches; errors that name the sample.
"""

import gc
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import DataLoader, Dataset, IterableDataset, TensorDataset, manual_seed
from thalweg.data.loader import rebatch
from thalweg.data.seeding import permutation
from thalweg.data.workers import run_in_order
from thalweg.errors import DataError, DTypeError, StateError


def loader(count=10, **arguments):
    return DataLoader(TensorDataset(np.arange(count)), **arguments)


def flat(batches):
    return [int(value) for (batch,) in batches for value in batch]


@given(
    count=st.integers(1, 40),
    batch_size=st.integers(1, 45),
    shuffle=st.booleans(),
    workers=st.integers(0, 3),
    seed=st.integers(0, 2**70),
)
def test_every_sample_is_visited_once(count, batch_size, shuffle, workers, seed):
    batches = loader(count, batch_size=batch_size, shuffle=shuffle, num_workers=workers, seed=seed)
    for _ in range(2):
        seen = list(batches)
        assert len(seen) == len(batches)
        assert all(len(batch) == batch_size for (batch,) in seen[:-1])
        assert sorted(flat(seen)) == list(range(count))


@given(count=st.integers(1, 40), batch_size=st.integers(1, 40))
def test_drop_last_leaves_only_whole_batches(count, batch_size):
    if batch_size > count:
        return
    batches = list(loader(count, batch_size=batch_size, drop_last=True))
    assert [len(batch) for (batch,) in batches] == [batch_size] * (count // batch_size)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_order_does_not_depend_on_the_number_of_workers(workers):
    class Slow(Dataset):
        def __len__(self):
            return 20

        def __getitem__(self, index):
            time.sleep(0.002 * (index % 3))
            return (index,)

    alone = flat(DataLoader(Slow(), batch_size=3, shuffle=True, seed=7))
    assert flat(DataLoader(Slow(), batch_size=3, shuffle=True, seed=7, num_workers=workers)) == alone


def test_an_epoch_is_a_function_of_seed_and_number():
    first, second = loader(shuffle=True, seed=3), loader(shuffle=True, seed=3)
    epochs = [flat(first) for _ in range(3)]
    assert epochs[0] != epochs[1]
    second.set_epoch(2)
    assert flat(second) == epochs[2]
    assert flat(second.batches(1)) == epochs[1]
    assert second.epoch == 3


def test_the_orders_are_written_down():
    """Another NumPy, another machine: the same order. These numbers may never change."""
    assert permutation(10, 0, 0).tolist() == WRITTEN_DOWN
    assert flat(loader(shuffle=True, seed=0)) == WRITTEN_DOWN


WRITTEN_DOWN = [1, 4, 5, 6, 8, 2, 0, 3, 9, 7]


def test_a_run_resumes_where_it_stopped():
    whole = loader(shuffle=True, seed=5, batch_size=3)
    expected = [flat(whole) for _ in range(4)]
    stopped = loader(shuffle=True, seed=5, batch_size=3)
    assert [flat(stopped) for _ in range(2)] == expected[:2]
    resumed = loader(shuffle=True, seed=99, batch_size=3)
    resumed.load_state_dict(stopped.state_dict())
    assert [flat(resumed) for _ in range(2)] == expected[2:]
    assert flat(resumed.batches(1, start=2)) == expected[1][6:]


def test_nothing_drawn_elsewhere_moves_the_order():
    batches = loader(shuffle=True, seed=5)
    expected = flat(batches.batches(0))
    np.random.default_rng(0).random(100)
    manual_seed(123)
    assert flat(batches) == expected


def test_a_loader_without_a_seed_draws_one_that_manual_seed_decides():
    manual_seed(11)
    first, second = loader(shuffle=True), loader(shuffle=True)
    manual_seed(11)
    again = loader(shuffle=True)
    assert first.seed == again.seed != second.seed
    assert first.state_dict() == {"seed": first.seed, "epoch": 0}


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_sample_is_named(workers):
    class Broken(Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, index):
            if index == 7:
                raise OSError("disk on fire")
            return (index,)

    batches = iter(DataLoader(Broken(), batch_size=4, num_workers=workers))
    assert next(batches)[0].tolist() == [0, 1, 2, 3]
    with pytest.raises(DataError, match="sample 7 cannot be read") as caught:
        next(batches)
    assert "OSError: disk on fire" in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


def test_a_failing_collate_names_the_batch():
    def refuse(samples):
        raise RuntimeError("no")

    with pytest.raises(DataError, match="the batch of samples 0, 1, 2, 3, "):
        next(iter(loader(batch_size=6, collate_fn=refuse)))


def test_collate_fn_gets_the_list_of_samples():
    assert list(loader(4, batch_size=2, collate_fn=len)) == [2, 2]


def test_a_sampler_decides_the_order_and_hears_of_the_epoch():
    class Sampler:
        def __len__(self):
            return 2

        def __iter__(self):
            return iter([9 - self.epoch, 0])

        def set_epoch(self, epoch):
            self.epoch = epoch

    batches = loader(sampler=Sampler())
    assert [flat(batches), flat(batches)] == [[9, 0], [8, 0]]
    assert len(batches) == 2


def test_leaving_an_epoch_early_ends_its_threads():
    batches = iter(loader(1000, batch_size=1, num_workers=3))
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("thalweg-data")]


def test_workers_read_ahead_but_not_without_bound():
    read = []

    def task(number):
        return lambda: read.append(number) or number

    results = run_in_order((task(i) for i in range(100)), workers=2, ahead=4)
    next(results)
    time.sleep(0.05)
    assert 2 <= len(read) <= 6
    results.close()


class Counting(IterableDataset):
    def __init__(self, count, broken_at=None):
        self.count, self.broken_at = count, broken_at

    def __iter__(self):
        for i in range(self.count):
            if i == self.broken_at:
                raise ValueError("bad line")
            yield (i,)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("drop_last", [False, True])
def test_a_stream_of_samples_is_batched_in_order(workers, drop_last):
    batches = DataLoader(Counting(10), batch_size=4, num_workers=workers, drop_last=drop_last)
    sizes = [4, 4] if drop_last else [4, 4, 2]
    for _ in range(2):
        assert [len(batch) for (batch,) in batches] == sizes
    assert flat(batches.batches(0, start=1)) == list(range(4, 4 * len(sizes) if drop_last else 10))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_sample_of_a_stream_is_named(workers):
    with pytest.raises(DataError, match="sample 5 of the stream cannot be read"):
        list(DataLoader(Counting(10, broken_at=5), batch_size=2, num_workers=workers))


def test_the_length_of_a_stream_that_does_not_know_it_is_a_type_error():
    with pytest.raises(DTypeError, match="the length is not known"):
        len(DataLoader(Counting(3)))
    with pytest.raises(TypeError):
        len(DataLoader(Counting(3)))


def test_an_abandoned_stream_ends_its_thread():
    batches = iter(DataLoader(Counting(10**6), batch_size=2, num_workers=1))
    next(batches)
    del batches
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("thalweg-data")]


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 7))
def test_rebatching_keeps_every_row_in_order(sizes, batch_size):
    rows = np.arange(sum(sizes))
    ends = np.cumsum(sizes)
    chunks = [(rows[end - size : end], -rows[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
    batches = list(rebatch(chunks, batch_size))
    assert [len(x) for x, _ in batches[:-1]] == [batch_size] * max(0, len(batches) - 1)
    assert [int(v) for x, _ in batches for v in x] == rows.tolist()
    assert all((x == -y).all() for x, y in batches)


def test_a_state_of_something_else_is_refused():
    with pytest.raises(StateError, match="no state of a DataLoader"):
        loader().load_state_dict({"epoch": 1})


def test_arrays_are_wrapped():
    x, y = next(iter(DataLoader((np.zeros((4, 2)), np.arange(4)), batch_size=4)))
    assert x.shape == (4, 2)
    assert y.tolist() == [0, 1, 2, 3]


def test_pytorchs_arguments_that_mean_nothing_here_are_accepted():
    assert len(loader(pin_memory=True, persistent_workers=True, num_workers=1)) == 10
