"""Batches, in an order that can be repeated and resumed.

In: a data set and how to batch it. Out: an iterator of batches (tuples of NumPy arrays) for each epoch.
The order of epoch n, and what chance does to a sample in it, are functions of (seed, n) and the sample's number alone:
not of the number of workers, nor of what was drawn elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial
from itertools import islice, repeat
from typing import Any

import numpy as np

from thalweg.data.checks import checked_count, part_of, reason_of
from thalweg.data.collate import default_collate
from thalweg.data.dataset import Dataset, IterableDataset, TensorDataset, drawn_sample, gather
from thalweg.data.draws import Moment
from thalweg.data.seeding import checked_seed, permutation
from thalweg.data.workers import run_in_order
from thalweg.errors import ArgumentError, DataError, DTypeError, FileFormatError, StateError, ThalwegError, explain

Collate = Callable[[list[Any]], Any]
_END = object()


class DataLoader:
    """Iterates over a data set in batches; each `for` loop over it is one epoch.

    Names and defaults are PyTorch's, except `seed`. Batches are NumPy arrays; a set of tuples gives tuples.

    Args:
        dataset: anything with `__len__` and `__getitem__`, or an `IterableDataset`.
        batch_size: samples in a batch. 1 is stochastic, len(dataset) is full-batch gradient descent.
        shuffle: a new order each epoch. Rows of a stream are shuffled within each of its chunks.
        sampler: an iterable of sample numbers to use instead of `shuffle`.
        batch_sampler: an iterable of lists of sample numbers, one for each batch, instead of `batch_size`, `shuffle`,
            `sampler` and `drop_last`. If it has `batches(epoch, seed)`, as `BucketBatchSampler`, it is asked for those
            of each epoch with the loader's seed; if it has `set_epoch`, it is told the epoch.
        num_workers: threads that read ahead; 0 reads when asked. The batches are the same bits whatever it is.
        collate_fn: makes a batch of a list of samples; the default gathers arrays without touching single samples.
        pin_memory, persistent_workers: accepted so that PyTorch scripts run; there is no device and no process to keep.
        drop_last: leave out the last batch of an epoch when it is short.
        prefetch_factor: batches that each worker reads ahead.
        augment: let chance into the transforms of the data set (see `Dataset.draw`); False for evaluation.
        seed: decides every epoch's order and draws; None takes a fresh one (`tw.data.manual_seed`), kept in `.seed`.

    Attributes:
        epoch: the number of the next epoch, counted from 0. `state_dict()` holds it and the seed.

    Raises:
        ArgumentError: sizes that are no positive integers, `shuffle` together with `sampler`.
        DataError: an empty data set; `drop_last` that leaves no batch; a sample that cannot be read (named by its
            number).

    >>> loader = DataLoader(TensorDataset(np.arange(5)), batch_size=2, shuffle=True, seed=0)
    >>> len(loader), sorted(int(x) for (batch,) in loader for x in batch)
    (3, [0, 1, 2, 3, 4])
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        *,
        num_workers: int = 0,
        batch_sampler: Any = None,
        collate_fn: Collate | None = None,
        pin_memory: bool = False,
        persistent_workers: bool = False,
        drop_last: bool = False,
        prefetch_factor: int = 2,
        augment: bool = True,
        seed: int | None = None,
    ) -> None:
        self.dataset = _checked_dataset(dataset)
        self.batch_size = checked_count("batch_size", batch_size, 1, "DataLoader")
        self.num_workers = checked_count("num_workers", num_workers, 0, "DataLoader")
        self.prefetch_factor = checked_count("prefetch_factor", prefetch_factor, 1, "DataLoader")
        self.shuffle, self.sampler, self.batch_sampler = bool(shuffle), sampler, batch_sampler
        self.collate_fn, self.drop_last, self.augment = collate_fn, bool(drop_last), bool(augment)
        self.seed, self.epoch = checked_seed(seed, "DataLoader"), 0
        self._check_combination()

    def _check_combination(self) -> None:
        if self.batch_sampler is not None:
            self._check_batch_sampler()
            return
        if self.sampler is not None and (self.shuffle or self.is_stream):
            other = "shuffle=True" if self.shuffle else "an IterableDataset"
            raise ArgumentError(
                explain(f"a sampler and {other} both decide the order", where="DataLoader", remedy="leave one out")
            )
        if self.is_stream or self.sampler is not None:
            return
        if len(self.dataset) == 0:
            raise DataError(
                explain("the data set is empty", received="0 samples", expected="at least 1", where="DataLoader")
            )
        if len(self) == 0:
            raise DataError(
                explain(
                    "drop_last leaves no batch at all",
                    received=f"{len(self.dataset)} samples, batch_size {self.batch_size}",
                    where="DataLoader",
                    remedy="use a smaller batch_size or drop_last=False",
                )
            )

    def _check_batch_sampler(self) -> None:
        given = {
            "a batch_size": self.batch_size != 1, "shuffle=True": self.shuffle, "a sampler": self.sampler is not None,
            "drop_last=True": self.drop_last, "an IterableDataset": self.is_stream,
        }  # fmt: skip
        for other in (name for name, is_given in given.items() if is_given):
            raise ArgumentError(
                explain(
                    f"a batch_sampler and {other} both decide the batches", where="DataLoader", remedy="leave one out"
                )
            )

    @property
    def is_stream(self) -> bool:
        """Whether the data set is only read from front to back."""
        return isinstance(self.dataset, IterableDataset)

    def __len__(self) -> int:
        """The number of batches in an epoch. Raises DTypeError (a TypeError) for a stream of unknown length."""
        if self.batch_sampler is not None:
            return _length_of(self.batch_sampler)
        whole, rest = divmod(_length_of(self.dataset if self.sampler is None else self.sampler), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        return self.batches(epoch)

    def batches(self, epoch: int, start: int = 0, *, augment: bool | None = None) -> Iterator[Any]:
        """The batches of one epoch from batch `start` on; `epoch` stays. This is how a run resumes within an epoch.

        `augment` takes the place of the loader's own: what evaluates asks for batches without chance.
        """
        if self.is_stream:
            return islice(self._stream(epoch), start, None)
        is_random = self.augment if augment is None else augment
        moment = Moment(self.seed, (epoch,)) if is_random else None
        tasks = (partial(self._load, numbers, moment) for numbers in self._numbers(epoch, start))
        return run_in_order(tasks, self.num_workers, self.num_workers * self.prefetch_factor)

    def _numbers(self, epoch: int, start: int) -> Iterator[np.ndarray]:
        """The sample numbers of each batch of an epoch, from batch `start` on."""
        if self.batch_sampler is not None:
            return islice(self._sampled_batches(epoch), start, None)
        order = self.order(epoch)
        end = len(order) - len(order) % self.batch_size if self.drop_last else len(order)
        firsts = range(start * self.batch_size, end, self.batch_size)
        return (order[first : first + self.batch_size] for first in firsts)

    def _sampled_batches(self, epoch: int) -> Iterator[np.ndarray]:
        if hasattr(self.batch_sampler, "batches"):
            return iter(self.batch_sampler.batches(epoch, self.seed))
        if hasattr(self.batch_sampler, "set_epoch"):
            self.batch_sampler.set_epoch(epoch)
        return (np.asarray(numbers, dtype=np.int64) for numbers in self.batch_sampler)

    def order(self, epoch: int) -> np.ndarray:
        """The sample numbers in the order of an epoch: int64, shape (samples,)."""
        if self.batch_sampler is not None:
            return np.concatenate(list(self._sampled_batches(epoch)))
        if self.sampler is not None:
            if hasattr(self.sampler, "set_epoch"):
                self.sampler.set_epoch(epoch)
            return np.fromiter(self.sampler, dtype=np.int64)
        count = len(self.dataset)
        return permutation(count, self.seed, epoch) if self.shuffle else np.arange(count)

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` the next one."""
        self.epoch = checked_count("epoch", epoch, 0, "DataLoader")

    def state_dict(self) -> dict[str, int]:
        """What the order of all epochs to come depends on: `{"seed": ..., "epoch": ...}`."""
        return {"seed": self.seed, "epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue with the orders of the loader that gave this state; StateError for missing or unknown names."""
        if set(state) != {"seed", "epoch"}:
            raise StateError(
                explain(
                    "this is no state of a DataLoader",
                    received=sorted(state),
                    expected="['epoch', 'seed']",
                    where="load_state_dict",
                )
            )
        self.seed, self.epoch = (
            checked_seed(state["seed"], "load_state_dict"),
            checked_count("epoch", state["epoch"], 0, "DataLoader"),
        )

    def _load(self, indices: np.ndarray, moment: Moment | None) -> Any:
        try:
            if self.collate_fn is None:
                return gather(self.dataset, indices, moment)
            return self.collate_fn([drawn_sample(self.dataset, index, moment) for index in indices.tolist()])
        except Exception as error:
            raise self._named(error, indices, moment) from error

    def _named(self, error: Exception, indices: np.ndarray, moment: Moment | None) -> DataError:
        """The error with the number of the first sample that cannot be read, found by reading them one by one."""
        for index in indices.tolist():
            try:
                drawn_sample(self.dataset, index, moment)
            except Exception as single:
                return _unreadable(f"sample {index}", single, self.dataset)
        return _unreadable(f"the batch of samples {_abridged(indices)}", error, self.dataset)

    def _stream(self, epoch: int) -> Iterator[Any]:
        """The batches of a stream; with workers one thread reads ahead, so that the order stays."""
        source = self._stream_batches(epoch)
        task = partial(next, source, _END)
        ahead = self.num_workers * self.prefetch_factor
        with closing(source), closing(run_in_order(repeat(task), min(self.num_workers, 1), ahead)) as results:
            for batch in results:
                if batch is _END:
                    return
                yield batch

    def _stream_batches(self, epoch: int) -> Generator[Any, None, None]:
        if hasattr(self.dataset, "chunks") and self.collate_fn is None:
            chunks = self.dataset.chunks(epoch=epoch, seed=self.seed, shuffle=self.shuffle)
            return rebatch(chunks, self.batch_size, self.drop_last)
        if self.shuffle:
            raise ArgumentError(
                explain(
                    "this stream cannot be shuffled",
                    received=f"shuffle=True with {type(self.dataset).__name__}",
                    expected="a data set with __len__ and __getitem__, or a stream with chunks()",
                    where="DataLoader",
                    remedy="shuffle in the data set's __iter__",
                )
            )
        return self._sample_batches()

    def _sample_batches(self) -> Generator[Any, None, None]:
        samples = _numbered(self.dataset)
        collate = self.collate_fn or default_collate
        while batch := list(islice(samples, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield collate(batch)

    def __repr__(self) -> str:
        return f"DataLoader({self.dataset!r}, batch_size={self.batch_size}, shuffle={self.shuffle}, seed={self.seed})"


def _length_of(counted: Any) -> int:
    if not hasattr(counted, "__len__"):
        received = f"a {type(counted).__name__} without __len__"
        raise DTypeError(explain("the length is not known", received=received, where="DataLoader"))
    return len(counted)


def rebatch(
    chunks: Iterable[tuple[np.ndarray, ...]], batch_size: int, drop_last: bool = False
) -> Generator[tuple[np.ndarray, ...], None, None]:
    """Cut chunks of any number of rows into batches of `batch_size` rows; only the last may be shorter.

    >>> [batch[0].tolist() for batch in rebatch([(np.arange(3),), (np.arange(3, 5),)], 2)]
    [[0, 1], [2, 3], [4]]
    """
    held: tuple[np.ndarray, ...] | None = None
    for chunk in chunks:
        held = chunk if held is None else tuple(np.concatenate(pair) for pair in zip(held, chunk, strict=True))
        whole = len(held[0]) - len(held[0]) % batch_size
        for first in range(0, whole, batch_size):
            yield tuple(array[first : first + batch_size] for array in held)
        held = tuple(array[whole:] for array in held)
    if held is not None and len(held[0]) and not drop_last:
        yield held


def _numbered(samples: Iterable[Any]) -> Iterator[Any]:
    iterator, number = iter(samples), 0
    while True:
        try:
            sample = next(iterator)
        except StopIteration:
            return
        except Exception as error:
            raise _unreadable(f"sample {number} of the stream", error, samples) from error
        yield sample
        number += 1


def _unreadable(which: str, error: Exception, dataset: object) -> DataError:
    place = part_of(error, "where") if isinstance(error, FileFormatError) else ""
    return DataError(
        explain(
            f"{which} cannot be read",
            received=reason_of(error) if isinstance(error, ThalwegError) else f"{type(error).__name__}: {error}",
            where=place or f"the data set {type(dataset).__name__}",
            remedy="the cause is chained above: try dataset[i] by itself",
        )
    )


def _abridged(indices: np.ndarray) -> str:
    names = ", ".join(map(str, indices[:4].tolist()))
    return names if len(indices) <= 4 else f"{names}, ... ({len(indices)} in all)"


def _checked_dataset(dataset: Any) -> Any:
    """The data set itself; an array or a tuple of arrays becomes a TensorDataset."""
    if isinstance(dataset, np.ndarray):
        return TensorDataset(dataset)
    if isinstance(dataset, tuple) and dataset and all(isinstance(part, np.ndarray) for part in dataset):
        return TensorDataset(*dataset)
    is_map = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
    if isinstance(dataset, (Dataset, IterableDataset)) or (is_map and not isinstance(dataset, (dict, str))):
        return dataset
    raise DataError(
        explain(
            "this is no data set",
            received=type(dataset).__name__,
            expected="an object with __len__ and __getitem__, an IterableDataset, or arrays",
            where="DataLoader",
            remedy="wrap arrays in tw.data.TensorDataset(x, y)",
        )
    )
