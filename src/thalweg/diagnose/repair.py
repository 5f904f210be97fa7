"""Repair: try the remedies of what was found on copies, keep one that holds on examples it was not trained on.

In: a run, its findings, what the user permits. Out: a `Repair` with a log of every attempt and, if one is kept, the
trainer of the changed copy. The user's run itself is never touched here, and validation data is never looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from thalweg.diagnose.changes import Change
from thalweg.diagnose.finding import Finding
from thalweg.diagnose.judge import problems
from thalweg.diagnose.probes import FIRST_STAGES, Trial
from thalweg.diagnose.rules.fit import smoothed
from thalweg.diagnose.run import BARELY_BEHIND, HALF_WAY, Run
from thalweg.diagnose.tasks import Kind

HELD_OUT = 0.2
MOST_TRIES = 6
MARGIN = 0.05
"""A copy must be better by this much of skill than the run is on examples that the run was trained on."""
PROMISING = 0.3
"""A copy that has this share of the reference's skill after its first stages goes on; others only if none has."""
ADAM = 1e-3
DEEP = ("vanishing_gradient", "dying_relu", "exploding_gradient", "bad_initialization")
"""Root causes that another activation helps against, in a recurrence gates."""
MOMENTS = 16
"""How often a run that learns by heart is looked at again to find where to stop."""


@dataclass
class Attempt:
    """One change that was tried, and its skill on the part that was held out, at the best moment of its training."""

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
    """Try changes, the least intrusive first, on a part of the training data; the rest says what they are worth.

    Each is trained for a quarter of the run's epochs, and to the end if it is promising by then, until one comes to the
    skill of the reference or nearly so. The best is kept, or one before it that is as good within a margin, if it is
    better than the run by that margin: with the weights of its best moment. A run that learns by heart is repeated up
    to its best moment.
    """
    names = problems(list(found))
    if run.copies is None or not names or run.task.kind is Kind.OTHER:
        return Repair()
    contest = Contest(run)
    if names[0] == "overfitting":
        return stopped_early(run, contest)
    tried = contest.tried(list(changes(run, names, may_change_layers))[:MOST_TRIES])
    result = Repair([Attempt(each.trial.change, each.skill, each.trial.steps) for each in tried])
    if not tried:
        return result
    best = max(each.skill for each in tried)
    index = next(i for i, each in enumerate(tried) if each.skill >= best - MARGIN)
    own = run.skill(run.last) if run.is_finite else 0.0
    if best < max(own, 0.0) + MARGIN and best < PROMISING * run.reference_skill:
        return result
    trainer = contest.finished(tried[index])
    attempt = result.attempts[index]
    attempt.skill, attempt.steps = tried[index].skill, tried[index].trial.steps
    attempt.kept = attempt.skill > max(own, 0.0) + MARGIN
    result.trainer = trainer if attempt.kept else None
    return result


class Contestant:
    """A trial, and its weights at its best moment."""

    def __init__(self, trial: Trial) -> None:
        self.trial, self.skill, self.epochs = trial, -math.inf, 0
        self.weights: Mapping[str, np.ndarray] = {}

    def note(self) -> None:
        if self.trial.skill >= self.skill:
            self.skill, self.epochs = self.trial.skill, self.trial.epochs
            state = self.trial.trainer.model.state_dict()
            self.weights = {name: np.array(value.numpy()) for name, value in state.items()}


class Contest:
    """Trials on a part of the training data, measured on the rest."""

    def __init__(self, run: Run) -> None:
        order = np.random.default_rng(1).permutation(len(run.y))
        count = max(1, int(HELD_OUT * len(run.y)))
        self.run, self.held_out, self.rows = run, order[:count], np.sort(order[count:])

    def tried(self, candidates: Sequence[Change]) -> list[Contestant]:
        """The first that is good enough is the last one; if none is, the best goes on to the end."""
        found = []
        for change in candidates:
            one = self.enter(change)
            found.append(one)
            self.train(one, FIRST_STAGES)
            if one.skill >= PROMISING * self.run.reference_skill:
                self.train(one)
                is_short = one.trial.most < self.run.epochs  # it cannot have come as far as the run it stands for
                if one.skill >= (HALF_WAY if is_short else BARELY_BEHIND) * self.run.reference_skill:
                    return found
        if found:
            self.train(max(found, key=lambda each: each.skill))
        return found

    def enter(self, change: Change, epochs: int | None = None) -> Contestant:
        run = self.run
        assert run.copies is not None
        most = max(1, run.epochs if epochs is None else epochs)
        sample = run.x[self.held_out]
        return Contestant(run.copies.trial(change, run.highest_rate, most, sample, self.rows, least=HALF_WAY))

    def train(self, one: Contestant, share: float = 1.0) -> None:
        """Up to a share of its epochs, unless it is as good as the reference before that, or lost."""
        for until in one.trial.stages(share):
            if one.skill >= self.run.reference_skill or not one.trial.is_finite:
                return
            self.step(one, until)

    def step(self, one: Contestant, until: int) -> float:
        """Train on; the skill then."""
        one.trial.train(until)
        one.trial.skill = self.run.skill_of(one.trial.outputs, self.run.y[self.held_out])
        one.note()
        return one.trial.skill

    def finished(self, one: Contestant) -> Any:
        """The trainer, with the best weights: it is trained on, at most as long as the run, until two stages in a row
        were of no help. Where trials saw a sample of the data, another is trained on all of it.
        """
        copies = self.run.copies
        assert copies is not None
        one.trial.most = max(self.run.epochs, 1)
        if copies.is_sample:
            trainer = copies.on_all(one.trial.change, self.run.highest_rate, one.trial.most)
            one.skill = self.run.skill_of(trainer.predict(self.run.x[self.held_out]), self.run.y[self.held_out])
            return trainer
        waited = 0
        for until in one.trial.stages():
            before = one.skill
            self.step(one, until)
            waited = 0 if one.trial.skill > before else waited + 1
            if waited == 2 or not one.trial.is_finite:
                break
        one.trial.trainer.model.load_state_dict(one.weights)
        return one.trial.trainer


def stopped_early(run: Run, contest: Contest) -> Repair:
    """Where the skill on held-out examples is highest, if it falls after that; the same on all examples.

    The highest of many measurements on n examples is high by chance: they are smoothed, and the fall must be more than
    1/√n, twice what the share of right answers among n is off by at most.
    """
    one = contest.enter(Change())
    ends = sorted({max(1, math.ceil(k * one.trial.most / MOMENTS)) for k in range(1, MOMENTS + 1)})
    skills = smoothed(np.array([contest.step(one, until) for until in ends]))
    best = int(np.flatnonzero(skills == skills.max())[-1])
    attempt = Attempt(Change(epochs=ends[best]), float(skills[best]), one.trial.steps)
    if not skills[best] > max(skills[-1], 0.0) + max(MARGIN, len(contest.held_out) ** -0.5):
        return Repair([attempt])
    assert run.copies is not None
    trainer = run.copies.on_all(attempt.change, run.highest_rate, ends[best])
    attempt.kept = bool(np.isfinite(trainer.predict(run.sample.x)).all())
    return Repair([attempt], trainer if attempt.kept else None)


def changes(run: Run, names: Sequence[str], may_change_layers: bool) -> Iterator[Change]:
    """What to try for these problems, each once, single changes before combinations."""
    base = Change()
    if {"wrong_loss", "wrong_output_activation"} & set(names):
        base = replace(base, matched=may_change_layers)
    if "unscaled_input" in names:
        base = replace(base, scaled_inputs=may_change_layers, scaled_targets=may_change_layers
                       and run.task.kind is Kind.VALUES)  # fmt: skip
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
    rate = run.best_rate
    yield replace(base, rate=rate)
    yield base
    if "learning_rate_too_low" in names:
        yield replace(base, rate=10.0 * rate)
    if {"learning_rate_too_high", "oscillating_loss", "exploding_gradient", "non_finite"} & set(names):
        yield replace(base, rate=0.1, clipped=True)
    if may_change_layers and names[0] in DEEP and run.is_plainly_recurrent:
        yield replace(base, fitted=True, gated=True, adaptive=10 * ADAM, clipped=True)
    if may_change_layers and names[0] in DEEP:
        yield replace(base, fitted=True, activation="Tanh", adaptive=10 * ADAM)
    yield replace(base, adaptive=ADAM, fitted="bad_initialization" in names)
    scaled = may_change_layers and not run.first.has_normalised_input
    yield replace(base, adaptive=10 * ADAM, scaled_inputs=scaled, fitted=True)
    if may_change_layers:
        yield replace(base, adaptive=10 * ADAM, scaled_inputs=True, fitted=True, activation="Tanh")
