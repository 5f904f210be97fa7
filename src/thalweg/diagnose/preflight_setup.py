"""A run that has not begun, or is over: what `preflight` asks the rules about, and how it reads the user's data.

In: a trainer and the feeds of its data, perhaps the record of a run. Out: arrays as the step takes them, and a `SetUp`,
which answers what rules ask of a run: where nothing has been learnt yet, nothing protects from being looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.diagnose.leakage import as_tuple
from thalweg.diagnose.looks import Sample
from thalweg.diagnose.probes import Copies
from thalweg.diagnose.record import Record
from thalweg.diagnose.run import Run
from thalweg.diagnose.tasks import Task
from thalweg.errors import DataError, explain

EXAMPLES, IMAGES = 512, 128
"""How many examples a look takes; of images fewer, because they cost more."""
MOST_READ = 4096
"""Examples that are read of data that does not lie in arrays."""
MOST_BYTES = 1 << 30
"""Of larger arrays only evenly spaced rows are looked at."""


class SetUp(Run):
    """A `Run` of which no copy is trained to find out why it fails; before its first step it fails at everything."""

    @classmethod
    def of(
        cls, trainer: Any, sample: Sample, x: Any, y: np.ndarray, task: Task, batch_size: int, record: Record | None
    ) -> SetUp:
        copies = Copies(trainer, {}, x, y, batch_size)
        return cls(trainer.objective, trainer.optimizer, trainer.penalties, task, sample, x, y, 0, batch_size,
                   record or Record(), copies=copies, may_probe=False)  # fmt: skip

    @property
    def is_trained(self) -> bool:
        return bool(self.losses or self.step_losses)

    @property
    def is_failing(self) -> bool:
        return not self.is_trained or super().is_failing

    @property
    def is_barely_behind(self) -> bool:
        return not self.is_trained or super().is_barely_behind

    @property
    def is_finite(self) -> bool:
        return self.last.is_finite


def read(trainer: Any, feed: Any, most: int | None = None, most_read: int = MOST_READ) -> tuple[Any, np.ndarray]:
    """Inputs and targets of a feed as the step takes them: all that lie in arrays, or the first few thousand.

    About `most` of arrays, evenly spaced in the order of the epoch, and `most_read` of what has to be read.
    """
    whole = feed.whole(0)
    if whole is not None:
        arrays, order, _ = whole
        rows = order[:: 1 + max(_bytes(arrays) // MOST_BYTES, (len(order) - 1) // (most or len(order)))]
        is_all = len(rows) == len(as_tuple(arrays.inputs)[0]) and bool((rows == np.arange(len(rows))).all())
        batch = arrays if is_all else type(arrays)(*(_taken(each, rows) for each in arrays))
        x, y, _ = trainer.arrays(batch)
        return x, y
    return _first(trainer, feed, most_read)


def sample_rows(x: Any, y: np.ndarray) -> np.ndarray:
    """Which examples a look takes."""
    count = EXAMPLES if as_tuple(x)[0].ndim < 3 else IMAGES
    return np.random.default_rng(0).permutation(len(y))[:count]


def _first(trainer: Any, feed: Any, most: int) -> tuple[Any, np.ndarray]:
    if feed.reads_once:
        raise DataError(
            explain("looking at this data would use it up", received="a generator", where="preflight",
                    expected="data that can be read again",
                    remedy="pass the function that makes the generator, without calling it")
        )  # fmt: skip
    found: list[tuple[Any, np.ndarray]] = []
    for batch in feed.epoch(0):
        x, y, _ = trainer.arrays(batch)
        if found and _shapes(x, y) != _shapes(*found[0]):
            continue  # batches of sequences are padded to different lengths
        found.append((x, y))
        if sum(len(each) for _, each in found) >= most:
            break
    if not found:
        raise DataError(explain("there is no data", received="0 examples", expected="at least 1", where="preflight"))
    inputs = [as_tuple(each) for each, _ in found]
    joined = tuple(np.concatenate(column) for column in zip(*inputs, strict=True))
    return joined if isinstance(found[0][0], tuple) else joined[0], np.concatenate([each for _, each in found])


def _shapes(x: Any, y: np.ndarray) -> list[tuple[int, ...]]:
    """Of one example."""
    return [each.shape[1:] for each in (*as_tuple(x), y)]


def _taken(values: Any, rows: np.ndarray) -> Any:
    if isinstance(values, tuple):
        return tuple(_taken(each, rows) for each in values)
    return None if values is None else values[rows]


def _bytes(arrays: Any) -> int:
    return sum(each.nbytes for each in as_tuple(arrays.inputs) if hasattr(each, "nbytes"))
