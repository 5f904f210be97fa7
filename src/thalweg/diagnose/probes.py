"""Probes: trainings of copies of a run with something changed. One that succeeds is diagnosis and remedy at once.

In: a `Trainer`, the parameters it started from, its data. Out: a `Probe` for a `Change`: another rate, no penalty,
scaled inputs. The copies are trained by `Trainer` itself, so a probe does what the user's run does but for the change.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.diagnose.changes import Change, changed_loss, changed_model, changed_optimizer

MOST_STEPS, FEWEST_STEPS = 4000, 100
OPERATIONS = 5e9
"""A probe may cost about so many multiplications. They are counted, not timed, so that the verdict does not depend on
how busy the machine is."""


@dataclass
class Probe:
    """What came of it: outputs of the changed run for the sample, and the losses of its steps."""

    change: Change
    steps: int
    losses: np.ndarray
    outputs: np.ndarray
    skill: float = math.nan
    """On the sample it was asked about."""


class Copies:
    """Makes and trains copies of a run from its start."""

    def __init__(self, trainer: Any, start: Mapping[str, np.ndarray], x: Any, y: np.ndarray, batch_size: int) -> None:
        self.trainer, self.start, self.x, self.y, self.batch_size = trainer, start, x, y, batch_size
        self.cost = 1.0
        """Multiplications that one example takes, forward and backward."""

    @property
    def steps(self) -> int:
        """How many steps a probe may take."""
        return int(np.clip(OPERATIONS / (self.cost * self.batch_size), FEWEST_STEPS, MOST_STEPS))

    def run(self, change: Change, rate: float, epochs: int, sample: Any, rows: np.ndarray | None = None) -> Probe:
        """Train a copy for at most `epochs` epochs and `steps` steps, and look at its outputs for `sample`.

        `rows` are the examples to train on; by default the first ones, as many as the steps can see.
        """
        rows = np.arange(len(self.y)) if rows is None else rows
        rows = rows[: self.steps * self.batch_size]
        epochs = max(1, min(epochs, self.steps // math.ceil(len(rows) / self.batch_size)))
        _, history, outputs = self.train(change, rate, epochs, rows, sample)
        return Probe(change, len(history.steps["loss"]), np.array(history.steps["loss"], float), outputs)

    def train(self, change: Change, rate: float, epochs: int, rows: np.ndarray, sample: Any) -> tuple[Any, Any, Any]:
        """The trainer of a changed copy, its history, and its outputs for `sample`."""
        other = self.sibling(change, rate * change.rate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            history = other.fit((self.x[rows], self.y[rows]), epochs=epochs, batch_size=self.batch_size)
            outputs = other.predict(sample)
        return other, history, outputs

    def sibling(self, change: Change, rate: float) -> Any:
        """A trainer of the same kind and settings on a copy of the model, at its start."""
        trainer = self.trainer
        model, penalties = copy.deepcopy((trainer.model, list(trainer.penalties)))
        model.load_state_dict(self.start)
        model = changed_model(model, change, self.x, self.y)
        return type(trainer)(
            model, loss=changed_loss(trainer.objective.loss, change, self.y, trainer.model),
            optimizer=changed_optimizer(trainer.optimizer, model, rate, change),
            clip_norm=1.0 if change.clipped else trainer.clip_norm, clip_value=trainer.clip_value,
            penalties=[] if change.without_penalty else penalties, seed=trainer.seed,
            class_weight="balanced" if change.balanced else trainer.class_weight, progress=False, check_finite=False,
        )  # fmt: skip
