"""`Doctor`: looks at a run between epochs, says at its end what is wrong with it, and on request mends it.

In: a run of `Trainer.fit` on arrays. Out: `findings`, root causes first, and a log of what was tried. It looks at
copies: no bit of the run changes, unless a repair is asked for and holds.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from thalweg.diagnose.finding import Finding
from thalweg.diagnose.judge import judge
from thalweg.diagnose.looks import DROPOUTS, Sample, look
from thalweg.diagnose.probes import Copies
from thalweg.diagnose.repair import Repair, repair
from thalweg.diagnose.run import Run
from thalweg.diagnose.tasks import task_of
from thalweg.errors import ArgumentError, explain
from thalweg.train import feed
from thalweg.train.callbacks.base import Callback, Priority

EXAMPLES, IMAGES = 512, 128
"""How many examples a look takes; convolutions evaluated for one look cost more than the rest of it."""
LATER = 1.5
"""Looks are taken before training, after each of the first epochs, then each time the run is this much longer."""
MODES = ("watch", "advise", "repair")
HOPELESS = 0.1
SYMPTOMS = frozenset({"plateau", "slow_convergence", "degenerate_signal", "oscillating_loss", "overfitting"})


class Doctor(Callback):
    """Diagnose a run, and repair it where that is asked for.

    Args:
        mode: "watch" says what was found in a line each; "advise" (default) with explanation and remedies; "repair"
            tries the remedies on copies as well. The first that holds on a part of the training data that was held out
            is trained on all of it and takes the run's place: `trainer.model` is then another model. A run in which
            nothing is wrong is never touched; one that is beyond hope at half time is broken off.
        may_change_layers: whether a repair may replace activations. Default True.
        show: print what was found. Default True.

    Attributes:
        findings: root causes first, each with its consequences.
        repair: what was tried, or None.

    Data must lie in arrays; other data is left alone.

    Errors: `ArgumentError` for an unknown mode.

    >>> Doctor("watch")
    Doctor('watch')
    """

    priority = Priority.DECIDE
    adds_logs = False

    def __init__(self, mode: str = "advise", may_change_layers: bool = True, show: bool = True) -> None:
        if mode not in MODES:
            expected = ", ".join(map(repr, MODES))
            raise ArgumentError(explain("unknown mode of the doctor", received=repr(mode), expected=expected))
        self.mode, self.may_change_layers, self.show = mode, may_change_layers, show
        self.run: Run | None = None
        self.findings: list[Finding] = []
        self.repair: Repair | None = None
        self._next = 0

    def on_fit_begin(self, trainer: Any) -> None:
        self.run, self.findings, self.repair, self._next = begin(trainer), [], None, 1
        self._look(trainer, 0)

    def on_slice_end(self, trainer: Any) -> None:
        if self.run is not None:
            self.run.numbers.step_losses += trainer.state.slice.loss
            self.run.numbers.rates += trainer.state.slice.learning_rate

    def on_epoch_end(self, trainer: Any) -> None:
        if self.run is None:
            return
        self.run.numbers.losses.append(float(trainer.state.logs["loss"]))
        if "val_loss" in trainer.state.logs:
            self.run.numbers.validation_losses.append(float(trainer.state.logs["val_loss"]))
        done = self.run.epochs_done
        if done >= self._next or done == self.run.epochs:
            self._look(trainer, done)
            self._next = max(done + 1, int(done * LATER))
            if self.mode == "repair" and done < self.run.epochs and is_hopeless(self.run):
                trainer.stop("the doctor found no hope in it")

    def on_fit_end(self, trainer: Any) -> None:
        run = self.run
        if run is None or not run.numbers.step_losses or trainer.state.exception is not None:
            return
        if run.last.epoch != run.epochs_done or not run.numbers.losses:
            self._look(trainer, run.epochs_done)
        self.findings = judge(run)
        if self.mode == "repair" and self.findings and not trainer.state.interrupted:
            self.repair = repair(run, self.findings, self.may_change_layers)
            if self.repair.trainer is not None:
                adopt(trainer, self.repair.trainer)
        if self.show:
            self._print()

    def _look(self, trainer: Any, epoch: int) -> None:
        if self.run is None:
            return
        seen = look(trainer.model, trainer.objective, self.run.sample, epoch, trainer.penalties)
        if self.run.sample.x_validation is not None:
            seen.validation_outputs = trainer.predict(self.run.sample.x_validation)
        self.run.looks.append(seen)

    def _print(self) -> None:
        for each in self.findings:
            sys.stdout.write(f"{each if self.mode == 'watch' else each.text()}\n")
        if self.repair is not None:
            sys.stdout.write(f"{self.repair}\n")

    def __repr__(self) -> str:
        return f"Doctor({self.mode!r})"


def begin(trainer: Any) -> Run | None:
    """What is known before the first step; None for data that does not lie in arrays."""
    plan = trainer.state.plan
    if plan is None or plan.training.arrays is None or isinstance(plan.training.arrays.inputs, tuple):
        return None
    x, y = arrays(trainer, plan.training)
    order = np.random.default_rng(0).permutation(len(y))[: EXAMPLES if x.ndim < 3 else IMAGES]
    sample = Sample(x[order], y[order])
    if plan.validation is not None and plan.validation.arrays is not None:
        sample.x_validation, sample.y_validation = arrays(trainer, plan.validation)
    outputs = trainer.predict(sample.x[:2])
    batch_size = plan.training.loader.batch_size if plan.training.loader is not None else 32
    run = Run(trainer.objective, trainer.optimizer, trainer.penalties, task_of(y, outputs[0].size), sample, x, y,
              plan.epochs - plan.initial_epoch, batch_size)  # fmt: skip
    dropouts = [module.p for module in trainer.model.modules() if isinstance(module, DROPOUTS)]
    run.strongest_dropout = max(dropouts, default=0.0)
    start = {name: np.array(value.numpy()) for name, value in trainer.model.state_dict().items()}
    run.copies = Copies(trainer, start, x, y, batch_size)
    return run


def arrays(trainer: Any, data: Any) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets as the step takes them."""
    x, y, _ = trainer.arrays(feed.Batch(data.arrays.inputs, data.arrays.targets, None))
    return np.asarray(x), y


def is_hopeless(run: Run) -> bool:
    """Not finite; or nothing learnt at half time, with a cause that needs no probe. A run that learns goes on."""
    if not math.isfinite(run.numbers.losses[-1]):
        return True
    if run.epochs_done < run.epochs // 2 or max(map(run.skill, run.looks)) > HOPELESS * run.reference_skill:
        return False
    copies, run.copies = run.copies, None
    found = {each.problem for each in judge(run)}
    run.copies = copies
    return bool(found - SYMPTOMS)


def adopt(trainer: Any, other: Any) -> None:
    """Go on as the other trainer: its model, loss, optimizer and penalties."""
    for name in ("model", "objective", "optimizer", "penalties", "clip_norm", "class_weight"):
        setattr(trainer, name, getattr(other, name))
    trainer.steps = type(trainer.steps)(trainer, trainer.steps.compiles)
