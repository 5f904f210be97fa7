"""Whatever the user trains on, as one thing: batches of (inputs, targets, weights), epoch by epoch.

In: arrays or tensors (memory-mapped too), data sets, loaders, streams, functions that make generators. Out: a `Feed`.
Its batches are NumPy arrays; `input_array` and `target_array` cast them to what the model and the loss take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from thalweg.data import DataLoader, IterableDataset, Subset, TensorDataset, looks_like_classes, split_indices
from thalweg.data.dataset import as_sample_array
from thalweg.data.splits import labels_of as labels_of_dataset
from thalweg.dtype import DType
from thalweg.errors import ArgumentError, DataError, DTypeError, NonFiniteError, explain
from thalweg.tensor import Tensor
from thalweg.train.losses import Targets


class Batch(NamedTuple):
    """Some examples: an array or a tuple of them, their targets, and a weight for each, or None."""

    inputs: Any
    targets: Any = None
    weights: Any = None


@dataclass
class Feed:
    """Batches that can be read again for every epoch.

    `open` starts an epoch by its number. `dataset` is there if samples can be reached by number; `arrays` if they lie
    in memory: then labels and lengths can be checked before the first step.
    """

    open: Callable[..., Iterator[Any]]
    batches: int | None = None
    examples: int | None = None
    dataset: Any = None
    arrays: Batch | None = None
    inputs: int | None = None
    """Of how many arrays the inputs consist, where they come as a flat tuple."""
    loader: DataLoader | None = None
    """What brings the batches, where it is one that only picks rows of arrays."""
    source: DataLoader | None = None
    """What brings the batches, where it is a loader of any kind; `open` then also takes the first batch's number."""
    reads_once: bool = False
    labels_checked: bool = False
    where: str = "data"

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from batch `start` on; their order is a function of the seed and the number."""
        if start and self.source is not None:
            batches = self.open(number, start)
        else:
            batches = islice(self.open(number), start, None)
        for batch in batches:
            yield self._split(batch)

    def whole(self, number: int) -> tuple[Batch, np.ndarray, int] | None:
        """All arrays, the numbers of their rows in the order of the epoch, and the batch size: `epoch` in one piece.

        None where batches have to be read one by one.
        """
        arrays = None if self.loader is None else _rows_in_memory(self.loader.dataset)
        if arrays is None or self.loader is None:
            return None
        fields, picked = arrays
        if self.inputs is None and len(fields) > len(Batch._fields):
            return None
        size = self.loader.batch_size
        order = self.loader.order(number)
        order = order[: len(order) - len(order) % size] if self.loader.drop_last else order
        return self._split(fields), order if picked is None else picked[order], size

    def first(self, number: int) -> Batch:
        """The first batch of an epoch, which stays to be read. Raises DataError if there is none."""
        batches = self.open(number)
        try:
            batch = next(batches)
        except StopIteration:
            raise empty(self.where) from None
        if self.reads_once:
            rest = batches
            self.open = lambda _: _chain(batch, rest)
        elif hasattr(batches, "close"):
            batches.close()
        return self._split(batch)

    def _split(self, batch: Any) -> Batch:
        if self.inputs is not None:
            fields, count = tuple(batch), self.inputs
            return Batch(fields[0] if count == 1 else fields[:count], *fields[count:])
        if isinstance(batch, tuple | list) and 1 <= len(batch) <= 3:
            return Batch(*batch)
        if isinstance(batch, dict | tuple | list | str):
            received = f"a {type(batch).__name__} of {len(batch)}"
            expected = "(inputs, targets) or (inputs, targets, weights)"
            raise DataError(explain("a batch of another form", received=received, expected=expected, where=self.where))
        return Batch(batch)


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def empty(where: str) -> DataError:
    remedy = "check the path, or the filter that left nothing"
    return DataError(
        explain("there is no data", received="0 examples", expected="at least 1", where=where, remedy=remedy)
    )


# --- from what the user has to a feed --------------------------------------------------------------------------------


def feed_of(
    data: Any,
    targets: Any = None,
    weights: Any = None,
    *,
    batch_size: int,
    shuffle: bool = False,
    drop_last: bool = False,
    augment: bool = False,
    seed: int = 0,
    where: str = "data",
) -> Feed:
    """The feed of any kind of data; what brings batches of its own ignores `batch_size`, `shuffle` and `drop_last`.

    `augment` lets chance into the transforms of a data set, which only training wants.
    """
    if isinstance(data, Feed):
        return data
    if _is_arrays(data, targets):
        batch = _array_batch(data, targets, weights, where)
        return _array_feed(batch, batch_size, shuffle, drop_last, seed, where)
    for name, value in (("targets", targets), ("sample_weight", weights)):
        if value is not None:
            remedy = "let the data give (inputs, targets, weights), or pass arrays"
            received = f"{name} beside a {type(data).__name__}"
            raise ArgumentError(
                explain(f"{name} must be part of this data", received=received, where=where, remedy=remedy)
            )
    return _other_feed(data, batch_size, shuffle, drop_last, augment, seed, where)


def _other_feed(
    data: Any, batch_size: int, shuffle: bool, drop_last: bool, augment: bool, seed: int, where: str
) -> Feed:
    if isinstance(data, DataLoader):
        feed = _loader_feed(data, where, augment)
        feed.dataset = None  # to split it would be to forget how it makes batches
        return feed
    is_map: bool = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    if isinstance(data, IterableDataset) or (is_map and not isinstance(data, dict | str | bytes)):
        if is_map and len(data) == 0:  # type: ignore[arg-type]
            raise empty(where)
        can_shuffle = shuffle and (is_map or hasattr(data, "chunks"))
        threads = getattr(data, "read_ahead", 0)
        loader = DataLoader(data, batch_size, can_shuffle, drop_last=drop_last, num_workers=threads, seed=seed)
        return _loader_feed(loader, where, augment)
    if callable(data) and not hasattr(data, "__iter__"):
        return Feed(lambda _: iter(_made(data, where)), where=where)
    if isinstance(data, Iterable) and not isinstance(data, dict | str | bytes | set | frozenset):
        return _iterable_feed(data, where)
    raise DataError(
        explain(
            "this is nothing to train on",
            received=type(data).__name__,
            expected="(x, y), a data set, a DataLoader, or an iterable of batches",
            where=where,
            remedy="pass (x, y) as arrays",
        )
    )


def _made(function: Callable[[], Any], where: str) -> Iterable[Any]:
    made = function()
    if not isinstance(made, Iterable):
        received, expected = type(made).__name__, "an iterator over batches"
        message = explain("the data function makes no batches", received=received, expected=expected, where=where)
        raise DataError(message)
    return made


def _iterable_feed(data: Any, where: str) -> Feed:
    batches = len(data) if hasattr(data, "__len__") else None
    reads_once = iter(data) is data
    return Feed(lambda _: iter(data), batches, where=where, reads_once=reads_once)


def _loader_feed(loader: DataLoader, where: str, augment: bool = False) -> Feed:
    """The loader's own order and sizes. Epochs are asked for by number; the loader's own count stays as it is."""

    def open_epoch(number: int, start: int = 0) -> Iterator[Any]:
        return loader.batches(number, start, augment=augment and loader.augment)

    dataset = None if loader.is_stream else loader.dataset
    batches = None if loader.is_stream else len(loader)
    examples = None if dataset is None else len(dataset)
    if examples is not None and loader.drop_last and batches is not None:
        examples = batches * loader.batch_size
    picks_rows = type(loader) is DataLoader and loader.collate_fn is None and loader.batch_sampler is None
    rows = loader if picks_rows else None
    return Feed(open_epoch, batches, examples, dataset, where=where, loader=rows, source=loader)


def _rows_in_memory(dataset: Any) -> tuple[tuple[np.ndarray, ...], np.ndarray | None] | None:
    """The arrays whose rows are the samples, and which rows; a class of the user's own may do more than pick rows."""
    if type(dataset) is TensorDataset:
        return dataset.arrays, None
    if type(dataset) is not Subset:
        return None
    found = _rows_in_memory(dataset.dataset)
    if found is None:
        return None
    arrays, picked = found
    return arrays, dataset.indices if picked is None else picked[dataset.indices]


# --- arrays ----------------------------------------------------------------------------------------------------------


def _is_arrays(data: Any, targets: Any) -> bool:
    if targets is not None or _is_array(data):
        return True
    if isinstance(data, tuple) and 1 <= len(data) <= 3:
        return all(_is_array(each) or isinstance(each, list | tuple) or each is None for each in data)
    if not isinstance(data, list) or not data:
        return isinstance(data, list | tuple)
    return not isinstance(data[0], tuple | dict) or all(_is_array(each) and np.ndim(each) for each in data)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | Tensor) or (hasattr(value, "__array__") and hasattr(value, "shape"))


def _array_batch(data: Any, targets: Any, weights: Any, where: str) -> Batch:
    parts = (data, targets) if targets is not None else data if isinstance(data, tuple) else None
    if parts is None and isinstance(data, list) and len(data) in (2, 3) and all(map(_is_array, data)):
        parts = tuple(data)  # [x, y], as tuples are written by many
    inputs, *rest = parts if parts is not None else (data,)
    if len(rest) == 2 and weights is not None:
        remedy = "pass them once: (x, y, weights), or sample_weight="
        raise ArgumentError(explain("sample weights were given twice", where=where, remedy=remedy))
    rest = [*rest, *[None] * (2 - len(rest))]
    if weights is not None:
        rest[1] = weights
    is_several = isinstance(inputs, tuple) and all(_is_array(each) for each in inputs)
    arrays = tuple(_as_samples(each, where) for each in inputs) if is_several else _as_samples(inputs, where)
    return Batch(arrays, *(None if each is None else _as_samples(each, where) for each in rest))


def _as_samples(value: Any, where: str) -> np.ndarray:
    """Samples along the first axis; an array is taken as it is, so a memory-mapped one stays on disk."""
    return as_sample_array(value.detach() if isinstance(value, Tensor) else value, where)


def _array_feed(batch: Batch, batch_size: int, shuffle: bool, drop_last: bool, seed: int, where: str) -> Feed:
    inputs = batch.inputs if isinstance(batch.inputs, tuple) else (batch.inputs,)
    _check_arrays(batch, inputs, where)
    fields = [each for each in (*inputs, batch.targets, batch.weights) if each is not None]
    loader = DataLoader(TensorDataset(*fields), batch_size, shuffle, drop_last=drop_last, seed=seed)
    feed = _loader_feed(loader, where)
    feed.inputs, feed.arrays = len(inputs), batch
    return feed


def _check_arrays(batch: Batch, inputs: tuple[np.ndarray, ...], where: str) -> None:
    count = len(inputs[0])
    if count == 0:
        raise empty(where)
    for name, array in (*((f"input {i}", each) for i, each in enumerate(inputs)), ("targets", batch.targets),
                        ("sample_weight", batch.weights)):  # fmt: skip
        if array is not None and len(array) != count:
            raise DataError(
                explain(
                    "inputs and targets must have the same number of examples",
                    received=f"{count} inputs, {len(array)} in {name}",
                    expected=f"{count} of each",
                    where=where,
                    remedy="check that they come from the same rows",
                )
            )
    if batch.weights is not None:
        check_weights(batch.weights, count, where)


def check_weights(weights: np.ndarray, count: int, where: str) -> None:
    """One finite weight of at least 0 for each example, and not all 0."""
    expected, received = f"shape ({count},), finite, 0 or more", f"shape {weights.shape}"
    if weights.shape == (count,):
        if weights.dtype.kind in "biuf" and np.isfinite(weights).all() and (weights >= 0).all():
            return
        received = f"from {weights.min()} to {weights.max()}, dtype {weights.dtype}"
    raise ArgumentError(explain("sample weights out of range", received=received, expected=expected, where=where))


def check_finite(arrays: Iterable[tuple[str, Any]]) -> None:
    """Refuse NaN and infinity in arrays that lie in memory; a memory-mapped one is not read for that."""
    for name, array in arrays:
        is_float = isinstance(array, np.ndarray) and array.dtype.kind == "f" and not isinstance(array, np.memmap)
        if not is_float or _is_finite(array):
            continue
        place = tuple(int(each) for each in np.argwhere(~np.isfinite(array))[0])
        raise NonFiniteError(
            explain(
                f"the {name} hold numbers that are not finite",
                received=f"{array[place]} at position {place}, {int((~np.isfinite(array)).sum())} in all",
                expected="finite numbers",
                remedy="fill missing values (tw.data.Impute), or pass Trainer(check_finite=False)",
            )
        )


def _is_finite(array: np.ndarray) -> bool:
    """Block by block: what NumPy makes of all entries at once is a quarter of float32 data."""
    rows = array.T if array.flags.f_contiguous else array
    count = max(1, _BLOCK_BYTES // max(1, array.nbytes // max(len(rows), 1)))
    return all(np.isfinite(rows[first : first + count]).all() for first in range(0, len(rows), count))


_BLOCK_BYTES = 1 << 20

# --- a validation part -----------------------------------------------------------------------------------------------


def split(feed: Feed, fraction: float, targets: Targets, seed: int, **options: Any) -> tuple[Feed, Feed]:
    """Training and validation feeds: shuffled, every class in its share, a function of the seed; nothing is copied."""
    if feed.dataset is None:
        remedy = "pass validation= with data of its own"
        received = "data that is only read from front to back"
        raise ArgumentError(
            explain("validation_split needs samples that can be reached by number", received=received, remedy=remedy)
        )
    parts = split_indices(len(feed.dataset), fraction, _strata(feed, targets), seed)
    training, validation = (Subset(feed.dataset, part) for part in parts)
    feeds = (
        _loader_feed(DataLoader(training, seed=seed, num_workers=training.read_ahead, **options), feed.where, True),
        _loader_feed(
            DataLoader(validation, options["batch_size"], num_workers=validation.read_ahead, seed=seed),
            "validation_split",
        ),
    )
    for each in feeds:
        each.inputs = feed.inputs
    return feeds


def _strata(feed: Feed, targets: Targets) -> np.ndarray | None:
    """The class of each example, if the targets are classes: labels, one-hot rows, or a column of either."""
    labels = None if targets is Targets.VALUES else labels_of(feed)
    if labels is None:
        return None
    if labels.ndim == 2 and labels.shape[1] > 1 and targets is Targets.CLASSES:
        return np.asarray(labels.argmax(axis=1))
    flat = labels.reshape(len(labels), -1)
    if flat.shape[1] != 1:
        return None
    column = flat[:, 0]
    if targets is Targets.BINARY and column.dtype.kind == "f" and (column == np.floor(column)).all():
        column = column.astype(np.int64)
    return column if looks_like_classes(column) else None


def labels_of(feed: Feed) -> np.ndarray | None:
    """The targets of all samples, where they lie in memory."""
    return feed.arrays.targets if feed.arrays is not None else labels_of_dataset(feed.dataset)


# --- from arrays to what the model takes -----------------------------------------------------------------------------


def as_numpy(value: Any, where: str) -> np.ndarray:
    """An array of numbers out of an array, a tensor or a list."""
    if hasattr(value, "detach"):
        value = value.detach()
    array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    if array.dtype.kind not in "biuf":
        raise DTypeError(
            explain(
                "only numbers can be trained on",
                received=array.dtype,
                expected="a floating, integer or bool dtype",
                where=where,
                remedy="encode text first, for example with tw.data.TableEncoder",
            )
        )
    return array


def input_array(value: Any, dtype: DType) -> np.ndarray:
    """Inputs for the model: floating data, uint8 (images) and bool in its dtype; other integers as indices, int64."""
    array = as_numpy(value, "inputs")
    is_index = array.dtype.kind in "iu" and array.dtype != np.uint8
    return np.ascontiguousarray(array, np.int64 if is_index else dtype.numpy)


def target_array(value: Any, dtype: DType, targets: Targets) -> np.ndarray:
    """Targets for the loss: class labels in int64, everything that is compared with the output in the model's dtype."""
    array = as_numpy(value, "targets")
    is_label = array.dtype.kind in "biu" and targets in (Targets.CLASSES, Targets.ANY)
    return np.asarray(array, np.int64 if is_label else dtype.numpy)
