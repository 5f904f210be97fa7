"""What a rule is: a name, what it reads and why its thresholds are what they are, and a function of a `Run`.

In: a run. Out: a `Finding`, or None. A finding of a failing run needs a number from the side of the cause (a gradient,
a unit, a range) and one from the side of the harm: how far the run stays behind what a cheap reference reaches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from thalweg.diagnose.finding import Evidence, Finding
from thalweg.diagnose.looks import LayerLook
from thalweg.diagnose.run import BEHIND, Run


@dataclass(frozen=True)
class Rule:
    """One rule; `reason` says where its thresholds come from."""

    name: str
    problem: str
    reason: str
    check: Callable[[Run], Finding | None]
    before_training: bool = False
    """Whether the set-up and a look at the initial weights are enough for it: then `preflight` asks it too."""

    def __call__(self, run: Run) -> Finding | None:
        return self.check(run)


def rule(problem: str, reason: str, before_training: bool = False) -> Callable[[Callable[[Run], Finding | None]], Rule]:
    """Make a function a rule."""

    def made(check: Callable[[Run], Finding | None]) -> Rule:
        return Rule(check.__name__, problem, reason, check, before_training)

    return made


def harm(run: Run) -> Evidence:
    """The number from the side of the harm."""
    return Evidence("skill over that of a random-feature fit of the same data", run.reach, BEHIND)


def finding(
    run: Run, problem: str, explanation: str, *evidence: Evidence, layer: str | None = None, **more: Any
) -> Finding:
    """A finding at the end of what has been trained, with the harm as last evidence; before training there is none.

    `with_harm=False` is for what is wrong however well the run does.
    """
    is_trained = has_begun(run)
    epoch = more.pop("epoch", max(0, run.epochs_done - 1) if is_trained else None)
    line = more.pop("line", None) or next((each.layer.line for each in layers(run) if each.path == layer), None)
    seen = (*evidence, harm(run)) if is_trained and more.pop("with_harm", True) else evidence
    more.pop("with_harm", None)
    return Finding(problem, layer, line, epoch=epoch, evidence=seen, explanation=explanation, **more)


def has_begun(run: Run) -> bool:
    """Whether anything has been trained; a rule that is asked before that knows of no harm."""
    return bool(run.losses or run.step_losses)


def layers(run: Run) -> list[LayerLook]:
    """The layers of the first look, in the order of the forward pass; none where nobody could look."""
    return run.first.layers if run.looks else []
