"""A first loss, or a first gradient, that is not finite: which operation makes it, before anything is trained.

In: a trainer and a set-up that has been looked at. Out: the finding, with the first operation, what it received, the
layer and the user's line. Both passes are traced on a copy and gone through operation by operation (`provenance`).
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

from thalweg.diagnose.finding import Finding
from thalweg.diagnose.layers import without_passages
from thalweg.diagnose.looks import Sample, settle
from thalweg.diagnose.preflight_setup import SetUp
from thalweg.diagnose.provenance import Birth, provenance
from thalweg.diagnose.remedies import REMEDIES
from thalweg.errors import ThalwegError
from thalweg.tensor import from_numpy

OF_OPERATIONS = ("guard_operation", "scale_inputs", "fitted_initialisation", "clean_data")
OF_WEIGHTS = ("fresh_initialisation", "fitted_initialisation")
"""What helps before training, where an operation made the value, and where it stood in the weights."""


def is_finite(run: SetUp) -> bool:
    """Whether the loss and all gradients are, where they are known."""
    gradients = [each.gradient for each in run.last.layers] if run.looks else []
    return not run.looks or (run.last.is_finite and all(map(math.isfinite, gradients)))


def first_bad_value(trainer: Any, run: SetUp) -> Finding | None:
    """Where the first value that is not finite is made; None where all are, or where no step can be traced."""
    if is_finite(run):
        return None
    birth = _birth(trainer, run.sample)
    if birth is None:
        return None
    names = OF_WEIGHTS if birth.operation == "input" else OF_OPERATIONS
    return replace(birth.to_finding(), remedies=tuple([REMEDIES[each] for each in names]))


def _birth(trainer: Any, sample: Sample) -> Birth | None:
    model, penalties = copy.deepcopy((trainer.model, list(trainer.penalties)))
    without_passages(model)
    settle(model)

    def step(*given: Any) -> Any:
        loss = trainer.objective(model(*given[:-1]), given[-1])
        for penalty in penalties:
            loss = loss + penalty()
        loss.backward()
        return loss

    x = sample.x if isinstance(sample.x, tuple) else (sample.x,)
    try:
        return provenance(step, *map(from_numpy, (*x, sample.y)), model=model)
    except ThalwegError:  # a step that looks at values in Python cannot be gone through operation by operation
        return None
