"""`Doctor`: looks at a run between epochs, says at its end what is wrong with it, and on request mends it.

In: a run of `Trainer.fit`. Out: `findings`, root causes first, and a log of what was tried. It looks at copies: no bit
of the run changes, unless a repair is asked for and holds.
"""

from __future__ import annotations

import math
import sys
from functools import partial
from typing import Any

import numpy as np

from thalweg.diagnose.beginning import begin, look_again
from thalweg.diagnose.finding import Finding
from thalweg.diagnose.judge import judge, problems
from thalweg.diagnose.record import Record
from thalweg.diagnose.repair import Repair, repair
from thalweg.diagnose.run import Run
from thalweg.errors import ArgumentError, explain
from thalweg.train.callbacks.base import Callback, Priority
from thalweg.train.callbacks.progress import ProgressBar
from thalweg.train.callbacks.stopping import TerminateOnNaN
from thalweg.train.evaluation import tested
from thalweg.train.feed import feed_of
from thalweg.train.slices import Pace

LATER = 1.5
"""Looks are taken before training, after each of the first epochs, then each time the run is this much longer."""
MODES = ("watch", "advise", "repair")
HOPELESS = 0.25
SYMPTOMS = frozenset({"plateau", "slow_convergence", "degenerate_signal", "oscillating_loss", "overfitting"})


class Doctor(Callback):
    """Diagnose a run, and repair it where that is asked for.

    The network is looked at before training, after each of the first epochs, then each time the run is half as long
    again: forward and backward pass of a few hundred examples, one native call. Causes that are certain then are told
    beside the progress bar when they arise, in one line each, from the middle of the run on, and what is not finite at
    once; the verdict is made at the end.

    Args:
        mode: "watch" says what was found in a line each, from the looks alone; "advise" (default) with explanation and
            remedies, and where numbers do not decide, copies are trained for a few epochs; "repair" tries the remedies
            on copies as well. The one that holds on a part of the training data that was held out takes the run's
            place: `trainer.model` is then another model. A run in which nothing is wrong is never touched; one that is
            beyond hope at half time is broken off.
        may_change_layers: whether a repair may replace activations, scale inputs inside the model, or put another
            output or loss in place. Default True. False: the repaired model has the layers of the user's.
        show: print what was found. Default True.

    Attributes:
        findings: root causes first, each with its consequences.
        repair: what was tried, a `tw.diagnose.Repair`, or None.
        run: what the rules were asked about, a `tw.diagnose.Run`.

    Data may be of any kind that can be read twice: of arrays up to 16,384 examples are used, of other data the first
    4,096 (256 with "watch"). Models of several inputs, and generators that are used up, are left alone.

    Errors: `ArgumentError` for an unknown mode.

    >>> Doctor("watch")
    Doctor('watch')
    """

    priority = Priority.MEND
    adds_logs = False

    def __init__(self, mode: str = "advise", may_change_layers: bool = True, show: bool = True) -> None:
        if mode not in MODES:
            expected = ", ".join(map(repr, MODES))
            raise ArgumentError(explain("unknown mode of the doctor", received=repr(mode), expected=expected))
        self.mode, self.may_change_layers, self.show = mode, may_change_layers, show
        self.run: Run | None = None
        self.findings: list[Finding] = []
        self.repair: Repair | None = None
        self._next, self._told = 1, set[str]()

    def on_fit_begin(self, trainer: Any) -> None:
        self.findings, self.repair, self._next, self._told = [], None, 1, set()
        self._evaluated = partial(evaluated, trainer)
        self.run = begin(trainer, self._evaluated, self.mode != "watch", [TerminateOnNaN()])

    def state_dict(self) -> dict[str, Any]:
        """What was recorded and what was told; looks are made anew, the first of them where the run goes on."""
        record = {} if self.run is None else self.run.record.to_arrays()
        return {"record": record, "next": self._next, "told": sorted(self._told)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._next, self._told = state["next"], set(state["told"])
        if self.run is not None and state["record"]:
            facts = self.run.record.facts
            self.run.record = Record.from_arrays(state["record"])
            self.run.record.facts = facts
            self.run.epochs += self.run.epochs_done

    def on_slice_end(self, trainer: Any) -> None:
        if self.run is not None:
            numbers = trainer.state.slice
            self.run.record.add_steps(numbers.steps, numbers.epoch, numbers.loss, numbers.learning_rate, {}, {})

    def on_epoch_end(self, trainer: Any) -> None:
        run = self.run
        if run is None:
            return
        run.record.add_epoch(trainer.state.logs, {})
        done = run.epochs_done
        if done < run.epochs and (done >= self._next or done == (run.epochs + 1) // 2):
            look_again(run, self._evaluated, done)
            self._next = max(done + 1, int(done * LATER))
            self._tell_early(trainer, run)
            if self.mode == "repair" and is_hopeless(run):
                trainer.stop("the doctor found no hope in it")

    def on_fit_end(self, trainer: Any) -> None:
        run = self.run
        if run is None or not len(run.record) or trainer.state.exception is not None:
            return
        look_again(run, self._evaluated, run.epochs_done)  # another callback may have put other weights back
        self.findings = found_without_probes(run) if trainer.state.interrupted else judge(run)
        if self.mode == "repair" and self.findings and not trainer.state.interrupted:
            self.repair = repair(run, self.findings, self.may_change_layers)
            if self.repair.trainer is not None:
                adopt(trainer, self.repair.trainer)
        run.release()
        if self.show:
            self._tell(trainer)

    # --- telling -----------------------------------------------------------------------------------------------------

    def _tell_early(self, trainer: Any, run: Run) -> None:
        """What is certain by now, beside the progress bar, each problem once."""
        if not self.show or (run.is_finite and 2 * run.epochs_done < run.epochs):
            return
        for each in found_without_probes(run):
            if each.problem not in self._told and each.problem not in SYMPTOMS:
                self._told.add(each.problem)
                say(trainer, f"doctor: {each}")

    def _tell(self, trainer: Any) -> None:
        """The verdict: in long form; what was already told in one line is not told so again."""
        for each in self.findings:
            if self.mode != "watch":
                sys.stdout.write(f"{each.text()}\n")
            elif each.problem not in self._told:
                say(trainer, f"doctor: {each}")
        if self._told - set(problems(self.findings)):
            say(trainer, f"doctor: no longer seen: {', '.join(sorted(self._told - set(problems(self.findings))))}")
        if self.repair is not None:
            sys.stdout.write(f"{self.repair}\n")

    def __repr__(self) -> str:
        return f"Doctor({self.mode!r})"


def is_hopeless(run: Run) -> bool:
    """Not finite; or nothing learnt at half time, with a cause that needs no probe. A run that learns goes on."""
    if not math.isfinite(run.losses[-1]):
        return True
    if run.epochs_done < run.epochs // 2 or max(map(run.skill, run.looks)) > HOPELESS * run.reference_skill:
        return False
    return bool({each.problem for each in found_without_probes(run)} - SYMPTOMS)


def found_without_probes(run: Run) -> list[Finding]:
    """The verdict on what there is by now, from looks alone."""
    before, run.may_probe = run.may_probe, False
    try:
        return judge(run)
    finally:
        run.may_probe = before


def evaluated(trainer: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Outputs for examples, by the programs that validate: batches are as large as there, so none is compiled anew."""
    validation = trainer.state.plan.validation
    size = 256 if validation is None or validation.loader is None else validation.loader.batch_size
    source = feed_of((x, y), batch_size=size, where="the doctor")
    with trainer.steps.evaluating():
        blocks = tested(trainer, source, Pace(), is_labelled=True, collects=True)
        return np.concatenate([np.array(each.prediction) for each in blocks])


def say(trainer: Any, line: str) -> None:
    """Above the live line of the run's progress bar, otherwise on the standard output."""
    bar = next((each for each in trainer.listeners.callbacks if isinstance(each, ProgressBar)), None)
    if bar is None:
        sys.stdout.write(f"{line}\n")
    else:
        bar.say(line)


def adopt(trainer: Any, other: Any) -> None:
    """Go on as the other trainer: its model, loss, optimizer and penalties."""
    for name in ("model", "objective", "optimizer", "penalties", "clip_norm", "class_weight"):
        setattr(trainer, name, getattr(other, name))
    trainer.steps = type(trainer.steps)(trainer, trainer.steps.compiles)
