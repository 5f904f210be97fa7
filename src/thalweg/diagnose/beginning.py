"""The beginning of a run that is diagnosed: what is known of it before its first step.

In: a `Trainer` whose `fit` has just begun. Out: a `Run` with the first look, examples in memory, and all that copies of
the run start from; None for data that cannot be read twice, and for models of several inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from thalweg.diagnose.looks import DROPOUTS, Look, Looker, Sample
from thalweg.diagnose.preflight_setup import read, sample_rows
from thalweg.diagnose.probes import Copies
from thalweg.diagnose.record import Record
from thalweg.diagnose.run import Run
from thalweg.diagnose.tasks import task_of

MOST_EXAMPLES, MOST_VALIDATED = 1 << 14, 1 << 11
"""So many examples stand for the training part and for the validation part where these are larger."""
FEW_READ, MANY_READ = 256, 4096
"""Of data that has to be read, such as pictures in files: for looks alone, and where copies may be trained."""
FEW_EPOCHS = 4
"""Runs so short are looked at too seldom for a program to pay; images and texts are too much for NumPy."""
Validated = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Outputs in evaluation mode for inputs, which come with their targets."""


def begin(trainer: Any, validated: Validated, may_probe: bool = True, callbacks: Any = ()) -> Run | None:
    """The run, with its first look taken; `callbacks` are those that copies of it are trained with."""
    plan = trainer.state.plan
    if plan is None or plan.training.reads_once:
        return None
    count = MANY_READ if may_probe else FEW_READ
    x, y = read(trainer, plan.training, MOST_EXAMPLES, count)
    if isinstance(x, tuple):
        return None
    rows = sample_rows(x, y)
    sample = Sample(x[rows], y[rows])
    if plan.validation is not None and not plan.validation.reads_once:
        x_validation, y_validation = read(trainer, plan.validation, MOST_VALIDATED, count)
        if not isinstance(x_validation, tuple) and x_validation.shape[1:] == x.shape[1:]:  # sequences may be padded to
            sample.x_validation, sample.y_validation = x_validation, y_validation  # different lengths
    is_much = x.ndim > 2 or x.dtype.kind in "iu"
    compiles = trainer.steps.is_compiled and (is_much or plan.epochs - plan.initial_epoch > FEW_EPOCHS)
    looker = Looker(trainer.model, trainer.objective, sample, trainer.penalties, compiles)
    first = looker.look(0)
    batch_size = plan.training.loader.batch_size if plan.training.loader is not None else _size_of_batch(plan, len(y))
    run = Run(
        trainer.objective, trainer.optimizer, trainer.penalties, task_of(y, first.outputs[0].size), sample, x, y,
        plan.epochs - plan.initial_epoch, batch_size, Record(), looker=looker, may_probe=may_probe,
    )  # fmt: skip
    add_look(run, validated, first)
    run.strongest_dropout = max((each.p for each in trainer.model.modules() if isinstance(each, DROPOUTS)), default=0.0)
    start = {name: np.array(value.numpy()) for name, value in trainer.model.state_dict().items()}
    cost = sum(each.cost for each in first.layers)
    run.copies = Copies(trainer, start, x, y, batch_size, callbacks, cost, plan.training)
    return run


def look_again(run: Run, validated: Validated, epoch: int) -> None:
    """Add a look at the network as it is now; one of the same epoch is replaced."""
    assert run.looker is not None
    if run.looks[-1].epoch == epoch:
        run.looks.pop()
    add_look(run, validated, run.looker.look(epoch))


def add_look(run: Run, validated: Validated, seen: Look) -> None:
    """With the outputs for the validation part."""
    x, y = run.sample.x_validation, run.sample.y_validation
    if x is not None and y is not None:
        seen.validation_outputs = validated(x, y)
    run.looks.append(seen)


def _size_of_batch(plan: Any, examples: int) -> int:
    """Of data that brings batches of its own, by how many there are; 32 where that is not known."""
    known = plan.training.batches, plan.training.examples
    return max(1, -(-known[1] // known[0])) if all(known) else min(32, examples)
