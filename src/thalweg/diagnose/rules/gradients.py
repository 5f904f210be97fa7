"""Rules about gradients and initial weights: signals that die, explode, or are the same in every unit.

In: a run. Out: findings by layer, from looks before and during training. Gradients are compared between layers, each
as root mean square over its entries, so that neither the loss's scale nor the width matters.
"""

from __future__ import annotations

import math

import numpy as np

from thalweg.diagnose.finding import Evidence, Finding
from thalweg.diagnose.looks import LayerLook, Look
from thalweg.diagnose.remedies import REMEDIES
from thalweg.diagnose.rules.base import finding, has_begun, rule
from thalweg.diagnose.run import Run

VANISHED = 0.01
GROWN = 1000.0
FEW_LAYERS = 3
GAIN_OFF = 4.0
EQUAL = 0.5
OVER_TIME = ("fitted_initialisation", "gated_recurrence", "shorter_sequences", "adaptive_optimizer")
"""Remedies where the gradient is lost over time, in order."""
FITTED = {"ReLU": math.sqrt(2), "LeakyReLU": math.sqrt(2), "GELU": math.sqrt(2), "SiLU": math.sqrt(2), "ELU": 1.2}


@rule("vanishing_gradient",
      "A hundredth between the first and the last layer: sane networks stay within a factor of ten or so of 1 at any "
      "depth (Glorot and Bengio 2010; He et al. 2015), so it takes a loss in every layer to get there.",
      before_training=True)  # fmt: skip
def gradient_vanishes(run: Run) -> Finding | None:
    if not run.is_failing or not run.is_finite:
        return None
    seen = [(each, *gradient_ratio(run, each)) for each in early(run)]
    seen = [each for each in seen if each[2] < VANISHED]
    if len(seen) < 2 and not (seen and len(early(run)) == 1):
        return None
    moment, layer, ratio = seen[0]
    count = len(run.trunk(moment))
    return finding(run, "vanishing_gradient",
                   f"On its way back through {count} layers the gradient shrinks to {ratio:.1e} of the last layer's, "
                   f"about {ratio ** (1 / (count - 1)):.2g} a layer: the first layers hardly move.",
                   Evidence("gradient of the first layers over the last's", ratio, VANISHED), layer=layer,
                   epoch=moment.epoch - 1 if moment.epoch else None)  # fmt: skip


@rule("vanishing_gradient",
      "A hundredth between the first half of the steps of a sequence and the best of all, as between layers: what came "
      "early has no say. Many a recurrence gets over it, so nothing is said before training; and gates learn to stay "
      "open (Hochreiter and Schmidhuber 1997), so of a layer that has them a closed start is no cause that is "
      "certain.")  # fmt: skip
def gradient_vanishes_over_time(run: Run) -> Finding | None:
    if not run.is_failing or not run.is_finite:
        return None
    seen = [(moment, each, ratio_over_time(each)) for moment in early(run) for each in moment.layers]
    seen = [each for each in seen if each[2] < VANISHED]
    if len({moment.epoch for moment, _, _ in seen}) < min(2, len(early(run))):
        return None
    moment, layer, ratio = seen[0]
    is_certain = layer.layer.kind == "RNN" and not moment.epoch
    return finding(run, "vanishing_gradient",
                   f"On its way back through the {len(layer.over_time)} steps of a sequence the gradient shrinks to "
                   f"{ratio:.1e} of what the last steps get: what stands early in a sequence is not learnt.",
                   Evidence("gradient of the early steps over the largest", ratio, VANISHED), layer=layer.path,
                   epoch=None if is_certain else max(0, moment.epoch - 1),
                   remedies=tuple(REMEDIES[each] for each in OVER_TIME))  # fmt: skip


@rule("exploding_gradient",
      "Weights, outputs or the loss overflowed; or gradients grew a thousandfold over layers or over the run: no sane "
      "run does that.", before_training=True)  # fmt: skip
def gradient_explodes(run: Run) -> Finding | None:
    if not run.is_failing or not (run.is_finite or has_begun(run)):  # of what has not begun, the origin is traced
        return None
    growth = max(gradient_growth(run), first_over_last(run), *map(growth_over_time, run.first.layers), 0.0)
    if run.is_finite and not growth > GROWN:
        return None
    largest = max(run.first.layers, key=lambda each: each.gradient, default=None)
    how = "overflowed" if not run.is_finite else f"grew by a factor of {growth:.1e}"
    return finding(run, "exploding_gradient", f"Gradients {how}.",
                   Evidence("largest growth of a gradient", growth if run.is_finite else math.inf, GROWN),
                   layer=None if largest is None else largest.path)  # fmt: skip


@rule("non_finite", "A value that is not finite is lost for ever: no threshold, no persistence.", before_training=True)
def values_not_finite(run: Run) -> Finding | None:
    if run.is_finite:
        return None
    losses = np.isfinite(run.step_losses if has_begun(run) else [run.first.loss])
    step = int(np.argmin(losses)) if has_begun(run) and not losses.all() else None
    return finding(run, "non_finite", "The loss, an output or a weight became infinite or not a number.",
                   Evidence("losses that are not finite", float((~losses).sum()), 0.0), step=step)  # fmt: skip


@rule(
    "bad_initialization",
    "Half of a hidden layer's units equal at the end: equal units get equal gradients: no threshold.",
)
def units_are_equal(run: Run) -> Finding | None:
    if not run.is_failing or not run.is_finite:
        return None
    for before, after in list(zip(run.first.layers, run.last.layers, strict=True))[:-1]:
        if before.is_trainable and min(before.equal_units, after.equal_units) >= EQUAL:
            return finding(run, "bad_initialization",
                           f"{before.equal_units:.0%} of the units of this layer started with the weights of another "
                           "unit, and are still equal: they do the work of one.",
                           Evidence("share of units equal to another at the end", after.equal_units, EQUAL),
                           layer=before.path, epoch=None)  # fmt: skip
    return None


@rule("bad_initialization",
      "weight·√fan_in keeps the size of a signal at √2 for rectifiers, 1 otherwise (He et al. 2015, Glorot and "
      "Bengio 2010); a factor of 4 a layer is left, which no usual initialisation uses up.",
      before_training=True)  # fmt: skip
def spread_does_not_fit(run: Run) -> Finding | None:
    if not run.is_failing:
        return None
    off = [(each, gain_off(each)) for each in run.first.layers[:-1] if not each.layer.is_branch and each.is_trainable]
    off = [each for each in off if max(each[1], 1 / each[1]) > GAIN_OFF and each[0].equal_units < EQUAL]
    if not off:
        return None
    worst, factor = max(off, key=lambda each: abs(math.log(each[1])))
    size = "large" if factor > 1 else "small"
    return finding(run, "bad_initialization",
                   f"The initial weights are too {size}: {worst.weight:.3g} for {worst.fan_in} inputs a unit, "
                   f"{factor:.2g} times what keeps the size of the signal; so in {len(off)} of "
                   f"{len(run.first.layers)} layers.",
                   Evidence("initial weights over fitted ones", factor, GAIN_OFF if factor > 1 else 1 / GAIN_OFF),
                   layer=worst.path, epoch=None)  # fmt: skip


def early(run: Run) -> list[Look]:
    """Looks of the first half of the run; the gradient ratio of a fit that has ended says nothing."""
    return [each for each in run.looks if each.is_finite and each.epoch <= max(1, run.epochs_done // 2)]


def gradient_ratio(run: Run, seen: Look) -> tuple[str | None, float]:
    """The weakest trunk layer of the first half, and its gradient over the last layer's."""
    layers = [each for each in run.trunk(seen) if each.is_trainable]
    if len(layers) < FEW_LAYERS or not layers[-1].gradient > 0:
        return None, math.nan
    weakest = min(layers[: len(layers) // 2 + 1], key=lambda each: each.gradient)
    return weakest.path, weakest.gradient / layers[-1].gradient


def first_over_last(run: Run) -> float:
    layers = [each for each in run.trunk(run.first) if each.is_trainable]
    return layers[0].gradient / layers[-1].gradient if len(layers) >= FEW_LAYERS and layers[-1].gradient > 0 else 0.0


def ratio_over_time(layer: LayerLook) -> float:
    """The weakest gradient that a step in the first half of the sequences gets, over the largest of all steps."""
    sizes = layer.over_time
    if len(sizes) < FEW_LAYERS or not max(sizes) > 0:
        return math.nan
    return min(sizes[: len(sizes) // 2]) / max(sizes)


def growth_over_time(layer: LayerLook) -> float:
    """The largest gradient that a step in the first half of the sequences gets, over the largest of the others."""
    half = len(layer.over_time) // 2
    later = max(layer.over_time[half:], default=0.0)
    return max(layer.over_time[:half], default=0.0) / later if half and later > 0 else 0.0


def gradient_growth(run: Run) -> float:
    """Largest gradient of any layer since training began, over the largest before it."""
    before = max((each.gradient for each in run.first.layers), default=0.0)
    now = max((each.gradient for seen in run.looks[1:] for each in seen.layers), default=0.0)
    return now / before if before > 0 else 0.0


def gain_off(layer: LayerLook) -> float:
    """The weights over the nearest usual ones: between Glorot's, by both fans, and those by the inputs alone."""
    fitted = FITTED.get(layer.layer.activation or "", 1.0) / math.sqrt(layer.fan_in)
    glorot = math.sqrt(2 / (layer.fan_in + layer.units))
    low, high = min(fitted, glorot), max(fitted, glorot)
    return max(layer.weight, 1e-12) / min(max(layer.weight, low), high)


RULES = (
    gradient_vanishes,
    gradient_vanishes_over_time,
    units_are_equal,
    spread_does_not_fit,
    values_not_finite,
    gradient_explodes,
)
