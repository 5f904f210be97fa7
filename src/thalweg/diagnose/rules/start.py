"""A rule about the first loss: an untrained network should know as little as somebody who guesses, and no less.

In: a run before its first step. Out: a finding where the first loss is far above what ignorance costs. Only `preflight`
asks it: later there are better numbers.
"""

from __future__ import annotations

import math

import numpy as np

from thalweg.diagnose.finding import Evidence, Finding
from thalweg.diagnose.rules.base import finding, has_begun, rule
from thalweg.diagnose.run import Run
from thalweg.diagnose.tasks import Kind
from thalweg.tensor import from_numpy, no_grad

FAR_ABOVE = 10.0


@rule("bad_initialization",
      "Ten times the loss of knowing nothing: of equal scores, log C for C classes, or of the answer 0 for numbers "
      "(Karpathy 2019: verify the loss at initialisation). Inputs a few times too large give three or four times, and "
      "where a few examples are fitted all the same it does no harm.", before_training=True)  # fmt: skip
def first_loss_is_far_off(run: Run) -> Finding | None:
    if has_begun(run) or run.task.kind is Kind.OTHER:
        return None
    expected = max(expected_loss(run), loss_of_equal_outputs(run))
    if not (expected > 0 and FAR_ABOVE * expected < run.first.loss < math.inf):
        return None
    return finding(run, "bad_initialization",
                   f"The untrained network has a loss of {run.first.loss:.3g}, while knowing nothing costs "
                   f"{expected:.3g}: its first outputs are large and wrong.",
                   Evidence("first loss over that of knowing nothing", run.first.loss / expected, FAR_ABOVE),
                   layer=run.first.layers[-1].path if run.first.layers else None)  # fmt: skip


def expected_loss(run: Run) -> float:
    """Of guessing: the best constant (for numbers their variance), for classes at least equal scores: log C."""
    guessing = run.behaviour.guessing
    return max(guessing, loss_of_equal_outputs(run)) if run.task.has_classes else guessing


def loss_of_equal_outputs(run: Run) -> float:
    """Of scores that are all 0, or of probabilities that are all the same: whichever the loss understands."""
    rows, equal = len(run.sample.y), 1 / max(run.task.outputs, 2)
    shown = [np.full((rows, run.task.outputs), each, np.float32) for each in (0.0, equal)]
    with no_grad(), np.errstate(all="ignore"):
        values = [float(run.objective(from_numpy(each), from_numpy(run.sample.y)).item()) for each in shown]
    return min((each for each in values if math.isfinite(each)), default=math.nan)
