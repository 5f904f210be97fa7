"""Batches of sequences of nearly one length, in few distinct shapes: little padding, and few compiled programs.

In: the lengths of all samples. Out: `Buckets`, the lengths that are padded to, chosen so that the least is padded; and
`BucketBatchSampler`, which samples make up each batch of an epoch, a function of the seed and the epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from thalweg.data.checks import checked_count
from thalweg.data.dataset import Subset
from thalweg.data.seeding import checked_seed, permutation
from thalweg.errors import ArgumentError, DataError, explain

DEFAULT_COUNT = 7
"""With a short last batch that makes eight shapes, the most that `tw.compile` takes without a warning."""
MOST_CANDIDATES = 512  # lengths that are tried as the end of a bucket
_BATCHES = 1  # keeps the order of batches apart from that of samples, whose stream is the epoch alone


class Buckets:
    """A few lengths; a sample belongs to the first into which it fits.

    Args:
        shapes: (buckets,) or (buckets, fields), ascending: how long sequences of each bucket are padded. Where samples
            have several sequences (a sentence and its translation), all of them have to fit.

    >>> buckets = Buckets.fit([3, 4, 4, 9, 10, 2], 2)
    >>> buckets.shapes.tolist(), buckets.of([4, 5]).tolist()
    ([[4], [10]], [0, 1])
    """

    def __init__(self, shapes: ArrayLike) -> None:
        array = np.asarray(shapes)
        self.shapes: np.ndarray = array[:, None] if array.ndim == 1 else array
        is_whole = self.shapes.dtype.kind in "iu" and self.shapes.ndim == 2 and self.shapes.size > 0
        if not is_whole or (self.shapes < 0).any() or (np.diff(self.shapes, axis=0) < 0).any():
            raise ArgumentError(
                explain(
                    "buckets are ascending lengths",
                    received=f"{np.asarray(shapes).tolist()!r:.60}",
                    expected="for example [16, 32, 64], or rows of them",
                    where="Buckets",
                )
            )

    @classmethod
    def fit(cls, lengths: ArrayLike, count: int = DEFAULT_COUNT, multiple: int = 1) -> Buckets:
        """The buckets that pad the least, for samples of these lengths.

        Samples are sorted by their longest sequence and cut into `count` runs; every sequence of a run is padded to
        the longest so far. The cuts minimise the sum of all padded lengths, by dynamic programming.

        Args:
            lengths: (samples,) or (samples, fields). count: the most buckets.
            multiple: lengths are rounded up to multiples of it, which vector loops like.
        """
        table = checked_lengths(lengths, "Buckets.fit")
        step = checked_count("multiple", multiple, 1, "Buckets.fit")
        sizes, longest = _runs(-(-table // step) * step)
        ends = _cheapest_cuts(np.cumsum(sizes), longest.sum(axis=1), checked_count("count", count, 1, "Buckets.fit"))
        return cls(longest[ends])

    def __len__(self) -> int:
        return len(self.shapes)

    def of(self, lengths: ArrayLike) -> np.ndarray:
        """The bucket of each sample, int64 (samples,); `len(buckets)` for what fits into none."""
        table = checked_lengths(lengths, "Buckets.of")
        self._check_fields(table)
        fits = [np.searchsorted(self.shapes[:, f], table[:, f], side="left") for f in range(table.shape[1])]
        return np.asarray(np.max(fits, axis=0), dtype=np.int64)

    def shape_of(self, lengths: ArrayLike) -> np.ndarray:
        """How long the sequences of a batch are padded, (fields,); those that fit into no bucket, to their longest."""
        longest = checked_lengths(lengths, "Buckets.shape_of").max(axis=0, keepdims=True)
        number = int(self.of(longest)[0])
        return np.asarray(self.shapes[number] if number < len(self) else np.maximum(longest[0], self.shapes[-1]))

    def padding(self, lengths: ArrayLike) -> float:
        """The share of padding among all entries, if every sample is padded to its bucket."""
        table = checked_lengths(lengths, "Buckets.padding")
        whole = np.maximum(self.shapes[np.minimum(self.of(table), len(self) - 1)], table).sum()
        return float(1 - table.sum() / whole) if whole else 0.0

    def _check_fields(self, table: np.ndarray) -> None:
        if table.shape[1] != self.shapes.shape[1]:
            raise DataError(
                explain(
                    "these samples have another number of sequences than the buckets",
                    received=f"{table.shape[1]} sequences in each",
                    expected=f"{self.shapes.shape[1]}",
                    where="Buckets",
                    remedy="fit the buckets on the lengths of inputs and target sequences",
                )
            )

    def __repr__(self) -> str:
        return f"Buckets({self.shapes.squeeze(-1).tolist() if self.shapes.shape[1] == 1 else self.shapes.tolist()})"


def checked_lengths(lengths: ArrayLike, where: str) -> np.ndarray:
    """Lengths as int64 (samples, fields), at least one sample."""
    array = np.asarray(lengths)
    table = array[:, None] if array.ndim == 1 else array
    if table.ndim != 2 or table.dtype.kind not in "iu" or not table.size or (table < 0).any():
        raise DataError(
            explain(
                "lengths are whole numbers, one or more for each sample",
                received=f"dtype {array.dtype}, shape {array.shape}",
                expected="(samples,) or (samples, fields), at least one sample",
                where=where,
            )
        )
    return table.astype(np.int64)


def _runs(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many samples there are of each length (of the longest field), and the longest of every field up to there.

    Where there are more than `MOST_CANDIDATES` lengths, neighbouring ones make one run.
    """
    longest = table.max(axis=1)
    keys = np.unique(longest)
    if len(keys) > MOST_CANDIDATES:
        keys = np.unique(np.quantile(longest, np.linspace(0, 1, MOST_CANDIDATES), method="higher"))
    run = np.searchsorted(keys, longest, side="left")
    highest = np.zeros((len(keys), table.shape[1]), dtype=np.int64)
    np.maximum.at(highest, run, table)
    return np.bincount(run, minlength=len(keys)), np.maximum.accumulate(highest, axis=0)


def _cheapest_cuts(samples: np.ndarray, width: np.ndarray, count: int) -> list[int]:
    """The last run of each bucket, so that the sum of (samples in a bucket) * (its width) is the least.

    `samples` counts the samples up to and with each run, `width` is what a sample costs in a bucket that ends there.
    """
    before = np.concatenate([[0], samples])  # before[i]: samples in the first i runs
    runs = len(samples)
    added = (before[None, 1:] - before[:-1, None]) * width[None, :]  # [i, j]: a bucket of the runs i .. j
    added = np.where(np.arange(runs)[:, None] <= np.arange(runs)[None, :], added.astype(np.float64), np.inf)
    cost, choices = added[0], []
    for _ in range(min(count, runs) - 1):
        totals = np.concatenate([[0.0], cost[:-1]])[:, None] + added  # the last bucket begins with run i
        choices.append(totals.argmin(axis=0))
        cost = totals.min(axis=0)
    ends = [runs - 1]
    for choice in reversed(choices):
        start = int(choice[ends[-1]])
        if start == 0:
            break
        ends.append(start - 1)
    return ends[::-1]


def _lengths_and_buckets(data: Any) -> tuple[Any, Any]:
    """The lengths of the samples of a data set (or of a part of one) and its buckets, or the lengths themselves."""
    if isinstance(data, Subset):
        lengths, buckets = _lengths_and_buckets(data.dataset)
        return np.asarray(lengths)[data.indices], buckets
    return getattr(data, "lengths_of", data), getattr(data, "buckets", None)


class BucketBatchSampler:
    """Which samples make up each batch, so that those of a batch have nearly one length.

    For `DataLoader(data, batch_sampler=...)`. Samples are put into their buckets; each bucket is cut into batches of
    `batch_size`. What is left over in a bucket moves on into the next larger one, so only the very last batch is short
    and there are at most `len(buckets) + 1` shapes (with `max_tokens`, where batch sizes differ, a few more). Every
    sample comes once in an epoch.

    With `shuffle`, the samples of a bucket and then the batches are shuffled (the short one stays last), by the seed of
    the loader and the epoch. Without it samples keep their order within buckets, and batches go from short to long:
    `np.concatenate(sampler.batches(0))` are the sample numbers in the order of what `predict` returns.

    Args:
        data: a `SequenceDataset` with buckets, or the lengths of its samples.
        batch_size: samples in a batch.
        max_tokens: instead: a bucket's batch size is the largest whose padded entries (of the longest field) are at
            most this.
        buckets: a `Buckets`, or how many to make; None takes the data set's, or makes 7.
        shuffle, drop_last: as in `DataLoader`.
        seed: for a sampler that is used without a loader.

    >>> data = [5, 1, 2, 6, 1]
    >>> [batch.tolist() for batch in BucketBatchSampler(data, 2, buckets=Buckets([2, 6]), shuffle=False).batches(0)]
    [[1, 2], [4, 0], [3]]
    """

    def __init__(
        self,
        data: Any,
        batch_size: int | None = None,
        *,
        max_tokens: int | None = None,
        buckets: Buckets | int | None = None,
        shuffle: bool = True,
        drop_last: bool = False,
        seed: int | None = 0,
    ) -> None:
        lengths, own = _lengths_and_buckets(data)
        self.lengths = checked_lengths(lengths, "BucketBatchSampler")
        chosen = buckets if buckets is not None else own
        self.buckets = chosen if isinstance(chosen, Buckets) else Buckets.fit(self.lengths, chosen or DEFAULT_COUNT)
        self.shuffle, self.drop_last = bool(shuffle), bool(drop_last)
        self.seed, self.epoch = checked_seed(seed, "BucketBatchSampler"), 0
        self.sizes = self._sizes(batch_size, max_tokens)
        self._owners = self.buckets.of(self.lengths)
        self._count = sum(map(len, self._cut(np.arange(len(self.lengths)))))
        if not self._count:
            raise DataError(
                explain(
                    "drop_last leaves no batch at all",
                    received=f"{len(self.lengths)} samples",
                    where="BucketBatchSampler",
                    remedy="use a smaller batch_size or drop_last=False",
                )
            )

    def _sizes(self, batch_size: int | None, max_tokens: int | None) -> list[int]:
        """The batch size of each bucket, and of what fits into none."""
        if (batch_size is None) == (max_tokens is None):
            raise ArgumentError(
                explain(
                    "either batch_size or max_tokens says how large a batch is",
                    received=f"batch_size={batch_size}, max_tokens={max_tokens}",
                    where="BucketBatchSampler",
                )
            )
        widths = [*self.buckets.shapes.max(axis=1).tolist(), int(self.lengths.max())]
        if batch_size is not None:
            return [checked_count("batch_size", batch_size, 1, "BucketBatchSampler")] * len(widths)
        most = checked_count("max_tokens", max_tokens, 1, "BucketBatchSampler")
        return [max(1, most // max(width, 1)) for width in widths]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[np.ndarray]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        return iter(self.batches(epoch))

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` the next one."""
        self.epoch = checked_count("epoch", epoch, 0, "BucketBatchSampler")

    def batches(self, epoch: int, seed: int | None = None) -> list[np.ndarray]:
        """The sample numbers of each batch of an epoch, int64; `seed` takes the place of the sampler's own."""
        seed = self.seed if seed is None else seed
        count = len(self.lengths)
        whole, rest = self._cut(permutation(count, seed, epoch) if self.shuffle else np.arange(count))
        if self.shuffle:
            whole = [whole[i] for i in permutation(len(whole), seed, epoch, _BATCHES).tolist()]
        return whole + rest

    def _cut(self, order: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The whole batches in the order of their buckets, and the short one behind them, if it is kept."""
        found: list[np.ndarray] = []
        left = order[:0]
        for bucket, size in enumerate(self.sizes):
            members = np.concatenate([left, order[self._owners[order] == bucket]])
            whole = len(members) - len(members) % size
            found += list(members[:whole].reshape(-1, size))
            left = members[whole:]
        return found, [] if self.drop_last or not len(left) else [left]

    def __repr__(self) -> str:
        return f"BucketBatchSampler({len(self.lengths)} samples, {len(self)} batches, {self.buckets!r})"
