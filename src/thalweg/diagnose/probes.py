"""Probes: trainings of copies of a run with something changed. One that succeeds is diagnosis and remedy at once.

In: a `Trainer`, the parameters it started from, its data. Out: a `Trial` for a `Change`: another rate, no penalty,
scaled inputs, trained a few epochs at a time, so that whoever asks can stop as soon as the answer is known. Copies are
trained by `Trainer` itself, so a trial does what the user's run does but for the change.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thalweg.diagnose.changes import Change, changed_loss, changed_model, changed_optimizer

MOST_STEPS, FEWEST_STEPS = 4000, 100
OPERATIONS = 5e9
"""A probe may cost about so many multiplications. They are counted, not timed, so that the verdict does not depend on
how busy the machine is."""
STAGES = (0.125, 0.25, 0.5, 0.75, 1.0)
"""Shares of a trial's epochs after which it is looked at."""
FIRST_STAGES = 0.25
"""What every trial gets before the best of several goes on."""


class Trial:
    """A copy of a run in training.

    Attributes:
        change: what it does otherwise than the run.
        epochs: how many have been trained; `most` is how many may be.
        losses: of each step.
        outputs: for the sample it is asked about, after the last stage.
        skill: that of these outputs, as the one who asks measures it.
    """

    def __init__(self, trainer: Any, change: Change, data: tuple[Any, Any], batch_size: int, most: int, sample: Any):
        self.trainer, self.change, self.data, self.batch_size = trainer, change, data, batch_size
        self.most, self.sample = most, sample
        self.epochs = 0
        self.losses: np.ndarray = np.empty(0)
        self.outputs: np.ndarray = np.empty(0)
        self.skill = math.nan

    @property
    def steps(self) -> int:
        return len(self.losses)

    @property
    def is_finite(self) -> bool:
        return bool(np.isfinite(self.losses[-1:]).all())

    def stages(self, share: float = 1.0) -> list[int]:
        """The numbers of epochs after which to look, of those that are still to come, up to a share of all."""
        ends = {max(1, math.ceil(each * self.most)) for each in STAGES if each <= share}
        return sorted(each for each in ends if each > self.epochs)

    def train(self, until: int) -> None:
        """Go on until so many epochs are done, and see what comes out for the sample."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            history = self.trainer.fit(
                self.data, initial_epoch=self.epochs, epochs=until, batch_size=self.batch_size
            )  # fmt: skip
            self.outputs = self.trainer.predict(self.sample, batch_size=_even(len(self.sample)))
        self.epochs = until
        self.losses = np.append(self.losses, np.array(history.steps["loss"], float))


class Copies:
    """Makes copies of a run from its start."""

    def __init__(
        self, trainer: Any, start: Mapping[str, np.ndarray], x: Any, y: np.ndarray, batch_size: int,
        callbacks: Sequence[Any] = (), cost: float = 1.0, feed: Any = None,
    ) -> None:  # fmt: skip
        self.trainer, self.start, self.x, self.y, self.batch_size = trainer, start, x, y, batch_size
        self.callbacks, self.feed = list(callbacks), feed
        """The run's own data, of which `x` and `y` may be a sample."""
        self.cost = max(cost, 1.0)
        """Multiplications that one example takes, forward and backward."""

    @property
    def steps(self) -> int:
        """How many steps a probe may take."""
        return int(np.clip(OPERATIONS / (self.cost * self.batch_size), FEWEST_STEPS, MOST_STEPS))

    def trial(
        self, change: Change, rate: float, epochs: int, sample: Any, rows: np.ndarray | None = None, least: float = 0.0
    ) -> Trial:
        """A copy that may be trained for `epochs` epochs, less if that were more than `steps` steps.

        But for the share `least` of them. `rate` is that of the run; `rows` are the examples to train on, by default
        the first ones, as many as the steps can see.
        """
        rows = np.arange(len(self.y)) if rows is None else rows
        rows = rows[: self.steps * self.batch_size]
        most = min(epochs, self.steps // math.ceil(len(rows) / self.batch_size))
        most = max(1, most, math.ceil(least * epochs))
        trainer = self.sibling(change, rate * change.rate)
        return Trial(trainer, change, (self.x[rows], self.y[rows]), self.batch_size, most, sample)

    @property
    def is_sample(self) -> bool:
        """Whether the run has more examples, or other ones in each epoch, than copies are tried on."""
        arrays = None if self.feed is None else self.feed.arrays
        return self.feed is not None and (arrays is None or len(arrays.targets) > len(self.y))

    def on_all(self, change: Change, rate: float, epochs: int) -> Any:
        """The trainer of a copy after so many epochs of the run's own data."""
        trainer = self.sibling(change, rate * change.rate)
        data = (self.x, self.y) if self.feed is None else self.feed
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(data, epochs=epochs, batch_size=self.batch_size)
        return trainer

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
            penalties=[] if change.without_penalty else penalties, seed=trainer.seed, callbacks=self.callbacks,
            class_weight="balanced" if change.balanced else trainer.class_weight, progress=False, check_finite=False,
        )  # fmt: skip


def _even(examples: int) -> int:
    """A size of at most 256 of which batches are all equal, nearly: one program evaluates them."""
    return max(1, -(-examples // max(1, -(-examples // 256))))
