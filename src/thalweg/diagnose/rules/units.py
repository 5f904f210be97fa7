"""Rules about units: dead rectifiers, saturated bounded activations, deep layers that no longer see their input.

In: a run. Out: findings by layer.
A unit is dead if it is zero for every example of a sample, not if it is zero often.
"""

from __future__ import annotations

from thalweg.diagnose.finding import Evidence, Finding
from thalweg.diagnose.looks import LayerLook, Look
from thalweg.diagnose.rules.base import finding, has_begun, rule
from thalweg.diagnose.run import Run

DEAD = 0.5
SATURATED, SATURATED_AT_FIRST = 0.5, 0.9
SAME = 1e-3


@rule(
    "dying_relu", "Half of a layer: below that the other half is usually enough (sane wide layers lose some, too).",
    before_training=True,
)  # fmt: skip
def units_are_dead(run: Run) -> Finding | None:
    if not run.is_failing or not run.is_finite:
        return None
    dead = [each for each in run.last.layers if each.layer.is_rectified and each.dead >= DEAD]
    if not dead:
        return None
    worst = max(dead, key=lambda each: each.dead)
    began = next(each for each in run.looks if _layer(each, worst.path).dead >= DEAD)
    when = "before the first step" if began.epoch == 0 else f"within {began.epoch} epochs"
    return finding(run, "dying_relu",
                   f"{worst.dead:.0%} of the units of this layer are zero for every example, {when}; so in {len(dead)} "
                   f"of {len(run.last.layers)} layers. They get no gradient and stay dead.",
                   Evidence("share of dead units", worst.dead, DEAD), layer=worst.path,
                   epoch=max(0, began.epoch - 1) if began.epoch else None)  # fmt: skip


@rule(
    "saturated_activation",
    "Half of a hidden layer's outputs within 5 % of a bound, where the slope is a fifth or less; of a network that is "
    "not trained nine tenths, since sane ones get over three quarters.",
    before_training=True,
)
def units_are_saturated(run: Run) -> Finding | None:
    if not run.is_failing or not run.is_finite:
        return None
    limit = SATURATED if has_begun(run) else SATURATED_AT_FIRST
    for seen in (run.first, run.last):
        full = [each for each in seen.layers[:-1] if each.layer.bounds is not None and each.saturated >= limit]
        if full:
            worst = max(full, key=lambda each: each.saturated)
            return finding(run, "saturated_activation",
                           f"{worst.saturated:.0%} of the outputs of this layer's {worst.layer.activation} lie near "
                           "its bounds, where its slope is near 0.",
                           Evidence("share of saturated outputs", worst.saturated, limit), layer=worst.path,
                           epoch=None if seen.epoch == 0 else seen.epoch - 1)  # fmt: skip
    return None


@rule("degenerate_signal",
      "A thousandth of the outputs' mean square differs from example to example at the start: the layers behind see a "
      "constant (Schoenholz et al. 2017).", before_training=True)  # fmt: skip
def signal_is_constant(run: Run) -> Finding | None:
    if not run.is_failing or not run.is_finite:
        return None
    flat = [each for each in run.first.layers[:-1] if each.variation < SAME and not each.layer.is_branch]
    if not flat:
        return None
    return finding(run, "degenerate_signal",
                   "From this layer on, outputs are nearly the same for every example.",
                   Evidence("share of the outputs' mean square that depends on the example", flat[0].variation, SAME),
                   layer=flat[0].path, epoch=None)  # fmt: skip


def _layer(seen: Look, path: str) -> LayerLook:
    return next(each for each in seen.layers if each.path == path)


RULES = (
    units_are_dead,
    units_are_saturated,
    signal_is_constant,
)
