"""Rules about what is learnt: by heart, held down by a penalty, or too slowly.

In: a run. Out: findings from the course of training and validation loss, each over the loss of guessing, so that the
scale of the loss does not matter.
"""

from __future__ import annotations

import math

import numpy as np

from thalweg.diagnose.changes import Change
from thalweg.diagnose.finding import Evidence, Finding
from thalweg.diagnose.rules.base import finding, rule
from thalweg.diagnose.rules.rate import movement
from thalweg.diagnose.run import HALF_WAY, Run

RISEN = 0.1
SKILL_GAP = 0.2
PENALTY_SHARE, PENALTY_SUSPECT = 0.05, 0.003
STRONG_DROPOUT = 0.5
STEADY = 0.5


@rule("overfitting",
      "The validation loss, smoothed over three epochs, has risen above its lowest point by a tenth of the loss of "
      "guessing while the training loss fell on, and training skill is ahead by 0.2: a gap alone is no "
      "problem.")  # fmt: skip
def learns_by_heart(run: Run) -> Finding | None:
    validation, training = np.array(run.validation_losses), run.losses
    if len(validation) < 3 or not run.is_finite or not np.isfinite(validation).all():
        return None
    smooth = smoothed(validation)
    best = int(smooth.argmin())
    rise = float(smooth[-1] - smooth[best]) / run.behaviour.guessing
    gap = run.skill(run.last) - run.validation_skill(run.last)
    if not (rise > RISEN and gap > SKILL_GAP and training[-1] < training[best]):
        return None
    return finding(run, "overfitting",
                   f"Since epoch {best + 1} the validation loss has risen by {rise:.0%} of the loss of guessing while "
                   f"the training loss fell from {training[best]:.3g} to {training[-1]:.3g}.",
                   Evidence("rise of the validation loss over the loss of guessing", rise, RISEN),
                   Evidence("training skill less validation skill", gap, SKILL_GAP), epoch=best)  # fmt: skip


@rule("over_regularized",
      "A penalty whose gradient starts with a twentieth of the data's takes over as soon as these shrink; between "
      "that and 0.3 % a copy without it decides, and so for weight decay and dropout.",
      before_training=True)  # fmt: skip
def penalty_outweighs_data(run: Run) -> Finding | None:
    if not run.is_failing or not run.is_finite:
        return None
    share = run.first.penalty_gradient
    if PENALTY_SHARE <= share < math.inf:
        return _penalty(
            run, Evidence("gradient of the penalties over that of the data at the start", share, PENALTY_SHARE)
        )
    if run.is_explained:
        return None
    if share >= PENALTY_SUSPECT or any(group.get("weight_decay") for group in run.optimizer.param_groups):
        gain = run.gain(run.probe(Change(without_penalty=True)))
        if gain >= HALF_WAY:
            return _penalty(run, Evidence("share of the missing way without the penalty", gain, HALF_WAY))
    return None


@rule("over_regularized", "As for penalties: a copy without dropout comes half of the missing way.")
def dropout_drowns_signal(run: Run) -> Finding | None:
    if not run.is_failing or not run.is_finite or run.is_explained or run.strongest_dropout < STRONG_DROPOUT:
        return None
    gain = run.gain(run.probe(Change(without_dropout=True)))
    if gain < HALF_WAY:
        return None
    return finding(run, "over_regularized", f"Dropout of {run.strongest_dropout:g} leaves too little signal.",
                   Evidence("share of the missing way without dropout", gain, HALF_WAY))  # fmt: skip


@rule("slow_convergence",
      "The training loss still falls, along at least half of the path that it takes, and is far from what is "
      "reachable.")  # fmt: skip
def falls_too_slowly(run: Run) -> Finding | None:
    if not run.is_failing or not run.is_finite or not run.training_reach < 1:
        return None
    _, _, net = movement(run.losses)
    if not net >= STEADY:
        return None
    return finding(run, "slow_convergence",
                   f"The training loss falls steadily, but has removed only {max(0.0, run.loss_reach):.0%} of the "
                   "loss of guessing.",
                   Evidence("net fall of the loss over its path", net, STEADY))  # fmt: skip


@rule(
    "plateau",
    "The training loss neither falls nor swings in the second half, above what is reachable: under 1 % of its level.",
)
def stands_still(run: Run) -> Finding | None:
    if not run.is_failing or not run.is_finite:
        return None
    _, roughness, net = movement(run.losses[len(run.losses) // 2 :])
    if len(run.losses) < 6 or roughness >= 0.01 or net >= STEADY:
        return None
    return finding(run, "plateau", "The training loss has stopped moving.",
                   Evidence("mean change between epochs over the loss", roughness, 0.01))  # fmt: skip


def smoothed(values: np.ndarray) -> np.ndarray:
    """Running median of three."""
    padded = np.concatenate([values[:1], values, values[-1:]])
    return np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)  # type: ignore[no-any-return]


def _penalty(run: Run, evidence: Evidence) -> Finding:
    return finding(run, "over_regularized", "The penalty on the weights outweighs what the data ask for.", evidence)


RULES = (
    learns_by_heart,
    penalty_outweighs_data,
    dropout_drowns_signal,
    falls_too_slowly,
    stands_still,
)
