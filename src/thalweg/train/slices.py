"""An epoch in slices: as many batches at once as may run before somebody has to be asked.

In: the feed, the number of an epoch, and how many steps may run, asked again before each slice. Out: slices: which rows
of arrays in memory, in which order; or one batch, where batches have to be read one by one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.data.dataset import rows_of
from thalweg.train.feed import Batch, Feed
from thalweg.train.steps import Form, side_by_side

SECONDS = 0.05
"""How long a slice takes: short enough for a progress bar and Ctrl-C, long enough that Python in between is little."""
_BLOCK_BYTES = 1 << 20  # gathered at once: what still lies in the cache when its last batch is used
_GROWTH = 8


@dataclass
class Slice:
    """Batches that follow each other: rows of whole arrays, or with `rows` None a single batch as it was read."""

    arrays: Batch
    rows: np.ndarray | None = None
    """The numbers of the rows, in the order of the epoch."""
    batch_size: int = 0
    done: int = 0
    """How many of the batches have been used; a slice may end early."""

    def __len__(self) -> int:
        return 1 if self.rows is None else -(-len(self.rows) // self.batch_size)

    def blocks(self) -> Iterator[tuple[Batch, int]]:
        """Batches side by side in new arrays, and how many: gathering a row at a time would take longer than a step."""
        if self.rows is None:
            yield self.arrays, 1
            return
        count = max(1, _BLOCK_BYTES // max(1, _row_bytes(self.arrays) * self.batch_size))
        while self.done < len(self):
            first = self.done * self.batch_size
            rows = self.rows[first : first + count * self.batch_size]
            yield _take(self.arrays, rows), -(-len(rows) // self.batch_size)

    def targets(self) -> Batch:
        """Targets and weights in the order of the rows, without inputs."""
        assert self.rows is not None
        return _take(self.arrays._replace(inputs=None), self.rows)

    def first_row(self) -> Batch:
        """One row of the arrays, as a batch."""
        return _take(self.arrays, np.zeros(1, np.int64))

    def batch(self) -> Batch:
        """The next batch by itself."""
        if self.rows is None:
            return self.arrays
        first = self.done * self.batch_size
        return _take(self.arrays, self.rows[first : first + self.batch_size])


def slices(feed: Feed, epoch: int, length: Callable[[], int], start: int = 0) -> Iterator[Slice]:
    """The batches of an epoch, `length()` at once where they are rows of arrays. A shorter last batch comes alone.

    `start` batches are left out: those that were used before a run was broken off.
    """
    whole = feed.whole(epoch)
    if whole is None:
        for batch in feed.epoch(epoch, start):
            yield Slice(batch)
        return
    arrays, rows, size = whole
    first = start * size
    while first < len(rows):
        count = min(length(), (len(rows) - first) // size)
        piece = Slice(arrays, rows[first : first + max(count, 1) * size], size)
        yield piece
        first += max(piece.done, 1) * size


Fields = Callable[[Batch], tuple[Form, list[np.ndarray]]]
"""From a batch to the arrays that a step takes."""


def parts(
    batches: Slice, fields: Fields, may_be_whole: bool = True
) -> Iterator[tuple[Form, list[np.ndarray], np.ndarray, Batch]]:
    """The fields of a slice, in which order their rows come, and the targets in this order.

    They are the arrays of the user where these are as the step takes them; otherwise copies, a part at a time.
    """
    whole = _as_they_are(batches, fields) if may_be_whole and batches.rows is not None else None
    if whole is not None and batches.rows is not None:
        yield *whole, batches.rows, batches.targets()
        return
    for block, _ in batches.blocks():
        form, copies = fields(block)
        yield form, copies, np.arange(len(copies[-1])), block


def _as_they_are(batches: Slice, fields: Fields) -> tuple[Form, list[np.ndarray]] | None:
    """The whole arrays as fields, if a step takes them without a change; a single row shows what it takes."""
    form, arrays = side_by_side(*batches.arrays)
    _, wanted = fields(batches.first_row())
    for array, row in zip(arrays, wanted, strict=True):
        is_array = isinstance(array, np.ndarray) and array.flags.c_contiguous and array.dtype == row.dtype
        if not is_array or array.shape[1:] != row.shape[1:]:
            return None
    return form, arrays


class Pace:
    """How many steps fill a slice, by how long the last one took."""

    def __init__(self) -> None:
        self.steps = 1
        self._started = 0.0

    def start(self) -> None:
        self._started = time.perf_counter()

    def stop(self, steps: int) -> None:
        """So many steps have run; the first of all also compiled, so slices grow only by and by."""
        seconds = max(time.perf_counter() - self._started, 1e-9)
        self.steps = max(1, min(int(SECONDS / seconds * steps), _GROWTH * self.steps))


def _take(arrays: Batch, rows: np.ndarray) -> Batch:
    return Batch(*(_rows_of(each, rows) for each in arrays))


def _rows_of(value: Any, rows: np.ndarray) -> Any:
    if isinstance(value, tuple):
        return tuple([rows_of(each, rows) for each in value])
    return None if value is None else rows_of(value, rows)


def _row_bytes(arrays: Batch) -> int:
    inputs = arrays.inputs if isinstance(arrays.inputs, tuple) else (arrays.inputs,)
    fields = [each for each in (*inputs, arrays.targets, arrays.weights) if each is not None]
    return sum(each.nbytes // max(len(each), 1) for each in fields)
