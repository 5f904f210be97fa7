"""Steps that are left out since a value is not finite: what a step that is not compiled asks, and who must be told.

In: a trainer whose policy (`Trainer(nonfinite=...)`) leaves such steps out. Out: whether the update may be made; which
losses count. A compiled step asks the same question of itself (`thalweg.tensor.finite`).
"""

from __future__ import annotations

import math
from typing import Any

from thalweg.tensor import Tensor
from thalweg.tensor.core import flush
from thalweg.tensor.finite import is_applicable
from thalweg.train.state import StepNumbers


def may_be_applied(trainer: Any) -> bool:
    """Whether loss, running statistics and gradients are finite; they are computed now."""
    state = trainer.state
    gradients = [each.grad for each in trainer.model.parameters() if isinstance(each.grad, Tensor)]
    known = [each for each in (state.loss, state.prediction) if each is not None]
    buffers = [each for each in trainer.model.buffers() if each.is_floating_point()]
    flush(*known, *buffers, *gradients)
    flag, _ = is_applicable([each.node for each in (*known[:1], *buffers)], [each.node for each in gradients])
    return bool(Tensor._result(flag).item())


def applied_losses(trainer: Any, numbers: StepNumbers) -> list[float]:
    """The losses of the steps that were not left out: of those that ran, the last one may have been."""
    return numbers.loss[:-1] if trainer.steps.was_skipped else numbers.loss


def is_last(trainer: Any, numbers: StepNumbers) -> bool:
    """Whether somebody must be asked before the next step: the loss is no number, or an update was left out."""
    return trainer.steps.was_skipped or not math.isfinite(numbers.loss[-1])


def count_skipped(trainer: Any, numbers: StepNumbers, done: int) -> None:
    """1 for a step whose update was left out, which is the last one, 0 for the others; where there is a policy."""
    if trainer.is_guarded:
        numbers.watched.setdefault("skipped", []).extend([0.0] * (done - 1) + [float(trainer.steps.was_skipped)])
