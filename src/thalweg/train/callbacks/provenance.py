"""`Provenance`: at the first loss that is not finite, which operation made the first NaN or infinity.

In: a copy of the state at the beginning of each epoch, and the step that failed.
Out: the operation with its inputs, layer and source line; as text, and as a finding.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from thalweg.diagnose.finding import Finding
from thalweg.diagnose.provenance import Birth, provenance
from thalweg.errors import TraceError
from thalweg.tensor import Tensor, from_numpy
from thalweg.tensor.random import default_generator
from thalweg.train.callbacks.base import Callback, Priority
from thalweg.train.callbacks.listeners import Listeners
from thalweg.train.weights import copy_state


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
        self._start: _State | None = None

    def on_fit_begin(self, trainer: Any) -> None:
        self.birth = self.finding = self._start = None

    def on_epoch_begin(self, trainer: Any) -> None:
        self._start = _State(trainer) if self.birth is None else None

    def on_slice_end(self, trainer: Any) -> None:
        state = trainer.state
        if self.birth is not None or self._start is None or math.isfinite(state.slice.loss[-1]):
            return
        with _set_back(trainer, self._start):
            found = _replayed(trainer, state.batch)
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


class _State:
    """Everything that a step depends on besides its batch, as copies."""

    def __init__(self, trainer: Any) -> None:
        self.weights = copy_state(trainer.model)
        self.optimizer = copy.deepcopy(trainer.optimizer.state_dict())
        self.random = default_generator.get_state()
        self.step = trainer.state.step

    def put_back(self, trainer: Any) -> None:
        trainer.model.load_state_dict(self.weights)
        trainer.optimizer.load_state_dict(self.optimizer)
        default_generator.set_state(self.random)
        trainer.optimizer.zero_grad()
        trainer.state.step = self.step


@contextmanager
def _set_back(trainer: Any, start: _State) -> Iterator[None]:
    """The trainer as it was then, with nobody listening; afterwards as it is now."""
    now, listeners, board = _State(trainer), trainer.listeners, dict(vars(trainer.state))
    trainer.listeners = Listeners([])
    start.put_back(trainer)
    try:
        yield
    finally:
        now.put_back(trainer)
        trainer.listeners = listeners
        vars(trainer.state).update(board)


def _replayed(trainer: Any, failed: int) -> tuple[Birth, int] | None:
    """What went wrong, and in which batch: that of the bad loss, or the one before, whose update was already bad."""
    plan = trainer.state.plan
    if plan is None or plan.training.reads_once:
        return None
    for number, batch in enumerate(plan.training.epoch(plan.first_order + trainer.state.epoch)):
        if number > failed:
            break
        form, fields = trainer.fields(batch, plan)
        tensors = [from_numpy(each) for each in fields]
        birth = _birth_in(trainer, form, tensors) if number >= failed - 1 else None
        if birth is not None:
            return birth, number
        trainer.steps(form, tensors)
        trainer.state.step += 1
    return None


def _birth_in(trainer: Any, form: Any, tensors: list[Tensor]) -> Birth | None:
    def step(*given: Tensor) -> Any:
        return trainer.train_step(*form.batch(given))

    try:
        return provenance(step, *tensors, model=trainer.model)
    except TraceError:  # a step that looks at values in Python cannot be gone through operation by operation
        return None
