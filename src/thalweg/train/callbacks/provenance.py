"""`Provenance`: at the first loss that is not finite, which operation made the first NaN or infinity.

In: a copy of the state at the beginning of each epoch, and the step that failed.
Out: the operation with its inputs, layer and source line; as text, and as a finding.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from thalweg.diagnose.finding import Finding
from thalweg.diagnose.provenance import Birth, provenance
from thalweg.errors import TraceError
from thalweg.tensor import Tensor, from_numpy
from thalweg.train.callbacks.base import Callback, Priority
from thalweg.train.callbacks.listeners import Listeners
from thalweg.train.snapshot import Snapshot


class Provenance(Callback):
    """Find the operation that made the first NaN, when the loss has become one.

    A run is a function of its seed, so the epoch is gone through once more up to the step before the one that failed,
    and from there on operation by operation. Until then it costs one copy of weights and optimizer state an epoch. What
    callbacks do to gradients in Python is not repeated.

    Args:
        stop: end the run there. Default True.

    Attributes:
        birth: the `tw.diagnose.provenance.Birth`, or None.
        finding: the same as a finding of the problem ``non_finite``.

    >>> Provenance()
    Provenance(stop=True)
    """

    priority = Priority.DECIDE
    adds_logs = False

    def __init__(self, stop: bool = True) -> None:
        self.stop = stop
        self.birth: Birth | None = None
        self.finding: Finding | None = None
        self._start: Snapshot | None = None

    def on_fit_begin(self, trainer: Any) -> None:
        self.birth = self.finding = self._start = None

    def on_epoch_begin(self, trainer: Any) -> None:
        self._start = Snapshot(trainer) if self.birth is None else None

    def on_resume(self, trainer: Any) -> None:
        self._start = Snapshot(trainer)  # in the middle of an epoch there is no other beginning

    def on_slice_end(self, trainer: Any) -> None:
        state = trainer.state
        if self.birth is not None or self._start is None or math.isfinite(state.slice.loss[-1]):
            return
        with set_back(trainer, self._start):
            found = _replayed(trainer, state.batch, self._start.batch)
        if found is None:
            return
        self.birth, batch = found
        step = state.step - state.batch + batch
        self.finding = self.birth.to_finding(step, state.epoch)
        warnings.warn(f"step {step}: {self.birth}: {self.birth.cause}", RuntimeWarning, stacklevel=2)
        if self.stop:
            trainer.stop(f"a value that is not finite was made at step {step}")

    def __repr__(self) -> str:
        return f"Provenance(stop={self.stop})"


@contextmanager
def set_back(trainer: Any, start: Snapshot) -> Iterator[None]:
    """The trainer as it was then, with nobody listening; afterwards as it is now."""
    now, listeners, board = Snapshot(trainer), trainer.listeners, dict(vars(trainer.state))
    trainer.listeners = Listeners([])
    start.put_back(trainer)
    try:
        yield
    finally:
        now.put_back(trainer)
        trainer.listeners = listeners
        vars(trainer.state).update(board)


def _replayed(trainer: Any, failed: int, start: int) -> tuple[Birth, int] | None:
    """What went wrong, and in which batch: that of the bad loss, or the one before, whose update was already bad."""
    plan = trainer.state.plan
    if plan is None or plan.training.reads_once:
        return None
    batches = plan.training.epoch(plan.first_order + trainer.state.epoch, start)
    for number, batch in enumerate(batches, start):
        if number > failed:
            break
        form, fields = trainer.fields(batch, plan)
        tensors = [from_numpy(each) for each in fields]
        birth = birth_in(trainer, form, tensors) if number >= failed - 1 else None
        if birth is not None:
            return birth, number
        trainer.steps(form, tensors)
        trainer.state.step += 1
    return None


def birth_in(trainer: Any, form: Any, tensors: list[Tensor]) -> Birth | None:
    def step(*given: Tensor) -> Any:
        return trainer.train_step(*form.batch(given))

    try:
        return provenance(step, *tensors, model=trainer.model)
    except TraceError:  # a step that looks at values in Python cannot be gone through operation by operation
        return None
