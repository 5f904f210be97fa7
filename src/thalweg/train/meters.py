"""The numbers of an epoch while it runs: the mean loss and the metrics, exact over batches of any size.

In: the loss, the predictions and the targets of each batch, as arrays.
Out: `results()`, a name and a value for each.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thalweg.errors import ThalwegError
from thalweg.train.feed import Batch, as_numpy
from thalweg.train.losses import Objective
from thalweg.train.metrics import Mean, Metric


class Meters:
    """Sums over batches. A batch's loss counts with its examples (their weights), so a short last batch counts less.

    Once a loss is not finite the metrics of the epoch are NaN: predictions that are no numbers have no accuracy.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.loss = Mean("loss", check_finite=False)
        self.metrics = copy.deepcopy(list(metrics))
        self.reset()

    def reset(self) -> None:
        self.is_spoilt = False
        self._total = self._weight = 0.0
        for metric in self.metrics:
            metric.reset()

    def update(self, loss: float, size: float, prediction: Any, target: Any, weight: Any = None) -> None:
        self.add_loss(loss, size)
        if not self.is_spoilt:
            for metric in self.metrics:
                metric.update(prediction, target, weight)

    def add_loss(self, loss: float, size: float) -> None:
        """A batch's loss alone; `size` is its number of examples, or their weight."""
        self._total += loss * size
        self._weight += size
        self.is_spoilt = self.is_spoilt or not math.isfinite(loss)

    def update_each(
        self, losses: Sequence[float], sizes: Sequence[float], rows: int, prediction: Any, target: Any, weight: Any
    ) -> None:
        """Batches of `rows` examples side by side, with the bits that as many calls of `update` give."""
        seen = self._add_losses(losses, sizes)
        for metric in self.metrics if seen else ():
            if len(losses) == 1:
                metric.update(prediction, target, weight)
            elif weight is None and counts_exactly(metric):
                metric.update(prediction[: seen * rows], target[: seen * rows])
            else:
                for part in (slice(first, first + rows) for first in range(0, seen * rows, rows)):
                    metric.update(prediction[part], target[part], None if weight is None else weight[part])

    def _add_losses(self, losses: Sequence[float], sizes: Sequence[float]) -> int:
        """The losses one after the other; how many of the batches came before anything was spoilt."""
        if not self.is_spoilt and np.isfinite(losses).all():
            counts = np.array(sizes, np.float64)
            self._total = _added(self._total, np.asarray(losses, np.float64) * counts)
            self._weight = _added(self._weight, counts)
            return len(losses)
        seen = 0
        for loss, size in zip(losses, sizes, strict=True):
            self.add_loss(loss, size)
            seen += not self.is_spoilt
        return seen

    def results(self, prefix: str = "") -> dict[str, Any]:
        """The values over what was seen since `reset`."""
        self.loss.sums = {"weight": np.array(self._weight), "total": np.array(self._total)}
        found: dict[str, Any] = {f"{prefix}loss": self.loss.compute()}
        for metric in self.metrics:
            found[prefix + metric.name] = math.nan if self.is_spoilt else metric.compute()
        return found

    def state_dict(self) -> dict[str, Any]:
        """What was seen since `reset`: plain numbers, and the sums of the metrics."""
        return {
            "total": float(self._total), "weight": float(self._weight), "is_spoilt": self.is_spoilt,
            "metrics": {metric.name: metric.state_dict() for metric in self.metrics},
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave; metrics that were not there count from now on."""
        self._total, self._weight, self.is_spoilt = state["total"], state["weight"], state["is_spoilt"]
        for metric in self.metrics:
            if metric.name in state["metrics"]:
                metric.load_state_dict(state["metrics"][metric.name])

    def rehearse(self, shape: tuple[int, ...], dtype: Any, target: np.ndarray) -> None:
        """Refuse metrics that do not fit outputs of this shape and these targets, before there is an output."""
        for metric in copy.deepcopy(self.metrics):
            try:
                metric.update(np.zeros(shape, dtype), target)
            except ThalwegError as error:
                error.add_note(f"the metric {metric.name} does not fit this model and this data")
                raise


def measure(
    meters: Meters, objective: Objective, losses: Sequence[float], prediction: np.ndarray, batch: Batch, counted: Any,
    count: int,
) -> None:  # fmt: skip
    """Add the first steps of a block of `count` batches to the meters.

    A loss counts as the weights `counted` of its examples; without them as the number of its examples.
    """
    target = as_numpy(batch.targets, "targets")
    weight = None if batch.weights is None else as_numpy(batch.weights, "sample_weight")
    rows = len(target) // count
    if not losses:
        return
    if len(losses) < count:
        cut = len(losses) * rows
        target, prediction, weight = target[:cut], prediction[:cut], None if weight is None else weight[:cut]
    if counted is None and objective.ignored is None:
        sizes = [float(rows)] * len(losses)
    else:
        parts = [slice(index * rows, (index + 1) * rows) for index in range(len(losses))]
        sizes = [float(objective.count(target[part]) if counted is None else counted[part].sum()) for part in parts]
    meters.update_each(losses, sizes, rows, prediction, *objective.visible(target, weight))


def _added(total: float, numbers: np.ndarray) -> float:
    """The sum with the bits that adding one after the other gives."""
    numbers[0] += total
    return float(np.add.accumulate(numbers)[-1])


def counts_exactly(metric: Metric) -> bool:
    """Whether the metric says so itself: not where a subclass adds in another way and has not said it again."""
    ways = ("counts_exactly", "update", "add_batch", "accumulate")
    definer = next(base for base in type(metric).__mro__ if not vars(base).keys().isdisjoint(ways))
    return metric.counts_exactly and "counts_exactly" in vars(definer)
