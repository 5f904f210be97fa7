"""Rules about the size of steps: too large, too small, swinging. Where numbers do not decide, probes do.

In: a run that fails. Out: findings. Probes train copies from the same start at rates a factor of ten apart; one that
comes half of the missing way to the reference shows that the rate was the cause, and which way it was off.
"""

from __future__ import annotations

import math

import numpy as np

from thalweg.diagnose.changes import Change
from thalweg.diagnose.finding import Evidence, Finding
from thalweg.diagnose.probes import Trial
from thalweg.diagnose.rules.base import finding, rule
from thalweg.diagnose.run import HALF_WAY, Run

LOWER = (0.1, 0.01, 1e-3)
HIGHER = (10.0, 100.0, 1e3, 1e4)
FASTER = 3.0
FALLS, CRAWLS = 0.3, 0.95
RISES = 0.3
ROUGH = 0.03
DECAYED = 0.1


@rule("learning_rate_too_high",
      "Copies at a tenth, a hundredth, a thousandth of the rate; half of the way to the reference in no more steps "
      "than the run had is more than chance.")  # fmt: skip
def rate_is_too_high(run: Run) -> Finding | None:
    if not _may_be_the_rate(run) or _only_crawls(run):
        return None
    probe = run.probes([Change(rate=factor) for factor in LOWER], lambda trial: run.gain(trial) >= HALF_WAY)
    gain = run.gain(probe)
    if probe is None or gain < HALF_WAY:
        return None
    return finding(run, "learning_rate_too_high",
                   f"Its steps overshoot. A copy from the same start with {probe.change.rate:g} times the rate came "
                   f"{min(gain, 1):.0%} of the missing way in {probe.steps} steps.",
                   Evidence("share of the missing way at a lower rate", gain, HALF_WAY))  # fmt: skip


@rule("learning_rate_too_low",
      "Copies at 10 to 10,000 times the rate, with a schedule also at its highest rate throughout: one comes half of "
      "the way to the reference, or gets to where the run ended in a third of its steps.")  # fmt: skip
def rate_is_too_low(run: Run) -> Finding | None:
    if not _may_be_the_rate(run) or not run.is_finite or _has_risen(run):
        return None
    if movement(run.losses)[2] < FALLS:  # steps that are too small still go down
        return None
    factors = (1.0, *HIGHER) if _is_decayed(run) else HIGHER
    probe = run.probes([Change(rate=factor) for factor in factors],
                       lambda trial: run.gain(trial) >= HALF_WAY or faster(run, trial) >= FASTER)  # fmt: skip
    gain, speed = run.gain(probe), faster(run, probe)
    if probe is None or (gain < HALF_WAY and speed < FASTER):
        return None
    factor = probe.change.rate
    instead = f"{factor:g} times the rate" if factor != 1 else "its highest rate throughout"
    return finding(run, "learning_rate_too_low",
                   f"Its steps are too small to get anywhere. A copy from the same start with {instead} learns "
                   f"{speed:.1f} times as fast, and came {min(gain, 1):.0%} of the missing way.",
                   Evidence("share of the missing way at a higher rate", gain, HALF_WAY),
                   Evidence("how many times as fast", speed, FASTER))  # fmt: skip


@rule("oscillating_loss",
      "After the first fifth of the run, at least three of ten epochs raise the training loss, by 3 % of its level on "
      "average, while the run stays behind: sane runs near their end swing as often, but are where they should "
      "be.")  # fmt: skip
def loss_swings(run: Run) -> Finding | None:
    if not run.is_failing or not run.is_finite:
        return None
    rises, roughness, _ = movement(run.losses)
    if not (rises >= RISES and roughness >= ROUGH):
        return None
    return finding(run, "oscillating_loss",
                   f"The training loss rose in {rises:.0%} of the epochs; from one to the next it changed by "
                   f"{roughness:.0%} of its level, and came no nearer to what is reachable.",
                   Evidence("share of epochs that raised the loss", rises, RISES),
                   Evidence("mean change between epochs over the loss", roughness, ROUGH))  # fmt: skip


def movement(losses: list[float]) -> tuple[float, float, float]:
    """Share of rises, mean change over the mean level, net fall over the whole path: after the first fifth."""
    later = np.array(losses[len(losses) // 5 if len(losses) > 9 else 0 :], float)
    if len(later) < 3 or not np.isfinite(later).all():
        return 0.0, 0.0, 0.0
    changes = np.diff(later)
    path, level = np.abs(changes).sum(), abs(later.mean())
    return (float((changes > 0).mean()), float(path / len(changes) / level) if level else 0.0,
            float((later[0] - later[-1]) / path) if path else 0.0)  # fmt: skip


def faster(run: Run, probe: Trial | None) -> float:
    """Steps of the run over those that the probe needed to reach the loss at which the run ended; 0 if it never did."""
    losses = np.array(run.step_losses)
    window = max(1, len(losses) // 10)
    began, ended = losses[:window].mean(), losses[-window:].mean()
    if probe is None or not ended < began or not np.isfinite(probe.losses).all():
        return 0.0
    width = min(window, max(1, len(probe.losses) // 4))
    means = np.convolve(probe.losses, np.full(width, 1 / width), mode="valid")
    below = np.flatnonzero(means <= ended)
    return float(run.steps_done / (below[0] + width)) if len(below) else 0.0


def _may_be_the_rate(run: Run) -> bool:
    return run.is_failing and not run.is_explained and not run.training_reach >= 1


def _only_crawls(run: Run) -> bool:
    """Whether the loss fell along nearly all of its path, or the weights hardly moved: no step was too large."""
    _, _, net = movement(run.losses)
    return run.is_finite and (_moves_little(run) or (net > CRAWLS and not _has_risen(run)))


def _is_decayed(run: Run) -> bool:
    """Whether the rate was below a tenth of its highest for most of the run."""
    rates = np.array(run.rates)
    return bool(len(rates) and np.median(rates) < DECAYED * rates.max())


def _has_risen(run: Run) -> bool:
    """Whether training raised the loss far above guessing at some time: then steps were not too small."""
    losses = [each for each in run.step_losses if math.isfinite(each)]
    worst = max(losses, default=0.0)
    start = max(abs(run.first.loss), run.behaviour.guessing)
    return worst > 3 * start


def _moves_little(run: Run) -> bool:
    """Whether the weights are where they started: then steps were not too large."""
    pairs = list(zip(run.first.layers, run.last.layers, strict=True))
    same = [abs(after.weight / before.weight - 1) < 1e-4 for before, after in pairs if before.weight > 0]
    return (
        run.is_finite and bool(same) and all(same) and abs(run.last.loss - run.first.loss) < 0.01 * abs(run.first.loss)
    )


RULES = (
    loss_swings,
    rate_is_too_high,
    rate_is_too_low,
)
