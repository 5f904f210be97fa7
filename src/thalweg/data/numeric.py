"""Transforms of numeric features: standardise, scale to a range, tame heavy tails, fill gaps.

In: arrays of shape (samples, ...), memory-mapped ones block by block. Out: float32 (float64 for float64) of the same
shape, with the statistics of the training part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np

from thalweg.data.transform import Transform
from thalweg.errors import ArgumentError, ConfigurationError, DataError, explain

BLOCK_BYTES = 16 << 20


def blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    """A large (perhaps memory-mapped) array as float64, a few megabytes at a time."""
    rows = max(1, BLOCK_BYTES // max(1, 8 * x[:1].size))
    for first in range(0, len(x), rows):
        yield np.asarray(x[first : first + rows], dtype=np.float64)


def as_numbers(x: Any, where: str) -> np.ndarray:
    """`x` as an array of numbers with at least one sample; DataError otherwise."""
    array = np.asarray(x.numpy() if hasattr(x, "numpy") else x)
    if array.dtype.kind not in "biuf" or array.ndim == 0 or len(array) == 0:
        raise DataError(
            explain(
                "a numeric transform takes at least one row of numbers",
                received=f"dtype {array.dtype}, shape {array.shape}",
                expected="numbers, shape (samples, ...)",
                where=where,
                remedy="encode text with tw.data.OneHotEncoder or tw.data.TableEncoder",
            )
        )
    return array


def working_dtype(x: np.ndarray) -> np.dtype[Any]:
    """The dtype of results: float64 stays, everything else becomes float32."""
    return np.dtype(np.float64 if x.dtype == np.float64 else np.float32)


def check_features(x: np.ndarray, shape: tuple[int, ...], where: str) -> None:
    if x.shape[1:] != shape:
        raise DataError(
            explain(
                f"{where} was fitted on other features",
                received=f"shape {('samples', *x.shape[1:])}".replace("'", ""),
                expected=f"shape {('samples', *shape)}".replace("'", ""),
                where=where,
                remedy="pass the same columns, in the same order, as in fit",
            )
        )


def check_finite(x: np.ndarray, where: str) -> None:
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        at = tuple(int(i) for i in bad[0])
        raise DataError(
            explain(
                "NaN or infinity in the data to fit on",
                received=f"{x[at]} in sample {at[0]}" + (f", feature {', '.join(map(str, at[1:]))}" if at[1:] else ""),
                expected="finite numbers",
                where=where,
                remedy="fill the gaps first, for example with tw.data.Impute()",
            )
        )


def _check_same_shape(owner: Transform, first: np.ndarray, second: np.ndarray) -> None:
    if first.shape != second.shape:
        raise ConfigurationError(
            explain(
                "statistics of different shapes",
                received=f"{first.shape} and {second.shape}",
                where=type(owner).__name__,
            )
        )


class Standardise(Transform):
    r"""Mean 0 and standard deviation 1: :math:`(x - \mu) / \sigma`, with the training part's statistics.

    Args:
        per_feature: one mean and deviation for each feature; False for one of each over everything (images).

    Learns `mean_` and `scale_` of shape x.shape[1:] (or ()), from float64 sums merged block by block (Chan, Golub,
    LeVeque 1983), so that a memory-mapped array is never copied whole. A constant feature has scale 1 and becomes 0.
    float64 stays float64, else float32.

    Raises:
        DataError: text, no rows, NaN or infinity in `fit`; other features in `transform`. StateError: used before
            `fit`.

    >>> scaler = Standardise().fit(np.array([[1.0, 7.0], [3.0, 7.0]]))
    >>> scaler.transform(np.array([[5.0, 7.0]]))
    array([[3., 0.]])
    >>> Transform.from_config(scaler.to_config()).inverse_transform(np.array([[3.0, 0.0]]))
    array([[5., 7.]])
    """

    learned = ("mean_", "scale_")
    options = ("per_feature",)
    mean_: np.ndarray
    scale_: np.ndarray

    def __init__(self, per_feature: bool = True) -> None:
        self.per_feature = bool(per_feature)

    def check_consistent(self) -> None:
        _check_same_shape(self, self.mean_, self.scale_)

    def fit(self, x: Any) -> Self:
        x = as_numbers(x, "Standardise.fit")
        axis = 0 if self.per_feature else None
        count, mean, squares = 0, np.float64(0.0), np.float64(0.0)
        for block in blocks(x):
            check_finite(block, "Standardise.fit")
            size = len(block) if self.per_feature else block.size
            with np.errstate(over="ignore", invalid="ignore"):
                block_mean = block.mean(axis=axis)
                delta = block_mean - mean
                squares = squares + ((block - block_mean) ** 2).sum(axis=axis)
                squares = squares + delta**2 * (count * size / (count + size))
                mean, count = mean + delta * (size / (count + size)), count + size
        self.mean_, deviation = np.asarray(mean), np.sqrt(squares / count)
        self.scale_ = _safe_scale(deviation, self.mean_, count)
        return self

    def transform(self, x: Any) -> np.ndarray:
        x = self._checked(x)
        return np.asarray((x - self.mean_) / self.scale_, dtype=working_dtype(x))

    def inverse_transform(self, x: Any) -> np.ndarray:
        """Back to the original units."""
        x = self._checked(x)
        return np.asarray(x * self.scale_ + self.mean_, dtype=working_dtype(x))

    def _checked(self, x: Any) -> np.ndarray:
        self.check_fitted()
        array = as_numbers(x, "Standardise")
        if self.per_feature:
            check_features(array, self.mean_.shape, "Standardise")
        return array


def _safe_scale(deviation: np.ndarray, mean: np.ndarray, count: int) -> np.ndarray:
    """The deviation, or 1 where it is zero up to the rounding of the mean (as scikit-learn bounds it)."""
    if not np.isfinite(deviation).all():
        raise DataError(
            explain(
                "numbers too large to standardise: their squares overflow",
                received="values of 1e154 or more",
                where="Standardise.fit",
                remedy="take logarithms first, for example with tw.data.Log1p()",
            )
        )
    rounding = np.finfo(np.float64).eps * count**0.5 * np.abs(mean) * 10
    return np.asarray(np.where(deviation <= rounding, 1.0, deviation))


class MinMaxScale(Transform):
    """Map the training part's smallest and largest value of each feature to the ends of a range.

    Args:
        low, high: the range; 0 and 1 by default. A constant feature becomes `low`. Values beyond those of the training
            part leave the range; they are not clipped.

    Raises: as `Standardise`; ArgumentError for an empty range.

    >>> MinMaxScale().fit_transform(np.array([[0.0], [5.0], [10.0]])).ravel()
    array([0. , 0.5, 1. ])
    """

    learned = ("minimum_", "extent_")
    options = ("low", "high")
    minimum_: np.ndarray
    extent_: np.ndarray

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        if not low < high:
            raise ArgumentError(
                explain(
                    "an empty range", received=f"low={low}, high={high}", expected="low < high", where="MinMaxScale"
                )
            )
        self.low, self.high = float(low), float(high)

    def check_consistent(self) -> None:
        _check_same_shape(self, self.minimum_, self.extent_)

    def fit(self, x: Any) -> Self:
        x = as_numbers(x, "MinMaxScale.fit")
        lows, highs = [], []
        for block in blocks(x):
            check_finite(block, "MinMaxScale.fit")
            lows.append(block.min(axis=0))
            highs.append(block.max(axis=0))
        self.minimum_ = np.asarray(np.min(lows, axis=0))
        extent = np.max(highs, axis=0) - self.minimum_
        self.extent_ = np.where(extent == 0, 1.0, extent)
        return self

    def transform(self, x: Any) -> np.ndarray:
        x = self._checked(x)
        return np.asarray(
            (x - self.minimum_) / self.extent_ * (self.high - self.low) + self.low, dtype=working_dtype(x)
        )

    def inverse_transform(self, x: Any) -> np.ndarray:
        """Back to the original units."""
        x = self._checked(x)
        return np.asarray(
            (x - self.low) / (self.high - self.low) * self.extent_ + self.minimum_, dtype=working_dtype(x)
        )

    def _checked(self, x: Any) -> np.ndarray:
        self.check_fitted()
        array = as_numbers(x, "MinMaxScale")
        check_features(array, self.minimum_.shape, "MinMaxScale")
        return array


class Log1p(Transform):
    r"""Tame heavy tails: :math:`\mathrm{sign}(x) \log(1 + |x|)`, which is log1p for x >= 0 and defined for every
    number.

    Learns nothing. NaN stays NaN.

    >>> Log1p().transform(np.array([0.0, np.e - 1, 1 - np.e]))
    array([ 0.,  1., -1.])
    """

    def fit(self, x: Any) -> Self:
        as_numbers(x, "Log1p.fit")
        return self

    def transform(self, x: Any) -> np.ndarray:
        x = as_numbers(x, "Log1p")
        values = x.astype(np.float64)
        return np.asarray(np.sign(values) * np.log1p(np.abs(values)), dtype=working_dtype(x))

    def inverse_transform(self, x: Any) -> np.ndarray:
        """sign(x) * (exp(|x|) - 1)."""
        x = as_numbers(x, "Log1p")
        values = x.astype(np.float64)
        return np.asarray(np.sign(values) * np.expm1(np.abs(values)), dtype=working_dtype(x))


class Impute(Transform):
    """Fill gaps (NaN) with the training part's median or mean of the feature.

    Args:
        strategy: "median" or "mean".
        indicator: append, for every feature that had gaps in the training part, a column that is 1 where the value was
            missing.

    Takes and gives shape (samples, features). Learns `fill_` (features,) and `indicated_`, the numbers of the features
    with an indicator.

    Raises: DataError for a feature without any value in the training part.

    >>> Impute(indicator=True).fit_transform(np.array([[1.0], [np.nan], [3.0]]))
    array([[1., 0.],
           [2., 1.],
           [3., 0.]])
    """

    learned = ("fill_", "indicated_")
    options = ("strategy", "indicator")
    fill_: np.ndarray
    indicated_: np.ndarray

    def __init__(self, strategy: str = "median", indicator: bool = False) -> None:
        if strategy not in ("median", "mean"):
            raise ArgumentError(
                explain("unknown strategy", received=repr(strategy), expected="'median' or 'mean'", where="Impute")
            )
        self.strategy, self.indicator = strategy, bool(indicator)

    def fit(self, x: Any) -> Self:
        x = _two_axes(as_numbers(x, "Impute.fit"), "Impute.fit")
        gaps = np.isnan(x)
        empty = np.flatnonzero(gaps.all(axis=0))
        if empty.size:
            raise DataError(
                explain(
                    "a feature has no values at all",
                    received=f"feature {empty[0]} is missing in every row",
                    where="Impute.fit",
                    remedy="drop the column",
                )
            )
        self.fill_ = np.asarray(
            (np.nanmedian if self.strategy == "median" else np.nanmean)(x.astype(np.float64), axis=0)
        )
        self.indicated_ = np.flatnonzero(gaps.any(axis=0)) if self.indicator else np.zeros(0, dtype=np.int64)
        return self

    def transform(self, x: Any) -> np.ndarray:
        self.check_fitted()
        x = _two_axes(as_numbers(x, "Impute"), "Impute")
        check_features(x, self.fill_.shape, "Impute")
        gaps = np.isnan(x)
        filled = np.where(gaps, self.fill_, x)
        return np.concatenate([filled, gaps[:, self.indicated_]], axis=1).astype(working_dtype(x))

    def feature_names(self, names: Sequence[str]) -> list[str]:
        self.check_fitted()
        return [*names, *(f"{names[i]} (missing)" for i in self.indicated_)]

    def restored(self, name: str, value: Any) -> Any:
        array = super().restored(name, value)
        return array.astype(np.int64) if name == "indicated_" else array


def _two_axes(x: np.ndarray, where: str) -> np.ndarray:
    if x.ndim != 2:
        raise DataError(
            explain(
                "a table of numbers has two axes",
                received=f"shape {x.shape}",
                expected="shape (samples, features)",
                where=where,
                remedy="for one column pass column[:, None]",
            )
        )
    return x
