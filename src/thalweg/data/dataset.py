"""What a set of samples is, and the sets that arrays, parts and concatenations make.

In: NumPy arrays (memory-mapped ones too, never copied whole), or anything with `.numpy()`.
Out: `dataset[i]`, one sample; `dataset.take(indices)`, a batch in one gather per array.
"""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from thalweg.data.collate import default_collate
from thalweg.data.draws import Moment
from thalweg.errors import ArgumentError, DataError, IndexRangeError, explain


class Dataset:
    """A set of samples that is reached by number. Subclasses define `__len__` and `__getitem__`, as in PyTorch.

    `take(indices)` returns a batch; it stacks samples unless a subclass knows a faster way. A subclass whose samples
    are changed by chance defines `draw(indices, moment)` besides: the batch that a `DataLoader` asks for, a function of
    the moment (its seed and the epoch) and the numbers of the samples. `take` and `dataset[i]` are without chance.

    >>> class Squares(Dataset):
    ...     def __len__(self): return 5
    ...     def __getitem__(self, index): return float(index), index ** 2
    >>> x, y = Squares().take([1, 3])
    >>> x, y
    (array([1., 3.], dtype=float32), array([1, 9]))
    """

    read_ahead: int = 0
    """With how many threads a `Trainer` reads ahead, where samples take long to read (pictures to decode)."""

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__}.__len__ is not defined")

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}.__getitem__ is not defined")

    def take(self, indices: ArrayLike) -> Any:
        """The batch of the samples with these numbers, in this order: each field stacked along a new first axis."""
        return default_collate([self[int(index)] for index in np.asarray(indices)])

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset:
    """A set of samples that is only read from front to back. Subclasses define `__iter__`, as in PyTorch.

    A subclass may define `chunks(epoch, seed, shuffle)`, an iterator of tuples of arrays with any number of rows, which
    a `DataLoader` cuts into batches without touching single samples (`StreamedCSV` does).
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__}.__iter__ is not defined")


def gather(dataset: Any, indices: np.ndarray, moment: Moment | None = None) -> Any:
    """`dataset.draw(indices, moment)` or `dataset.take(indices)` where that is current, else a stack of `dataset[i]`.

    A subclass that overrides `__getitem__` alone (to augment, say) must not be short-cut by the `take` it inherits.
    """
    if isinstance(dataset, Dataset):
        current = _current_ways(type(dataset))
        if moment is not None and "draw" in current:
            return dataset.draw(indices, moment)  # type: ignore[attr-defined]
        if "take" in current:
            return dataset.take(indices)
    return default_collate([dataset[int(index)] for index in indices])


def _current_ways(kind: type) -> set[str]:
    """Which ways to read the nearest class that defines any of them defines."""
    ways = {"draw", "take", "__getitem__"}
    return next(found for base in kind.__mro__ if (found := ways & vars(base).keys()))


def drawn_sample(dataset: Any, index: int, moment: Moment | None) -> Any:
    """One sample as it is at a moment."""
    if moment is None or not isinstance(dataset, Dataset) or "draw" not in _current_ways(type(dataset)):
        return dataset[index]
    return _first(gather(dataset, np.array([index]), moment))


def _first(batch: Any) -> Any:
    if isinstance(batch, tuple):
        return tuple(map(_first, batch))
    if isinstance(batch, dict):
        return {key: _first(value) for key, value in batch.items()}
    return batch[0]


def checked_index(index: object, length: int, where: str) -> int:
    """The index as a number in 0 .. length-1; negative ones count from the end."""
    number = operator.index(index)  # type: ignore[arg-type]
    if not -length <= number < length:
        raise IndexRangeError(
            explain("sample out of range", received=number, expected=f"-{length} .. {length - 1}", where=where)
        )
    return number % length


def as_sample_array(value: Any, where: str) -> np.ndarray:
    """An array with samples along its first axis, from an array, a tensor (`.numpy()`) or nested lists; not copied."""
    try:
        array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    except ValueError as error:
        raise DataError(
            explain(
                "these samples do not all have one shape", received=str(error), where=where, remedy="pad or crop them"
            )
        ) from error
    if array.ndim == 0:
        raise DataError(
            explain(
                "samples must lie along the first axis", received="a single number", expected="an array", where=where
            )
        )
    if array.dtype.kind not in "biuf":
        raise DataError(
            explain(
                "only numbers can be trained on",
                received=f"dtype {array.dtype}",
                expected="a floating, integer or bool dtype",
                where=where,
                remedy="encode it first, for example with tw.data.TableEncoder or tw.data.LabelEncoder",
            )
        )
    return array


def rows_of(array: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The rows with these numbers, in a new array of their own.

    NumPy's `take` is the fastest way, but copies the whole of an array whose rows do not follow each other in memory.
    """
    if array.flags.c_contiguous:
        return array.take(numbers, axis=0)
    return np.ascontiguousarray(array[numbers])


def check_equal_lengths(arrays: Sequence[np.ndarray], where: str) -> int:
    """The number of samples that all arrays share."""
    if not arrays:
        raise DataError(explain("no arrays were given", expected="at least one array", where=where))
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) > 1:
        raise DataError(
            explain(
                "arrays of different lengths cannot be paired",
                received="lengths " + ", ".join(map(str, lengths)),
                expected="the same number of samples in each",
                where=where,
                remedy="check that inputs and targets come from the same rows",
            )
        )
    return lengths[0]


class TensorDataset(Dataset):
    """Arrays whose first axis counts the samples; sample i is the tuple of their i-th rows.

    Args:
        *arrays: each of shape (samples, ...): NumPy arrays (a memory-mapped one stays on disk), nested lists, or
            tensors with `.numpy()`. Dtypes are kept.

    Raises:
        DataError: no arrays, different lengths, or values that are not numbers.

    >>> data = TensorDataset(np.arange(6.0).reshape(3, 2), [0, 1, 0])
    >>> len(data), data[1]
    (3, (array([2., 3.]), np.int64(1)))
    >>> data.take([2, 0])[1]
    array([0, 0])
    """

    def __init__(self, *arrays: Any) -> None:
        self.arrays = tuple(as_sample_array(array, f"TensorDataset, array {i}") for i, array in enumerate(arrays))
        self._length = check_equal_lengths(self.arrays, "TensorDataset")

    @property
    def tensors(self) -> tuple[np.ndarray, ...]:
        """The arrays, under PyTorch's name."""
        return self.arrays

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        if not isinstance(index, slice):
            index = checked_index(index, len(self), "TensorDataset")
        return tuple(array[index] for array in self.arrays)

    def take(self, indices: ArrayLike) -> tuple[np.ndarray, ...]:
        """One gather per array: a tuple of arrays of shape (len(indices), ...), each a copy."""
        numbers = np.asarray(indices, dtype=np.int64)
        try:
            return tuple(rows_of(array, numbers) for array in self.arrays)
        except IndexError as error:
            raise IndexRangeError(
                explain(
                    "sample out of range",
                    received=str(error),
                    expected=f"0 .. {len(self) - 1}",
                    where="TensorDataset.take",
                )
            ) from error

    def __repr__(self) -> str:
        return f"TensorDataset({', '.join(f'{array.dtype}{list(array.shape)}' for array in self.arrays)})"


class Subset(Dataset):
    """The samples of `dataset` with the given numbers, in the given order; nothing is copied.

    >>> Subset(TensorDataset([10, 20, 30]), [2, 0])[0]
    (np.int64(30),)
    """

    def __init__(self, dataset: Any, indices: ArrayLike) -> None:
        self.dataset = dataset
        self.indices = _checked_indices(indices, len(dataset), "Subset")
        self.read_ahead = getattr(dataset, "read_ahead", 0)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        return self.dataset[int(self.indices[checked_index(index, len(self), "Subset")])]

    def take(self, indices: ArrayLike) -> Any:
        return gather(self.dataset, self.indices[np.asarray(indices, dtype=np.int64)])

    def draw(self, indices: ArrayLike, moment: Moment) -> Any:
        """The samples at a moment; each is drawn as in the whole set, whichever subset it is in."""
        return gather(self.dataset, self.indices[np.asarray(indices, dtype=np.int64)], moment)

    def __repr__(self) -> str:
        return f"Subset({len(self)} of {self.dataset!r})"


def _checked_indices(indices: ArrayLike, length: int, where: str) -> np.ndarray:
    numbers = np.asarray(indices)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise ArgumentError(
            explain(
                "a subset takes a list of sample numbers",
                received=f"dtype {numbers.dtype}, shape {numbers.shape}",
                expected="integers, one axis",
                where=where,
                remedy="turn a mask into numbers with np.flatnonzero(mask)",
            )
        )
    numbers = numbers.astype(np.int64)
    if numbers.size:
        checked_index(numbers.min(), length, where)
        checked_index(numbers.max(), length, where)
    return np.where(numbers < 0, numbers + length, numbers)


class ConcatDataset(Dataset):
    """Several data sets, one after the other.

    >>> both = TensorDataset([1, 2]) + TensorDataset([3])
    >>> len(both), both.take([2, 0])[0].tolist()
    (3, [3, 1])
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise DataError(explain("no data sets to concatenate", expected="at least one", where="ConcatDataset"))
        self.read_ahead = max(getattr(dataset, "read_ahead", 0) for dataset in self.datasets)
        self.cumulative_sizes = list(accumulate(len(dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: Any) -> Any:
        number = checked_index(index, len(self), "ConcatDataset")
        part = bisect_right(self.cumulative_sizes, number)
        return self.datasets[part][number - self._start(part)]

    def _start(self, part: int) -> int:
        return self.cumulative_sizes[part - 1] if part else 0

    def take(self, indices: ArrayLike) -> Any:
        """One gather per data set that is touched, put back in the order asked for."""
        return self._gathered(indices, None)

    def draw(self, indices: ArrayLike, moment: Moment) -> Any:
        """The samples at a moment; parts draw independently of each other."""
        return self._gathered(indices, moment)

    def _gathered(self, indices: ArrayLike, moment: Moment | None) -> Any:
        numbers = np.asarray(indices, dtype=np.int64)
        owners = np.searchsorted(self.cumulative_sizes, numbers, side="right")
        parts = np.unique(owners).tolist()
        positions = [np.flatnonzero(owners == part) for part in parts]
        batches = [
            gather(self.datasets[part], numbers[at] - self._start(part), moment and moment.within(part))
            for part, at in zip(parts, positions, strict=True)
        ]
        return _join(batches, np.argsort(np.concatenate(positions)))

    def __repr__(self) -> str:
        return f"ConcatDataset({self.datasets!r})"


def _join(batches: list[Any], order: np.ndarray) -> Any:
    first = batches[0]
    if isinstance(first, tuple):
        return tuple(_join(list(fields), order) for fields in zip(*batches, strict=True))
    if isinstance(first, dict):
        return {key: _join([batch[key] for batch in batches], order) for key in first}
    return np.concatenate(batches)[order]
