"""What the rules may ask about a run: looks, losses, set-up, and what a cheap reference and probes say.

In: a `Trainer` with its data while it trains. Out: `Run`. Everything costly is computed when a rule first asks for it,
and kept: a run without any suspicion pays for the looks only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from thalweg.diagnose.behaviour import Behaviour, behaviour
from thalweg.diagnose.changes import Change
from thalweg.diagnose.looks import LayerLook, Look, Sample
from thalweg.diagnose.probes import Copies, Probe
from thalweg.diagnose.reference import Reference, fit_reference
from thalweg.diagnose.tasks import Kind, Task, predicted_labels

BEHIND = 0.8
"""A run fails where it has less than four fifths of the reference's skill: the cheap reference is seldom the best."""
BARELY_BEHIND = 0.95
"""What is known to be wrong from the set-up alone is reported where the run does not clearly reach the reference."""


@dataclass
class Numbers:
    """What was recorded, by step and by epoch."""

    step_losses: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    """Mean training loss of each epoch."""
    validation_losses: list[float] = field(default_factory=list)


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
    numbers: Numbers = field(default_factory=Numbers)
    looks: list[Look] = field(default_factory=list)
    copies: Copies | None = None
    probed: dict[Change, Probe] = field(default_factory=dict)
    strongest_dropout: float = 0.0
    is_explained: bool = False
    """Whether the judge has found a cause that is certain from the set-up."""

    # --- moments -----------------------------------------------------------------------------------------------------

    @property
    def first(self) -> Look:
        return self.looks[0]

    @property
    def last(self) -> Look:
        return self.looks[-1]

    @property
    def epochs_done(self) -> int:
        return len(self.numbers.losses)

    @property
    def highest_rate(self) -> float:
        return max((each for each in self.numbers.rates if math.isfinite(each)), default=0.0)

    @property
    def is_finite(self) -> bool:
        return self.last.is_finite and bool(np.isfinite(self.numbers.step_losses[-1:]).all())

    def trunk(self, seen: Look) -> list[LayerLook]:
        """The layers on the straight way; those of branches are fed around by skip connections."""
        on_trunk = [each for each in seen.layers if not each.layer.is_branch]
        return on_trunk if len(on_trunk) > 1 else seen.layers

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
        return not self.is_finite or self.reach < BEHIND or self.loss_reach < 0

    @property
    def is_barely_behind(self) -> bool:
        return not self.is_finite or self.reach < BARELY_BEHIND

    # --- the loss ----------------------------------------------------------------------------------------------------

    @cached_property
    def behaviour(self) -> Behaviour:
        """What the loss does, whatever it is called."""
        return behaviour(self.objective, self.task, self.sample.y, self.first.output_bounds)

    @property
    def loss_reach(self) -> float:
        """How much of the loss of guessing the last quarter of the epochs has removed: 1 all of it, 0 nothing."""
        recent = self.numbers.losses[-max(1, self.epochs_done // 4) :]
        guessing = self.behaviour.guessing
        return 1 - float(np.mean(recent)) / guessing if recent and guessing > 0 else math.nan

    # --- probes ------------------------------------------------------------------------------------------------------

    def probe(self, change: Change) -> Probe | None:
        """A copy of this run with a change, trained from the same start; None where runs cannot be copied."""
        if self.copies is None:
            return None
        if change not in self.probed:
            self.copies.cost = sum(each.cost for each in self.first.layers)
            found = self.copies.run(change, self.highest_rate, max(1, self.epochs_done), self.sample.x)
            found.skill = self.skill_of(found.outputs, self.sample.y)
            self.probed[change] = found
        return self.probed[change]

    def gain(self, probe: Probe | None) -> float:
        """How much of the way from the run's training skill to the reference's a probe has gone."""
        if probe is None:
            return 0.0
        own = max(0.0, self.skill(self.last)) if self.is_finite else 0.0
        missing = max(self.reference_skill - own, 0.05)
        return (probe.skill - own) / missing


def _ratio(own: float, reference: float) -> float:
    """1 where the reference itself cannot do better than guessing: then nothing is known to be missing."""
    if not math.isfinite(own):
        return 1.0 if math.isnan(own) else -math.inf
    return own / reference if reference > 0.05 else 1.0
