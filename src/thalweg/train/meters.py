"""The numbers of an epoch while it runs: the mean loss and the metrics, exact over batches of any size.

In: the loss, the predictions and the targets of each batch, as arrays.
Out: `results()`, a name and a value for each.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from thalweg.errors import ThalwegError
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
        for each in (self.loss, *self.metrics):
            each.reset()

    def update(self, loss: float, size: float, prediction: Any, target: Any, weight: Any = None) -> None:
        self.loss.update(np.float64(loss), weight=size)
        self.is_spoilt = self.is_spoilt or not math.isfinite(loss)
        if not self.is_spoilt:
            for metric in self.metrics:
                metric.update(prediction, target, weight)

    def results(self, prefix: str = "") -> dict[str, Any]:
        """The values over what was seen since `reset`."""
        found: dict[str, Any] = {f"{prefix}loss": self.loss.compute()}
        for metric in self.metrics:
            found[prefix + metric.name] = math.nan if self.is_spoilt else metric.compute()
        return found

    def rehearse(self, shape: tuple[int, ...], dtype: Any, target: np.ndarray) -> None:
        """Refuse metrics that do not fit outputs of this shape and these targets, before there is an output."""
        for metric in copy.deepcopy(self.metrics):
            try:
                metric.update(np.zeros(shape, dtype), target)
            except ThalwegError as error:
                error.add_note(f"the metric {metric.name} does not fit this model and this data")
                raise
