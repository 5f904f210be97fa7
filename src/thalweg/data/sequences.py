"""Sequences of different lengths as batches: padding, and a data set that pads.

In: lists of arrays, one for each sample, their first axis being time. Out: batches (samples, longest, ...), padded at
their ends to one of a few lengths, and the true lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from thalweg.data.buckets import Buckets
from thalweg.data.checks import checked_count
from thalweg.data.dataset import Dataset, as_sample_array, checked_index
from thalweg.data.draws import Draws, Moment
from thalweg.data.table import abridged
from thalweg.data.transform import Pipeline, Transform
from thalweg.errors import ArgumentError, DataError, ShapeError, explain

IGNORED = -100
"""Targets of this value do not count: the default `ignore_index` of `F.cross_entropy`."""
Field = list[np.ndarray]


def pad_sequence(
    sequences: Sequence[ArrayLike], padding_value: float = 0, *, length: int | None = None, padding_side: str = "right"
) -> np.ndarray:
    """Sequences as one array, padded to the longest of them or to `length`.

    Args:
        sequences: arrays of shape (length, ...), alike but for the first axis.
        padding_value: what is written behind their ends.
        length: of the result; None for that of the longest sequence.
        padding_side: "right", or "left" to write it before their beginnings.

    Returns:
        (sequences, length, ...): PyTorch's `pad_sequence` with `batch_first=True`.

    Raises:
        DataError: no sequences, or of different shapes. ShapeError: one is longer than `length`.

    >>> pad_sequence([[1, 2, 3], [4]])
    array([[1, 2, 3],
           [4, 0, 0]])
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    if padding_side not in ("right", "left"):
        raise ArgumentError(explain("unknown padding_side", received=repr(padding_side), expected="'right' or 'left'"))
    _check_alike(arrays, "pad_sequence")
    longest = max(map(len, arrays))
    width = longest if length is None else checked_count("length", length, 0, "pad_sequence")
    if longest > width:
        raise ShapeError(
            explain(
                "a sequence is longer than what it shall be padded to",
                received=f"a length of {longest}",
                expected=f"at most {width}",
                where="pad_sequence",
                remedy="cut it, or take a larger length",
            )
        )
    padded = np.full((len(arrays), width, *arrays[0].shape[1:]), padding_value, dtype=np.result_type(*arrays))
    for row, array in zip(padded, arrays, strict=True):
        row[slice(0, len(array)) if padding_side == "right" else slice(width - len(array), width)] = array
    return padded


def _check_alike(arrays: Sequence[np.ndarray], where: str) -> None:
    shapes = {array.shape[1:] if array.ndim else None for array in arrays}
    if len(shapes) == 1 and None not in shapes:
        return
    received = "no sequences" if not arrays else "a single number" if None in shapes else f"rows of shapes {shapes}"
    raise DataError(
        explain(
            "sequences are alike but for their lengths",
            received=received,
            expected="at least one array of shape (length, ...)",
            where=where,
        )
    )


class SequenceTransform(Transform):
    """Something done to padded sequences by chance, such as `SpecAugment`; subclasses define `apply`.

    A sample's result depends on its own draws alone, as with pictures (`ImageTransform`). In evaluation `draws` is
    None, and nothing is left to chance.
    """

    learned: ClassVar[tuple[str, ...]] = ()

    def apply(self, sequences: np.ndarray, lengths: np.ndarray, draws: Draws | None) -> np.ndarray:
        """Sequences (n, longest, ...) of which the first `lengths` entries count, transformed; of the same shape."""
        raise NotImplementedError(f"{type(self).__name__}.apply is not defined")

    def fit(self, x: Any) -> Self:
        return self

    def transform(self, x: Any) -> np.ndarray:
        sequences = np.asarray(x)
        return self.apply(sequences, np.full(len(sequences), sequences.shape[1]), None)


class SequenceCompose(Pipeline, SequenceTransform):
    """Several transforms of sequences, one after the other; each draws its own numbers."""

    def transform(self, x: Any) -> np.ndarray:
        return SequenceTransform.transform(self, x)

    def apply(self, sequences: np.ndarray, lengths: np.ndarray, draws: Draws | None) -> np.ndarray:
        for place, step in enumerate(self.steps):
            assert isinstance(step, SequenceTransform)
            sequences = step.apply(sequences, lengths, None if draws is None else draws.at(place))
        return sequences


class SequenceDataset(Dataset):
    """Samples that are sequences, padded when they are put into a batch.

    A batch is `(inputs, targets)`. `inputs` is an array (samples, longest, ...), or a tuple where there are several
    inputs or lengths are asked for; `targets` are padded too, unless they are one entry for each sample.

    Args:
        inputs: a list of sequences (length, ...): token numbers, or frames of features; or a tuple of such lists, such
            as (source, target), of which the second is what the decoder sees.
        targets: an array (samples, ...), a list of sequences, or None.
        buckets: the few lengths that are padded to: a `Buckets`, or how many of them to make; None pads to the longest
            of each batch, which has as many shapes as there are lengths. Use it with `BucketBatchSampler`.
        lengths: whether the lengths of the first input, int64 (samples,), come behind the inputs.
        max_length: longer sequences are cut to it; `cut` counts them. None cuts nothing.
        padding_value: what inputs are padded with; target_padding: targets (-100, which `F.cross_entropy` ignores).
        transform: a `SequenceTransform` of the first input; its chance is drawn by a `DataLoader`.

    Attributes:
        lengths_of: int64 (samples, fields), of inputs and target sequences. cut: how many samples were cut.

    Raises:
        DataError: different numbers of samples, an empty input, or no numbers; it names the sample.

    >>> data = SequenceDataset([[1, 2, 3], [4]], [0, 1], lengths=True)
    >>> (tokens, lengths), labels = data.take([0, 1])
    >>> tokens.tolist(), lengths.tolist(), labels.tolist()
    ([[1, 2, 3], [4, 0, 0]], [3, 1], [0, 1])
    """

    def __init__(
        self,
        inputs: Any,
        targets: Any = None,
        *,
        buckets: Buckets | int | None = None,
        lengths: bool = False,
        max_length: int | None = None,
        padding_value: float = 0,
        target_padding: float = IGNORED,
        transform: SequenceTransform | None = None,
    ) -> None:
        several = isinstance(inputs, tuple)
        fields = [_as_sequences(each, f"inputs[{i}]") for i, each in enumerate(inputs if several else (inputs,))]
        self.inputs = len(fields)
        self.targets: np.ndarray | None = None
        if targets is not None and _is_ragged(targets):
            fields.append(_as_sequences(targets, "targets"))
        elif targets is not None:
            self.targets = as_sample_array(targets, "SequenceDataset, targets")
        self._length = _check_counts(fields, self.targets)
        self.cut = 0
        self.fields = self._shortened(fields, max_length)
        self.lengths_of = np.array([[len(sequence) for sequence in field] for field in self.fields], np.int64).T
        self._check_empty()
        self.padding = [padding_value] * self.inputs + [target_padding] * (len(fields) - self.inputs)
        self.with_lengths, self.transform = bool(lengths), _checked_transform(transform)
        self.buckets = Buckets.fit(self.lengths_of, buckets) if isinstance(buckets, int) else buckets

    def _shortened(self, fields: list[Field], most: int | None) -> list[Field]:
        if most is None:
            return fields
        checked_count("max_length", most, 1, "SequenceDataset")
        too_long = np.array([[len(sequence) > most for sequence in field] for field in fields])
        self.cut = int(too_long.any(axis=0).sum())
        return [[sequence[:most] for sequence in field] for field in fields]

    def _check_empty(self) -> None:
        empty = np.flatnonzero((self.lengths_of[:, : self.inputs] == 0).any(axis=1))
        if empty.size:
            raise DataError(
                explain(
                    "an empty sequence cannot be an input",
                    received=f"length 0 in sample {abridged(empty, 4)}",
                    expected="at least one entry",
                    where="SequenceDataset",
                    remedy="leave empty lines and recordings out, or encode with bos=True or eos=True",
                )
            )

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        """A sample without padding."""
        number = checked_index(index, len(self), "SequenceDataset")
        parts = [field[number] for field in self.fields]
        return self._arranged(parts, self.lengths_of[number, 0], None if self.targets is None else self.targets[number])

    def take(self, indices: ArrayLike) -> Any:
        return self._batch(np.asarray(indices, dtype=np.int64), None)

    def draw(self, indices: ArrayLike, moment: Moment) -> Any:
        """The batch of these samples at a moment: what is left to chance is a function of it."""
        return self._batch(np.asarray(indices, dtype=np.int64), moment)

    def _batch(self, numbers: np.ndarray, moment: Moment | None) -> Any:
        lengths = self.lengths_of[numbers]
        shape = lengths.max(axis=0) if self.buckets is None else self.buckets.shape_of(lengths)
        parts = [
            pad_sequence([field[n] for n in numbers.tolist()], padding, length=int(width))
            for field, padding, width in zip(self.fields, self.padding, shape, strict=True)
        ]
        if self.transform is not None:
            draws = None if moment is None else Draws(moment, numbers)
            parts[0] = self.transform.apply(parts[0], lengths[:, 0], draws)
        return self._arranged(parts, lengths[:, 0].copy(), None if self.targets is None else self.targets[numbers])

    def _arranged(self, parts: list[Any], lengths: Any, targets: Any) -> Any:
        inputs = tuple(parts[: self.inputs]) + ((lengths,) if self.with_lengths else ())
        first = inputs if len(inputs) > 1 else inputs[0]
        if len(parts) > self.inputs:
            targets = parts[-1]
        return (first,) if targets is None else (first, targets)

    def __repr__(self) -> str:
        longest = " and ".join(map(str, self.lengths_of.max(axis=0)))
        return f"SequenceDataset({len(self)} samples, lengths up to {longest})"


def _is_ragged(targets: Any) -> bool:
    """Whether targets are a list of sequences, and not one entry for each sample."""
    return isinstance(targets, list | tuple) and len(targets) > 0 and np.ndim(targets[0]) > 0


def _as_sequences(value: Any, name: str) -> Field:
    where = f"SequenceDataset, {name}"
    arrays = [_as_sequence(each, f"{where}, sample {i}") for i, each in enumerate(value)]
    _check_alike(arrays, where)
    return arrays


def _as_sequence(value: Any, where: str) -> np.ndarray:
    array = np.asarray(value)
    if array.size == 0 and array.ndim == 1:
        return array.astype(np.int64)
    array = as_sample_array(array, where)
    return array.astype(np.int64 if array.dtype.kind in "iu" else array.dtype, copy=False)


def _check_counts(fields: list[Field], targets: np.ndarray | None) -> int:
    counts = [len(field) for field in fields] + ([] if targets is None else [len(targets)])
    if len(set(counts)) > 1:
        raise DataError(
            explain(
                "every sample needs each of the inputs and a target",
                received="lists of " + ", ".join(map(str, counts)),
                expected="the same number in each",
                where="SequenceDataset",
            )
        )
    return counts[0]


def _checked_transform(transform: Any) -> SequenceTransform | None:
    if transform is None or isinstance(transform, SequenceTransform):
        return transform
    raise ArgumentError(
        explain(
            "this is no transform of sequences",
            received=type(transform).__name__,
            expected="a tw.data.SequenceTransform, such as SpecAugment, or SequenceCompose([...]) of them",
            where="SequenceDataset",
        )
    )
