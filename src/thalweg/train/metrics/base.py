"""What a metric is: a few sums that grow with every batch, and a formula that turns them into a value.

In: batches of predictions and targets. Out: `compute()`, the value over everything seen since `reset()`.
Because sums add up, any split into batches gives the same value as one batch; nothing is an average of averages.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np

from thalweg.errors import DataError, StateError, explain
from thalweg.train.metrics.arrays import Array, as_array, example_weights, require_finite

MetricValue: TypeAlias = float | dict[str, float] | Array


class Metric(abc.ABC):
    """A value that is computed from batches as if from all the data at once.

    A subclass gives three pieces: `empty_sums` (the sums before any batch), `add_batch` (what a batch adds to them) and
    `formula` (what `compute` makes of them). The sums are float64 arrays in `self.sums`, one of them named
    ``"weight"``: the total weight of the examples seen. A mean of one number per example needs only `add_batch`, see
    `RunningMean`.

    Attributes:
        higher_is_better: how callbacks compare two values; None where neither is better, as for a matrix.
        counts_exactly: whether its sums are whole numbers while examples have no weights, so that several batches may
            be added as one and the sums have the same bits. Default False.

    Example:
        >>> class LargestTarget(Metric):
        ...     default_name = "largest_target"
        ...     def empty_sums(self):
        ...         return {"weight": np.zeros(()), "largest": np.array(-np.inf)}
        ...     def add_batch(self, prediction, target, weight):
        ...         self.sums["weight"] = self.sums["weight"] + len(target)
        ...         self.sums["largest"] = np.maximum(self.sums["largest"], target.max())
        ...     def formula(self):
        ...         return float(self.sums["largest"])
        >>> metric = LargestTarget()
        >>> metric.update([0.0, 0.0], [3.0, 1.0])
        >>> metric.compute()
        3.0
    """

    default_name: ClassVar[str]
    higher_is_better: ClassVar[bool | None] = True
    counts_exactly: ClassVar[bool] = False

    def __init__(self, name: str | None = None) -> None:
        self.name = name or self._default_name()
        self.sums = self.empty_sums()

    def update(self, prediction: Any, target: Any, weight: Any = None) -> None:
        """Add a batch.

        Args:
            prediction: what the model says, shape (N, ...); which shapes are taken is the metric's to say.
            target: what is true, N examples as well.
            weight: one non-negative number for each example, shape (N,); default 1 for all.

        Raises:
            ShapeError, DTypeError, IndexRangeError, NonFiniteError, ArgumentError: and nothing was added.
        """
        self.add_batch(self._array(prediction, "prediction"), self._array(target, "target"), weight)

    def compute(self) -> MetricValue:
        """The value over all batches since the last `reset()`.

        Raises:
            DataError: nothing was seen, or only examples of weight 0.
        """
        if not self.sums["weight"] > 0:
            raise DataError(
                explain(
                    f"{self.name} has nothing to be computed from",
                    received="no example, or only examples of weight 0",
                    expected="at least one call of update() with an example",
                    where=self._where,
                    remedy="check that the data is not empty; call update() before compute()",
                )
            )
        return self.formula()

    def reset(self) -> None:
        """Forget every batch, as at the start of an epoch."""
        self.sums = self.empty_sums()

    def state_dict(self) -> dict[str, Array]:
        """A copy of the sums: arrays only, so that it can be stored without pickles."""
        return {key: np.array(value, dtype=np.float64) for key, value in self.sums.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from sums that `state_dict` gave.

        Raises:
            StateError: names or shapes are not those of this metric.
        """
        loaded = {key: np.array(value, dtype=np.float64) for key, value in state.items()}
        received = {key: value.shape for key, value in loaded.items()}
        expected = {key: value.shape for key, value in self.empty_sums().items()}
        if received.keys() != expected.keys() or not all(_fits(received[key], expected[key]) for key in expected):
            raise StateError(
                explain(
                    f"this is not the state of {self.name}",
                    received=_shapes(received),
                    expected=_shapes(expected),
                    where=self._where,
                    remedy="load the state into a metric made with the same arguments",
                )
            )
        self.sums = loaded

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"

    @property
    def _where(self) -> str:
        return f"metric {self.name}"

    def _array(self, value: Any, role: str) -> Array:
        return as_array(value, role, self._where)

    def _default_name(self) -> str:
        return self.default_name

    @abc.abstractmethod
    def empty_sums(self) -> dict[str, Array]:
        """The sums before the first batch."""

    @abc.abstractmethod
    def add_batch(self, prediction: Array, target: Array, weight: Any) -> None:
        """Add one batch to the sums, or raise before anything was added."""

    @abc.abstractmethod
    def formula(self) -> MetricValue:
        """The formula over the sums."""


def _fits(received: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Equal shapes, where an axis that is empty before the first batch may have grown."""
    return len(received) == len(expected) and all(b in (0, a) for a, b in zip(received, expected, strict=True))


def _shapes(state: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{key} {shape}" for key, shape in state.items()) or "nothing"


class RunningMean(Metric):
    """The weighted mean of one number for each example: what most metrics are.

    mean = Σ weight·value / Σ weight. A subclass hands its values to `accumulate`.

    Example:
        >>> class Bias(RunningMean):
        ...     default_name = "bias"
        ...     def add_batch(self, prediction, target, weight):
        ...         self.accumulate(prediction - target, weight)
        >>> metric = Bias()
        >>> metric.update([1.0, 3.0], [0.0, 1.0])
        >>> metric.compute()
        1.5
    """

    def empty_sums(self) -> dict[str, Array]:
        return {"weight": np.zeros(()), "total": np.zeros(())}

    def accumulate(self, values: Array, weight: Any) -> None:
        """Add values, one for each example or element, with the weights that `update` was given."""
        weights = example_weights(weight, values.shape, self._where)
        self.sums["weight"] = self.sums["weight"] + weights.sum()
        self.sums["total"] = self.sums["total"] + (values * weights).sum(dtype=np.float64)

    def formula(self) -> float:
        return float(self.sums["total"] / self.sums["weight"])


class Mean(RunningMean):
    """The weighted mean of values, as for the loss of an epoch.

    mean = Σ weight·value / Σ weight. A batch's loss is itself a mean, so its weight is the number of its examples: only
    then is a short last batch counted for what it is.

    Args:
        name: default ``"mean"``.
        check_finite: refuse NaN and infinity (default). With False they pass into the mean, so that whoever watches the
            loss sees them.

    Example:
        >>> loss = Mean("loss")
        >>> loss.update(0.5, weight=64)
        >>> loss.update(1.0, weight=16)
        >>> loss.compute()
        0.6
    """

    default_name = "mean"
    higher_is_better = False

    def __init__(self, name: str | None = None, check_finite: bool = True) -> None:
        super().__init__(name)
        self.check_finite = check_finite

    def update(self, prediction: Any, target: Any = None, weight: Any = None) -> None:
        """Add values of any shape; `target` is not used. `weight` is one number for all, for each row or each value."""
        self.add_batch(self._array(prediction, "prediction"), np.zeros(()), weight)

    def add_batch(self, prediction: Array, target: Array, weight: Any) -> None:
        if self.check_finite:
            require_finite(prediction, "prediction", self._where)
        self.accumulate(prediction, weight)
