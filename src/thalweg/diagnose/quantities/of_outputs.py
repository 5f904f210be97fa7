"""Quantities of each layer's outputs, after its activation: size, zeros, saturation, and whether samples still differ.

In: the output of a layer for a batch, or for the first examples of it where it is large.
Out: one record each.
"""

from __future__ import annotations

from typing import Any

from thalweg.diagnose.quantities.quantity import Combine, Quantity, root
from thalweg.tensor import logical_or, where

NEAR_BOUND = 0.05
"""Within 5 % of its range of a bound: there a sigmoid or tanh has less than a fifth of its steepest slope."""


def _is_zero(y: Any, bounds: Any) -> Any:
    return where(y == 0, 1.0, 0.0).to(y.dtype)


def _is_saturated(y: Any, bounds: tuple[float, float]) -> Any:
    low, high = bounds
    margin = NEAR_BOUND * (high - low)
    return where(logical_or(y < low + margin, y > high - margin), 1.0, 0.0).to(y.dtype)


OUTPUT_MEAN = Quantity("output_mean", "mean of the outputs", ("outputs",), lambda y, bounds: y)
OUTPUT_RMS = Quantity(
    "output_rms", "root mean square of the outputs", ("outputs",), lambda y, bounds: y * y, finish=root
)
OUTPUT_COMMON = Quantity(
    "output_common", "mean square over units of what a unit puts out on average over samples", ("outputs",),
    lambda y, bounds: y, Combine.SQUARED_UNIT_MEANS,
)  # fmt: skip
ZERO_SHARE = Quantity(
    "zero_share", "share of the outputs that are exactly zero", ("outputs",), _is_zero,
    only=lambda layer: layer.is_rectified,
)  # fmt: skip
SATURATED_SHARE = Quantity(
    "saturated_share", "share of the outputs within 5 % of a bound of the activation", ("outputs",), _is_saturated,
    only=lambda layer: layer.bounds is not None,
)  # fmt: skip

OF_OUTPUTS = (OUTPUT_MEAN, OUTPUT_RMS, OUTPUT_COMMON, ZERO_SHARE, SATURATED_SHARE)
