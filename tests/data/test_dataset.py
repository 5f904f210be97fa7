"""Data sets: samples by number, batches in one gather, files that stay on disk.

In: arrays, hypothesis's lists of indices. Out: `take` equals stacking `[i]`, for every composition.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import ConcatDataset, DataLoader, Subset, TensorDataset, default_collate
from thalweg.data.dataset import gather
from thalweg.errors import DataError, IndexRangeError


def numbered(count, offset=0):
    return TensorDataset(
        np.arange(offset, offset + count, dtype=np.float32)[:, None] * [1, 10], np.arange(count) + offset
    )


COMPOSITIONS = {
    "tensor": lambda: numbered(12),
    "subset": lambda: Subset(numbered(20), np.arange(4, 16)[::-1]),
    "concatenation": lambda: numbered(5) + numbered(0) + numbered(7, offset=5),
    "subset of a concatenation": lambda: Subset(ConcatDataset([numbered(10), numbered(10, 10)]), range(3, 15)),
}


@pytest.mark.parametrize("name", COMPOSITIONS)
@given(indices=st.lists(st.integers(0, 11), min_size=1, max_size=20))
def test_taking_a_batch_equals_stacking_its_samples(name, indices):
    dataset = COMPOSITIONS[name]()
    assert len(dataset) == 12
    taken = dataset.take(indices)
    stacked = default_collate([dataset[i] for i in indices])
    for got, expected in zip(taken, stacked, strict=True):
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype


def test_negative_numbers_count_from_the_end():
    assert numbered(3)[-1][1] == 2
    assert (numbered(3) + numbered(2, 3))[-1][1] == 4


def test_anything_with_a_numpy_method_is_taken_and_dtypes_are_kept():
    class Tensor:
        def numpy(self):
            return np.arange(3, dtype=np.int32)

    assert TensorDataset(Tensor()).arrays[0].dtype == np.int32


def test_a_memory_mapped_array_stays_on_disk(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(10.0))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    dataset = TensorDataset(mapped)
    assert np.shares_memory(dataset.arrays[0], mapped)
    (batch,) = dataset.take([3, 1])
    assert type(batch) is np.ndarray
    assert batch.flags.writeable
    assert batch.tolist() == [3.0, 1.0]


def test_a_batch_is_a_copy():
    x = np.zeros(4)
    (batch,) = TensorDataset(x).take([0, 1, 2, 3])
    batch += 1
    assert not x.any()


def test_an_overridden_getitem_is_not_short_cut_by_the_inherited_take():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return tuple(2 * value for value in super().__getitem__(index))

    (batch,) = gather(Doubled(np.arange(4)), np.array([1, 3]))
    assert batch.tolist() == [2, 6]
    (batch,) = next(iter(DataLoader(Doubled(np.arange(4)), batch_size=4)))
    assert batch.tolist() == [0, 2, 4, 6]


def test_a_class_of_the_users_own_needs_no_base_class():
    class Squares:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return {"x": index, "y": index**2}

    batch = next(iter(DataLoader(Squares(), batch_size=3)))
    assert batch["y"].tolist() == [0, 1, 4]
    assert Subset(Squares(), [2])[0] == {"x": 2, "y": 4}


def test_a_slice_gives_a_tuple_of_arrays():
    assert numbered(5)[1:3][1].tolist() == [1, 2]


@pytest.mark.parametrize("index", [5, -6])
def test_a_sample_out_of_range_is_an_index_error(index):
    with pytest.raises(IndexRangeError, match="sample out of range"):
        numbered(5)[index]
    with pytest.raises(IndexError):
        numbered(5).take([index])


def test_iterating_over_a_data_set_ends():
    assert len(list(numbered(3))) == 3


def test_python_floats_become_float32_and_integers_int64():
    x, y = default_collate([(0.5, 1), (1.5, 2)])
    assert (x.dtype, y.dtype) == (np.float32, np.int64)


def test_samples_of_different_shapes_name_the_position():
    with pytest.raises(DataError, match="sample 1 of the batch"):
        default_collate([np.zeros(2), np.zeros(3)])


def test_representations_say_what_is_inside():
    assert repr(numbered(2)) == "TensorDataset(float64[2, 2], int64[2])"
    assert repr(Subset(numbered(2), [0])).startswith("Subset(1 of TensorDataset(")
