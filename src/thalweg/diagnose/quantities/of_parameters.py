"""Quantities of each parameter: the size of weight, gradient and update, and how they go together.

In: the weight after the update, the gradient before clipping, the update. Out: one record each. Sums over the entries
of a gradient ride on the sweep in which the optimizer reads it.
"""

from __future__ import annotations

from thalweg.diagnose.quantities.quantity import Combine, Quantity, When, root, total

WEIGHT_RMS = Quantity(
    "weight_rms", "root mean square of the weights after the update", ("weights",), lambda w: w * w, finish=root
)
GRADIENT_RMS = Quantity(
    "gradient_rms", "root mean square of the gradient, before clipping", ("gradients",), lambda g: g * g, finish=root
)
GRADIENT_MEAN = Quantity("gradient_mean", "mean of the gradient, before clipping", ("gradients",), lambda g: g)
GRADIENT_LARGEST = Quantity(
    "gradient_largest", "largest absolute entry of the gradient", ("gradients",), lambda g: g.abs(), Combine.LARGEST
)
UPDATE_RMS = Quantity(
    "update_rms", "root mean square of what the step added to the weights", ("updates",), lambda u: u * u, finish=root
)
GRADIENT_UPDATE = Quantity(
    "gradient_update", "gradient times update, summed: what the step should change the loss by, to first order",
    ("gradients", "updates"), lambda g, u: g * u, finish=total,
)  # fmt: skip
PENALTY_RMS = Quantity(
    "penalty_rms", "root mean square of the gradient of the penalties", ("penalties",), lambda p: p * p, finish=root
)
DATA_RMS = Quantity(
    "data_rms", "root mean square of the gradient without the penalties'", ("gradients", "penalties"),
    lambda g, p: (g - p) * (g - p), finish=root,
)  # fmt: skip
WEIGHT_LARGEST = Quantity(
    "weight_largest", "largest absolute weight", ("weights",), lambda w: w.abs(), Combine.LARGEST, when=When.ON_REQUEST
)
UPDATE_LARGEST = Quantity(
    "update_largest", "largest absolute entry of the update", ("updates",), lambda u: u.abs(), Combine.LARGEST,
    when=When.ON_REQUEST,
)  # fmt: skip

OF_PARAMETERS = (
    WEIGHT_RMS, GRADIENT_RMS, GRADIENT_MEAN, GRADIENT_LARGEST, UPDATE_RMS, GRADIENT_UPDATE, PENALTY_RMS, DATA_RMS,
    WEIGHT_LARGEST, UPDATE_LARGEST,
)  # fmt: skip
