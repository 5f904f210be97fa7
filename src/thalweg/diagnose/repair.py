"""Repair: try the remedies of what was found on copies, keep the first that holds on examples it was not trained on.

In: a run, its findings, what the user permits. Out: a `Repair` with a log of every attempt and, if one is kept, the
trainer of the changed copy. The user's run itself is never touched here, and validation data is never looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from thalweg.diagnose.changes import Change
from thalweg.diagnose.finding import Finding
from thalweg.diagnose.judge import problems
from thalweg.diagnose.probes import Probe
from thalweg.diagnose.run import BEHIND, Run
from thalweg.diagnose.tasks import Kind

HELD_OUT = 0.2
MOST_TRIES = 6
MARGIN = 0.05
"""A copy must be better by this much of skill than the run is on examples that the run was trained on."""
ADAM = 1e-3


@dataclass
class Attempt:
    """One change that was tried, and its skill on the part that was held out."""

    change: Change
    skill: float
    steps: int
    kept: bool = False


@dataclass
class Repair:
    """What was tried; `trainer` is that of the copy that replaces the run, or None."""

    attempts: list[Attempt] = field(default_factory=list)
    trainer: Any = None

    def __str__(self) -> str:
        return "\n".join(f"{'kept' if each.kept else 'not kept'}: {told(each.change)}: skill {each.skill:.2f} in "
                         f"{each.steps} steps" for each in self.attempts)  # fmt: skip


def told(change: Change) -> str:
    """The fields that differ from doing nothing."""
    plain = Change()
    names = [name for name in vars(change) if getattr(change, name) != getattr(plain, name)]
    return ", ".join(f"{name}={getattr(change, name)}" for name in names) or "the same again"


def repair(run: Run, found: Sequence[Finding], may_change_layers: bool = True) -> Repair:
    """Try changes, the least intrusive first, each for as many steps as a probe may take.

    The first that reaches the level of the reference on the held-out part is kept, otherwise the best, if it is better
    than the run by a margin. It is then trained from the start, on all examples, for as long as the run was.
    """
    result = Repair()
    names = problems(list(found))
    if run.copies is None or not names or run.task.kind is Kind.OTHER:
        return result
    order = np.random.default_rng(1).permutation(len(run.y))
    count = max(1, int(HELD_OUT * len(run.y)))
    held_out, rows = order[:count], np.sort(order[count:])
    own = run.skill(run.last) if run.is_finite else -math.inf
    for change in list(changes(run, names, may_change_layers))[:MOST_TRIES]:
        attempt = tried(run, change, rows, held_out)
        result.attempts.append(attempt)
        if attempt.skill >= BEHIND * run.reference_skill and attempt.skill > own + MARGIN:
            break
    best = max(result.attempts, key=lambda each: each.skill, default=None)
    if best is None or not best.skill > max(own, 0.0) + MARGIN:
        return result
    best.kept = True
    epochs = best.change.epochs or max(run.epochs, 1)
    result.trainer, _, outputs = run.copies.train(
        best.change, run.highest_rate, epochs, np.arange(len(run.y)), run.sample.x
    )
    if not run.skill_of(outputs, run.sample.y) > max(own, 0.0):
        best.kept, result.trainer = False, None
    return result


def tried(run: Run, change: Change, rows: np.ndarray, held_out: np.ndarray) -> Attempt:
    assert run.copies is not None
    probe: Probe = run.copies.run(change, run.highest_rate, max(1, run.epochs), run.x[held_out], rows)
    return Attempt(change, run.skill_of(probe.outputs, run.y[held_out]), probe.steps)


def changes(run: Run, names: Sequence[str], may_change_layers: bool) -> Iterator[Change]:
    """What to try for these problems, each once, single changes before combinations."""
    base = Change()
    if {"wrong_loss", "wrong_output_activation"} & set(names):
        base = replace(base, matched=True)
    if "unscaled_input" in names:
        base = replace(base, scaled_inputs=True, scaled_targets=run.task.kind is Kind.VALUES)
    if "over_regularized" in names:
        base = replace(base, without_penalty=True, without_dropout=run.strongest_dropout > 0)
    if "class_imbalance" in names:
        base = replace(base, balanced=True)
    if {"bad_initialization", "dying_relu", "saturated_activation", "vanishing_gradient"} & set(names):
        base = replace(base, fitted=True)
    seen = {Change()}
    for change in _around(run, base, names, may_change_layers):
        if change not in seen:
            seen.add(change)
            yield change


def _around(run: Run, base: Change, names: Sequence[str], may_change_layers: bool) -> Iterator[Change]:
    """The base, then other rates, then Adam, then other layers."""
    good = [probe.change.rate for probe in run.probed.values() if run.gain(probe) >= 0.5]
    yield from (replace(base, rate=rate) for rate in good[:1])
    yield base
    if "learning_rate_too_low" in names:
        yield from (replace(base, rate=10.0 * rate) for rate in (good[:1] or [10.0]))
    if {"learning_rate_too_high", "oscillating_loss", "exploding_gradient", "non_finite"} & set(names):
        yield replace(base, rate=0.1, clipped=True)
    if may_change_layers and {"vanishing_gradient", "dying_relu", "exploding_gradient"} & set(names):
        yield replace(base, fitted=True, activation="Tanh", adaptive=10 * ADAM)
    yield replace(base, adaptive=ADAM, fitted="bad_initialization" in names)
    yield replace(base, adaptive=10 * ADAM, scaled_inputs=not run.first.has_normalised_input, fitted=True)
    if may_change_layers:
        yield replace(base, adaptive=10 * ADAM, scaled_inputs=True, fitted=True, activation="Tanh")
