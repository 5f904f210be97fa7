"""How far predicted numbers are from the true ones: MAE, MSE, RMSE and R².

In: predictions and targets of equal shape; (N, 1) against (N,) is taken as (N,), never broadcast to (N, N).
Out: one number over all elements; R² also per output.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from thalweg.errors import ArgumentError, DataError, explain
from thalweg.train.metrics.arrays import (
    Array,
    example_weights,
    require_examples,
    require_finite,
    shape_mismatch,
)
from thalweg.train.metrics.base import Metric, RunningMean
from thalweg.train.metrics.labels import without_column


def _numbers(prediction: Array, target: Array, where: str) -> tuple[Array, Array]:
    """Prediction and target as finite float64 arrays of equal shape."""
    for array, role in ((prediction, "prediction"), (target, "target")):
        require_examples(array, role, where)
        require_finite(array, role, where)
    prediction, target = without_column(prediction, target)
    if prediction.shape != target.shape:
        raise shape_mismatch(prediction, target, "equal shapes", where, remedy="reshape one of them to the other")
    return prediction.astype(np.float64), target.astype(np.float64)


class MeanAbsoluteError(RunningMean):
    """The mean of |prediction - target|, in the units of the target.

    MAE = Σ weight·|p - t| / Σ weight, over all elements of arrays (N, ...).

    Args:
        name: default ``"mae"``.

    Example:
        >>> metric = MeanAbsoluteError()
        >>> metric.update([1.0, 2.0, 5.0], [1.0, 3.0, 3.0])
        >>> metric.compute()
        1.0

    Source: agrees with scikit-learn's `mean_absolute_error`.
    """

    default_name = "mae"
    higher_is_better = False

    def add_batch(self, prediction: Array, target: Array, weight: Any) -> None:
        prediction, target = _numbers(prediction, target, self._where)
        self.accumulate(np.abs(prediction - target), weight)


class MeanSquaredError(RunningMean):
    """The mean of (prediction - target)², in the squared units of the target.

    MSE = Σ weight·(p - t)² / Σ weight, over all elements of arrays (N, ...).

    Args:
        name: default ``"mse"``.

    Example:
        >>> metric = MeanSquaredError()
        >>> metric.update([1.0, 2.0], [1.0, 4.0])
        >>> metric.compute()
        2.0

    Source: agrees with scikit-learn's `mean_squared_error`.
    """

    default_name = "mse"
    higher_is_better = False

    def add_batch(self, prediction: Array, target: Array, weight: Any) -> None:
        prediction, target = _numbers(prediction, target, self._where)
        self.accumulate((prediction - target) ** 2, weight)


class RootMeanSquaredError(MeanSquaredError):
    """The square root of the mean squared error, in the units of the target.

    RMSE = √(Σ weight·(p - t)² / Σ weight). One root over everything that was seen: the mean of the roots of batches
    would be too small, because the root is concave.

    Args:
        name: default ``"rmse"``.

    Example:
        >>> metric = RootMeanSquaredError()
        >>> metric.update([1.0, 2.0], [1.0, 4.0])
        >>> metric.update([0.0, 0.0], [0.0, 2.0])
        >>> round(metric.compute(), 4)
        1.4142

    Source: for one output agrees with scikit-learn's `root_mean_squared_error`, which for several takes a root each.
    """

    default_name = "rmse"

    def formula(self) -> float:
        return float(np.sqrt(super().formula()))


class R2(Metric):
    """The share of the targets' variance that the predictions explain.

    R² = 1 - Σ weight·(p - t)² / Σ weight·(t - mean t)². At most 1; 0 for a model that always says the mean; less for
    one that is worse. Where the targets are all equal it is 1 for perfect predictions and 0 otherwise, as in
    scikit-learn.

    Arrays are (N,) or (N, outputs, ...); each output has its own mean.

    Args:
        multioutput: ``"uniform_average"`` (default): the mean over outputs. ``"variance_weighted"``: weighted by their
            variance. ``"raw_values"``: an array with one value per output.
        name: default ``"r2"``.

    Raises:
        DataError: by `compute()`, for fewer than two examples of weight more than 0.

    Example:
        >>> metric = R2()
        >>> metric.update([2.5, 0.0], [3.0, -0.5])
        >>> metric.update([2.0, 8.0], [2.0, 7.0])
        >>> round(metric.compute(), 4)
        0.9486

    Source: Wright (1921); agrees with scikit-learn's `r2_score`. Sums of squares are merged as in Chan, Golub and
    LeVeque (1983), which does not cancel where Σt² - (Σt)²/n would.
    """

    default_name = "r2"

    def __init__(
        self,
        multioutput: Literal["uniform_average", "variance_weighted", "raw_values"] = "uniform_average",
        name: str | None = None,
    ) -> None:
        if multioutput not in ("uniform_average", "variance_weighted", "raw_values"):
            expected = "'uniform_average', 'variance_weighted' or 'raw_values'"
            raise ArgumentError(explain("unknown multioutput", received=repr(multioutput), expected=expected))
        self.multioutput = multioutput
        super().__init__(name)

    def empty_sums(self) -> dict[str, Array]:
        per_output = {key: np.zeros(0) for key in ("mean", "spread", "residual", "lowest", "highest")}
        return {"weight": np.zeros(()), "count": np.zeros(()), **per_output}

    def add_batch(self, prediction: Array, target: Array, weight: Any) -> None:
        prediction, target = _numbers(prediction, target, self._where)
        weights = example_weights(weight, target.shape[:1], self._where)
        rows = np.flatnonzero(weights)
        if rows.size:
            prediction, target = (array[rows].reshape(rows.size, -1) for array in (prediction, target))
            self._merge(prediction, target, weights[rows, None])

    def _merge(self, prediction: Array, target: Array, weights: Array) -> None:
        old, added = self.sums["weight"], weights.sum()
        before = self._before(prediction, target)
        batch_mean = (weights * target).sum(axis=0) / added
        distance = batch_mean - before["mean"]
        spread = (weights * (target - batch_mean) ** 2).sum(axis=0)
        self.sums = {
            "weight": old + added,
            "count": self.sums["count"] + len(target),
            "mean": before["mean"] + distance * (added / (old + added)),
            "spread": before["spread"] + spread + distance**2 * (old * added / (old + added)),
            "residual": before["residual"] + (weights * (prediction - target) ** 2).sum(axis=0),
            "lowest": np.minimum(before["lowest"], target.min(axis=0)),
            "highest": np.maximum(before["highest"], target.max(axis=0)),
        }

    def _before(self, prediction: Array, target: Array) -> dict[str, Array]:
        if self.sums["count"] == 0:
            start = {"mean": 0.0, "spread": 0.0, "residual": 0.0, "lowest": np.inf, "highest": -np.inf}
            return {key: np.full(target.shape[1], value) for key, value in start.items()}
        if self.sums["mean"].size != target.shape[1]:
            expected = f"{self.sums['mean'].size} outputs, as in the batches before"
            raise shape_mismatch(prediction, target, expected, self._where)
        return self.sums

    def formula(self) -> float | Array:
        if self.sums["count"] < 2:
            raise DataError(
                explain(
                    "R² compares with the spread of the targets, and one example has none",
                    received="1 example",
                    expected="2 or more",
                    where=self._where,
                    remedy="use mae or rmse",
                )
            )
        residual = self.sums["residual"]
        # Not spread > 0: a mean that was rounded leaves equal targets a spread, and the quotient would be noise.
        varies = (self.sums["lowest"] < self.sums["highest"]) & (self.sums["spread"] > 0)
        spread = np.where(varies, self.sums["spread"], 0.0)
        per_output = np.where(varies, 1.0 - residual / np.where(varies, spread, 1.0), residual == 0)
        if self.multioutput == "raw_values":
            return per_output
        weights = spread if self.multioutput == "variance_weighted" and spread.any() else np.ones_like(spread)
        return float(np.average(per_output, weights=weights))
