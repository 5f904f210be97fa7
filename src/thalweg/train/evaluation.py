"""Batches without training: forward pass and loss over data of any kind, many batches in one native call.

In: a trainer whose model is in evaluation mode, and a feed. Out: the losses and the outputs of some batches at a time,
with their targets: never more outputs than a block, and the bits of one batch after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from thalweg.data.dataset import rows_of
from thalweg.tensor import from_numpy
from thalweg.train.callbacks.listeners import ENDLESS
from thalweg.train.feed import Batch, Feed
from thalweg.train.slices import Pace, parts, slices
from thalweg.train.steps import Form, side_by_side

_BLOCK_BYTES = 1 << 22  # of outputs that are held at once


class Tested(NamedTuple):
    """What some batches of equal size gave."""

    batch: Batch
    """Their targets and weights, one batch after the other."""
    batches: int
    losses: list[float]
    """Of each batch; none where there are no targets."""
    prediction: np.ndarray
    """The rows of all of them; empty if nobody wants them."""


@dataclass
class Length:
    """Of a slice: as long as the pace says, with at most a block of outputs."""

    pace: Pace
    most: int

    def __call__(self) -> int:
        return min(self.pace.steps, self.most)


def tested(trainer: Any, source: Feed, pace: Pace, *, is_labelled: bool, collects: bool) -> Iterator[Tested]:
    """All batches of a feed. Without labels only the inputs are looked at, and there are no losses."""
    length = Length(pace, 1 if collects else ENDLESS)
    for batches in slices(source, 0, length):
        if not is_labelled:
            batches.arrays = batches.arrays._replace(targets=None, weights=None)
        pace.start()
        for form, fields, order, block in parts(batches, trainer.fields if is_labelled else _unlabelled(trainer)):
            size = min(batches.batch_size or len(order), len(order))
            losses, prediction = _in_turn(trainer, form, fields, order, size, collects)
            count = len(order) // size if size else 1
            batches.done += count
            if collects:
                length.most = max(1, _BLOCK_BYTES * count // max(1, prediction.nbytes))
            yield Tested(block, count, losses, prediction)
        pace.stop(batches.done)


def _unlabelled(trainer: Any) -> Any:
    return lambda batch: side_by_side(trainer.inputs(batch), None, None)


def _in_turn(
    trainer: Any, form: Form, fields: Sequence[np.ndarray], order: np.ndarray, size: int, collects: bool
) -> tuple[list[float], np.ndarray]:
    """One batch of `size` rows after the other: rows `order` of the fields, as many as there are."""
    losses: list[float] = []
    outputs: list[np.ndarray] = []
    first = 0
    while first < len(order) or not outputs:
        rest = order[first:]
        found = trainer.steps.test_many(form, fields, rest, size, collects)
        if found is None:
            tensors = [from_numpy(rows_of(each, rest[:size])) for each in fields]
            loss, prediction = trainer.steps.test(form, tensors)
            found = 1, [] if loss is None else [float(loss.item())], prediction._array()
        first += found[0] * size
        losses += found[1]
        outputs.append(found[2])
    return losses, outputs[0] if len(outputs) == 1 or not collects else np.concatenate(outputs)


class Rows:
    """Outputs one after the other, in one array from the beginning where it is known how many there will be."""

    def __init__(self, source: Feed) -> None:
        whole = source.whole(0)
        self._total = 0 if whole is None else len(whole[1])
        self._parts: list[np.ndarray] = []
        self._filled = 0

    def add(self, rows: np.ndarray) -> None:
        if not self._parts and self._total:
            self._parts.append(np.empty((self._total, *rows.shape[1:]), rows.dtype))
        end = self._filled + len(rows)
        if end <= self._total and len(self._parts) == 1:
            self._parts[0][self._filled : end] = rows
            self._filled = end
        else:  # a stream, or a model that gives more rows than it takes
            self._parts.append(np.array(rows))

    def result(self) -> np.ndarray | None:
        """All rows; None if there are none."""
        if self._total and self._parts:
            self._parts[0] = self._parts[0][: self._filled]
        return self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts) if self._parts else None
