"""What is tried out before training: fit a few examples, compare gradients; and what the trial says about equal units.

In: a set-up that has been looked at, and its trainer.
Out: checks, each with its finding where something is wrong, and the `SmallBatch`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from thalweg.diagnose.finding import Evidence, Finding
from thalweg.diagnose.looks import look
from thalweg.diagnose.preflight_data import Said
from thalweg.diagnose.preflight_finite import is_finite
from thalweg.diagnose.preflight_fit import SmallBatch, fit_small_batch, rows_of
from thalweg.diagnose.preflight_gradient import wrong_gradients
from thalweg.diagnose.preflight_result import Check, Status
from thalweg.diagnose.preflight_setup import SetUp
from thalweg.diagnose.rules.base import finding
from thalweg.diagnose.rules.gradients import units_are_equal
from thalweg.diagnose.rules.start import first_loss_is_far_off
from thalweg.errors import ThalwegError

EXAMPLES = 8
"""For gradients."""
UNUSABLE = "values and labels must be usable first"


def skipped(name: str, why: object = UNUSABLE) -> Said:
    """A check that could not be made, and why."""
    return Check(name, Status.SKIPPED, " ".join(str(why).split())), None


def told(found: Finding) -> Said:
    """A finding as a check."""
    return Check(found.kind.title, Status.PROBLEM, found.explanation), found


def try_small_batch(trainer: Any, run: SetUp) -> tuple[SmallBatch | None, list[Said]]:
    """Whether the network can fit a few examples; where it does, units that stay equal; where not, its first loss."""
    if not run.looks or not is_finite(run):
        return None, [skipped("small batch")]
    try:
        found = fit_small_batch(trainer, run.task, run.x, run.y, sum(each.cost for each in run.first.layers))
    except ThalwegError as error:
        return None, [skipped("small batch", error)]
    problem = found.finding()
    status = Status.PROBLEM if problem else Status.FINE if found.own.is_fitted else Status.NOTE
    later = [_equal_units(run, found.own.model), None if found.own.is_fitted else first_loss_is_far_off(run)]
    said = [told(each) for each in later if each is not None]
    return found, [(Check("small batch", status, str(found)), problem), *said]


def _equal_units(run: SetUp, model: Any) -> Finding | None:
    """Units that start with equal weights are no problem unless training leaves them so."""
    if not any(each.equal_units > 0 for each in run.first.layers):
        return None
    later = look(model, run.objective, run.sample, 0)
    return units_are_equal(dataclasses.replace(run, looks=[run.first, later])) if later.is_finite else None


def try_gradients(trainer: Any, run: SetUp) -> Said:
    """The gradient of every parameter against central differences."""
    if not run.looks:
        return skipped("gradients")
    rows = np.arange(min(EXAMPLES, len(run.sample.y)))
    try:
        wrong = wrong_gradients(trainer, rows_of(run.sample.x, rows), run.sample.y[rows])
    except ThalwegError as error:
        return skipped("gradients", error)
    count = sum(each.requires_grad for each in trainer.model.parameters())
    if not wrong:
        return Check("gradients", Status.FINE, f"all {count} agree with central differences in float64"), None
    name, said = next(iter(wrong.items()))
    facts = next(each for each in run.parameters if each.name == name)
    found = finding(run, "wrong_gradient", f"{name}: {said}",
                    Evidence("share of the parameters whose gradient is wrong", len(wrong) / count, 0.0),
                    layer=facts.layer, line=facts.line)  # fmt: skip
    return Check("gradients", Status.PROBLEM, f"{len(wrong)} of {count} are wrong"), found
