"""What the rules may ask about a run: looks, losses, set-up, and what a cheap reference and probes say.

In: a `Trainer` with its data while it trains. Out: `Run`. Everything costly is computed when a rule first asks for it,
and kept: a run without any suspicion pays for the looks only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from thalweg.diagnose.behaviour import Behaviour, behaviour
from thalweg.diagnose.changes import Change
from thalweg.diagnose.leakage import Leakage, leakage
from thalweg.diagnose.looks import LayerLook, Look, Looker, Sample
from thalweg.diagnose.parameters import ParameterFacts, parameter_facts
from thalweg.diagnose.probes import FIRST_STAGES, Copies, Trial
from thalweg.diagnose.record import Record
from thalweg.diagnose.reference import Reference, fit_reference
from thalweg.diagnose.tasks import Kind, Task, predicted_labels

BEHIND = 0.8
"""A run fails where it has less than four fifths of the reference's skill: the cheap reference is seldom the best."""
BARELY_BEHIND = 0.95
"""What is known to be wrong from the set-up alone is reported where the run does not clearly reach the reference."""
HALF_WAY = 0.5
"""A probe that comes half of the missing way to the reference in no more steps than the run had is more than chance."""


@dataclass
class Run:
    """One run, up to now."""

    objective: Any
    """(prediction, target) -> scalar tensor."""
    optimizer: Any
    penalties: list[Any]
    task: Task
    sample: Sample
    x: Any
    y: np.ndarray
    epochs: int
    batch_size: int
    record: Record = field(default_factory=Record)
    """The losses and rates of the steps and the epochs."""
    looks: list[Look] = field(default_factory=list)
    looker: Looker | None = None
    copies: Copies | None = None
    may_probe: bool = True
    """Whether copies may be trained to find a cause."""
    probed: dict[Change, Trial] = field(default_factory=dict)
    strongest_dropout: float = 0.0
    is_explained: bool = False
    """Whether the judge has found a cause that is certain from the set-up."""

    # --- what was recorded -------------------------------------------------------------------------------------------

    @property
    def step_losses(self) -> list[float]:
        return self.record.losses.tolist()  # type: ignore[no-any-return]

    @property
    def rates(self) -> list[float]:
        """The learning rate of each step."""
        return self.record.learning_rates.tolist()  # type: ignore[no-any-return]

    @property
    def losses(self) -> list[float]:
        """Mean training loss of each epoch."""
        return self.record.epochs.get("loss", [])

    @property
    def validation_losses(self) -> list[float]:
        return self.record.epochs.get("val_loss", [])

    # --- moments -----------------------------------------------------------------------------------------------------

    @property
    def first(self) -> Look:
        return self.looks[0]

    @property
    def last(self) -> Look:
        return self.looks[-1]

    @property
    def epochs_done(self) -> int:
        return len(self.losses)

    @property
    def steps_done(self) -> int:
        """Of which `step_losses` may hold every second, every fourth, ..."""
        steps = self.record.steps
        return int(steps[-1] - steps[0]) + 1 if len(steps) else 0

    @property
    def highest_rate(self) -> float:
        return max((each for each in self.rates if math.isfinite(each)), default=0.0)

    @property
    def is_finite(self) -> bool:
        return self.last.is_finite and bool(np.isfinite(self.step_losses[-1:]).all())

    def trunk(self, seen: Look) -> list[LayerLook]:
        """The layers on the straight way; those of branches are fed around by skip connections."""
        on_trunk = [each for each in seen.layers if not each.layer.is_branch]
        return on_trunk if len(on_trunk) > 1 else seen.layers

    @property
    def is_plainly_recurrent(self) -> bool:
        """Whether there is a recurrence without gates."""
        return any(each.layer.kind == "RNN" for each in self.first.layers)

    def predicted(self, outputs: np.ndarray) -> np.ndarray:
        """Labels."""
        return predicted_labels(outputs, self._middle(self.last))

    # --- skill -------------------------------------------------------------------------------------------------------

    def skill(self, seen: Look) -> float:
        """On the training sample."""
        return self.skill_of(seen.outputs, self.sample.y)

    def skill_of(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        """Of any outputs, by the middle that is best for them."""
        return self.task.skill(outputs, targets, self.task.middle(outputs, targets))

    def validation_skill(self, seen: Look) -> float:
        """On the validation data; on the training sample where there is none."""
        if seen.validation_outputs is None or self.sample.y_validation is None:
            return self.skill(seen)
        return self.task.skill(seen.validation_outputs, self.sample.y_validation, self._middle(seen))

    def _middle(self, seen: Look) -> float:
        return self.task.middle(seen.outputs, self.sample.y)

    @cached_property
    def reference(self) -> Reference:
        return fit_reference(self.x, self.task.columns())

    @cached_property
    def reference_skill(self) -> float:
        """Of the reference, for examples that it was not made of: comparable with a run's own training skill."""
        return self._skill_of_columns(self.reference.left_out, self.task.targets[self.reference.chosen])

    @cached_property
    def reference_validation_skill(self) -> float:
        if self.sample.x_validation is None or self.sample.y_validation is None:
            return self.reference_skill
        return self._skill_of_columns(self.reference.predict(self.sample.x_validation), self.sample.y_validation)

    def _skill_of_columns(self, columns: np.ndarray, targets: np.ndarray) -> float:
        if self.task.kind is Kind.BINARY:
            columns = columns[:, 1:]
        return self.task.skill(columns, targets)

    @property
    def reach(self) -> float:
        """Validation skill over that of the reference: 1 is as good, 0 is guessing."""
        return _ratio(self.validation_skill(self.last), self.reference_validation_skill)

    @property
    def training_reach(self) -> float:
        """The same for the training sample."""
        return _ratio(self.skill(self.last), self.reference_skill)

    @property
    def is_failing(self) -> bool:
        """Not finite, far behind the reference, or a training loss that is no better than guessing."""
        return not self.is_finite or self._stays_behind(BEHIND) or self.loss_reach < 0

    @property
    def is_barely_behind(self) -> bool:
        return not self.is_finite or self._stays_behind(BARELY_BEHIND)

    def _stays_behind(self, share: float) -> bool:
        """Whether `reach` is less than that. No reference has a skill over 1, so often none need be made."""
        return self.validation_skill(self.last) < share and self.reach < share

    # --- the loss ----------------------------------------------------------------------------------------------------

    @cached_property
    def behaviour(self) -> Behaviour:
        """What the loss does, whatever it is called."""
        return behaviour(self.objective, self.task, self.sample.y, self.first.output_bounds)

    @property
    def loss_reach(self) -> float:
        """How much of the loss of guessing the last quarter of the epochs has removed: 1 all of it, 0 nothing."""
        recent = self.losses[-max(1, self.epochs_done // 4) :]
        guessing = self.behaviour.guessing
        return 1 - float(np.mean(recent)) / guessing if recent and guessing > 0 else math.nan

    # --- set-up ------------------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> list[ParameterFacts]:
        """What is trained and what is not; empty where the run cannot be copied."""
        return [] if self.copies is None else self._parameters

    @cached_property
    def _parameters(self) -> list[ParameterFacts]:
        assert self.copies is not None
        return parameter_facts(self.copies.trainer, self.sample)

    @cached_property
    def leakage(self) -> Leakage:
        """Examples of the validation part that are in the training part."""
        return Leakage() if self.sample.x_validation is None else leakage(self.x, self.sample.x_validation)

    # --- probes ------------------------------------------------------------------------------------------------------

    def probe(self, change: Change) -> Trial | None:
        """A copy of this run with a change, trained from the same start until it has come half way to the reference.

        For no more steps than the run had; None where runs cannot be copied.
        """
        return self.probes([change], lambda trial: self.gain(trial) >= HALF_WAY)

    def probes(self, candidates: Sequence[Change], is_enough: Callable[[Trial], bool]) -> Trial | None:
        """The first of several copies that is enough, otherwise the best.

        Each is trained for a quarter of the epochs, then the one that has come furthest goes on.
        """
        if self.copies is None or not self.may_probe:
            return None
        trials = [self.probed.get(each) or self._trial(each) for each in candidates]
        for trial in trials:
            if self._is_found(trial, FIRST_STAGES, is_enough):
                return trial
        best = max(trials, key=_success)
        self._is_found(best, 1.0, is_enough)
        return best

    def _trial(self, change: Change) -> Trial:
        assert self.copies is not None
        trial = self.copies.trial(change, self.highest_rate, max(1, self.epochs_done), self.sample.x)
        self.probed[change] = trial
        return trial

    def _is_found(self, trial: Trial, share: float, is_enough: Callable[[Trial], bool]) -> bool:
        """Train until it is enough, or lost, or at the end of this share of its epochs."""
        for until in trial.stages(share):
            if (trial.epochs and is_enough(trial)) or not trial.is_finite:
                break
            trial.train(until)
            trial.skill = self.skill_of(trial.outputs, self.sample.y)
        return is_enough(trial)

    def release(self) -> None:
        """Let go of copies of the network: the numbers stay."""
        self.looker = None
        for trial in self.probed.values():
            trial.trainer = None

    @property
    def best_rate(self) -> float:
        """The factor on the rate of the probe that came furthest, if any other rate was tried and learnt something."""
        trials = [each for each in self.probed.values() if each.epochs and each.change == Change(each.change.rate)]
        best = max(trials, key=_success, default=None)
        return best.change.rate if best is not None and best.is_finite else 1.0

    def gain(self, probe: Trial | None) -> float:
        """How much of the way from the run's training skill to the reference's a probe has gone."""
        if probe is None:
            return 0.0
        own = max(0.0, self.skill(self.last)) if self.is_finite else 0.0
        missing = max(self.reference_skill - own, 0.05)
        return (probe.skill - own) / missing


def _success(trial: Trial) -> tuple[float, float]:
    """By skill, then by the loss of its last steps."""
    last = trial.losses[-max(1, len(trial.losses) // 10) :]
    loss = float(last.mean()) if len(last) and np.isfinite(last).all() else math.inf
    return (trial.skill if math.isfinite(trial.skill) else -math.inf, -loss)


def _ratio(own: float, reference: float) -> float:
    """1 where the reference itself cannot do better than guessing: then nothing is known to be missing."""
    if not math.isfinite(own):
        return 1.0 if math.isnan(own) else -math.inf
    return own / reference if reference > 0.05 else 1.0
