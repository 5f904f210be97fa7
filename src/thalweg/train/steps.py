"""How an update is run: as one compiled program, as two with Python in between, or operation by operation.

In: a trainer and the tensors of a batch. Out: the loss, the prediction and what is watched, with every parameter a step
further. A step is compiled unless it cannot be: then one line says why, and training goes on without.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from thalweg.compile.memory_use import MemoryUse
from thalweg.errors import TraceError
from thalweg.optim.optimizer import Optimizer
from thalweg.optim.updates import is_pure
from thalweg.tensor import Tensor, from_numpy, lazy, no_grad
from thalweg.tensor.holding import Version
from thalweg.tensor.modes import modes
from thalweg.tensor.random import default_generator
from thalweg.tensor.trace import Step, user_line
from thalweg.train.callbacks.base import Callback
from thalweg.train.callbacks.listeners import fire
from thalweg.train.frozen import PlainValues, first_change, plain_values
from thalweg.train.modes import evaluating


class Form(NamedTuple):
    """What the tensors of a batch are, side by side: inputs, and targets and weights if there are any."""

    inputs: int | None
    """Of how many tensors the model's inputs consist, where it takes several."""
    is_weighted: bool
    is_labelled: bool = True

    def batch(self, tensors: Sequence[Any]) -> tuple[Any, Any, Any]:
        """(inputs, targets, weights)."""
        count = 1 if self.inputs is None else self.inputs
        inputs = tensors[0] if self.inputs is None else tuple(tensors[:count])
        targets = tensors[count] if self.is_labelled else None
        return inputs, targets, tensors[count + 1] if self.is_weighted else None

    def weights(self, fields: Sequence[Any]) -> Any:
        return fields[-1] if self.is_weighted else None


def side_by_side(x: Any, y: Any, weight: Any) -> tuple[Form, list[Any]]:
    """The parts of a batch in a row, as a compiled step is called with them; arrays or tensors."""
    tensors = [*(x if isinstance(x, tuple) else (x,)), *(each for each in (y, weight) if each is not None)]
    return Form(len(x) if isinstance(x, tuple) else None, weight is not None, y is not None), tensors


class Outcome(NamedTuple):
    """What a step gives besides the update."""

    loss: Tensor
    prediction: Tensor
    watched: dict[str, Tensor]


_MOST_CHANGES = 8  # of numbers that a program holds, between steps: each costs as much as hundreds of steps
_MOST_SIZES = 8  # of batches to be evaluated that have a program of their own


class NotTraceable(Exception):
    """A step that cannot be compiled; nothing was changed by trying."""


class Steps:
    """The steps of one trainer: a program for each set of callbacks that are part of it.

    Three ways, chosen anew for every step: the whole update as one program; two programs, gradients and update, where a
    callback runs as Python in between; and without any, where the step cannot be traced, in eager mode (THALWEG_EAGER)
    and under `detect_anomaly`.
    """

    def __init__(self, trainer: Any, compile: bool) -> None:
        self.trainer = trainer
        self.compiles = compile
        self._programs: dict[tuple[Hashable, ...], tuple[Step, Sequence[Callback]]] = {}
        self._side_effect: str | None = None
        self._frozen: PlainValues = {}
        self._changes = 0
        self.was_skipped = False
        """Whether the update of the last step was left out, since a value was not finite."""
        self._last_test = (-1, -1)  # the versions of what compiled steps depend on: inside an evaluation, and after it

    @property
    def is_compiled(self) -> bool:
        return self.compiles and not (lazy.eager or modes.anomaly)

    def __call__(self, form: Form, tensors: Sequence[Tensor]) -> Outcome:
        """One update with this batch."""
        trainer = self.trainer
        if self.is_compiled:
            try:
                if trainer.listeners.cut_the_step(trainer.state.step):
                    return self._in_two(form, tensors)
                return Outcome(*self._call(self.whole(form), tensors))
            except NotTraceable:
                pass
        loss, prediction = self._guarded(form, tensors)
        return Outcome(loss, prediction, trainer.state.watched)

    def _guarded(self, form: Form, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """A step that is not compiled; if it must be left out, what its forward pass wrote is put back."""
        trainer, self.was_skipped = self.trainer, False
        if not trainer.is_guarded:
            return trainer.train_step(*form.batch(tensors))  # type: ignore[no-any-return]
        buffers, random = [(each, each.clone()) for each in trainer.model.buffers()], default_generator.get_state()
        results: tuple[Tensor, Tensor] = trainer.train_step(*form.batch(tensors))
        if self.was_skipped:
            default_generator.set_state(random)
            with no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
        return results

    # --- without an update -------------------------------------------------------------------------------------------

    def test(self, form: Form, tensors: Sequence[Tensor]) -> tuple[Tensor | None, Tensor]:
        """Loss, if there are targets, and prediction."""

        def test_step(*tensors: Tensor) -> tuple[Tensor, ...]:
            x, y, weight = form.batch(tensors)
            return self.trainer.test_step(x, y, weight) if form.is_labelled else (self.trainer.forward(x),)

        key = self._test_key(form, len(tensors[0]))
        if self.is_compiled and key is not None:
            try:
                results = self._call(self._program(key, test_step), tensors)
                return results[0] if form.is_labelled else None, results[-1]
            except NotTraceable:
                pass
        results = test_step(*tensors)
        lazy.compute([each.node for each in results])
        return results[0] if form.is_labelled else None, results[-1]

    def test_many(
        self, form: Form, fields: Sequence[np.ndarray], order: np.ndarray, size: int, collects: bool
    ) -> tuple[int, list[float], np.ndarray] | None:
        """As many of these batches as one native call can do, None if that is none: how many, losses, outputs."""
        program, _ = self._programs.get(("test", form, size), (None, ()))
        if program is None or not self.is_compiled:
            return None
        prediction = int(form.is_labelled)
        found = program.many(
            fields, order, size, lambda at, numbers: numbers == 1 or (collects and at == prediction), watches=False
        )
        if found is None:
            return None
        done, results = found
        losses = results[0].tolist() if form.is_labelled else []
        rows = results[-1].reshape(-1, *results[-1].shape[2:]) if collects else np.empty(0)
        return done, losses, rows

    def _test_key(self, form: Form, size: int) -> tuple[Hashable, ...] | None:
        """A program for each size, so that full batches and a short last one both stay ready for the next time.

        None, not compiled, for outputs alone of a ninth size: they are asked for by any number of rows.
        """
        key = ("test", form, size)
        sizes = sum(each[:2] == key[:2] for each in self._programs)
        if key in self._programs or sizes < _MOST_SIZES:
            return key
        return key[:2] if form.is_labelled else None

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode without recording gradients; afterwards every module is in the mode that it was in.

        A change of mode makes compiled steps compile again, since anything else may change with it. If nothing has,
        the programs of before hold again.
        """
        before, flips = Version.number, sum(each.training for each in self.trainer.model.modules())
        with evaluating(self.trainer.model):
            inside = Version.number
            is_plain = inside == before + flips
            if is_plain and self._last_test[1] == before:
                self._vouch(self._last_test[0])
            yield
            is_plain = is_plain and Version.number == inside
        if is_plain and Version.number == inside + flips:
            self._last_test = inside, Version.number
            self._vouch(before)

    def _vouch(self, version: int) -> None:
        for program, _ in self._programs.values():
            program.vouch(version)

    # --- the programs ------------------------------------------------------------------------------------------------

    def whole(self, form: Form) -> Step:
        """The program of this step and its update, with the callbacks that are part of it; it returns an `Outcome`."""
        trainer, step = self.trainer, self.trainer.state.step
        due = trainer.listeners.traced(step)
        keeps = trainer.listeners.look_at_the_step(step)  # who is called after the step may ask for its gradients

        def training_step(*tensors: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
            loss, prediction = trainer.train_step(*form.batch(tensors))
            return loss, prediction, trainer.state.watched

        return self._program(("whole", form, keeps, *map(id, due)), training_step, due, keeps)

    def memory(self, form: Form, fields: Sequence[np.ndarray]) -> MemoryUse:
        """What a whole step with such a batch needs."""
        found = self.whole(form).memory(*map(from_numpy, fields))
        self._side_effect = None  # the Python of the step has run, but not for a step
        return found

    def _in_two(self, form: Form, tensors: Sequence[Tensor]) -> Outcome:
        """Gradients, then callbacks that are not traced, with values that are known, then the update."""
        trainer, state = self.trainer, self.trainer.state
        state.loss, state.prediction, state.watched = self._call(self._gradients(form), tensors)
        for event in ("loss", "gradients"):
            fire(event, trainer, [each for each in trainer.listeners[event] if not each.traced])
        if trainer.is_guarded and not math.isfinite(state.loss.item()):
            self.was_skipped = True
        else:
            self._update()
        return Outcome(state.loss, state.prediction, state.watched)

    def _gradients(self, form: Form) -> Step:
        trainer = self.trainer
        due = trainer.listeners.traced(trainer.state.step)

        def gradients(*tensors: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
            loss, prediction = trainer.compute_gradients(*form.batch(tensors))
            return loss, prediction, trainer.state.watched

        return self._program(("gradients", form, *map(id, due)), gradients, due, keep_gradients=True)

    def _update(self) -> None:
        """Clipping and update by a program that takes the gradients, which a callback may have replaced."""
        trainer, state = self.trainer, self.trainer.state
        due, before = trainer.listeners.traced(state.step), state.watched
        parameters = list(_unique([*trainer.model.parameters(), *_optimized(trainer.optimizer)]))
        gradients = [each.grad for each in parameters]
        presence = tuple([each is not None for each in gradients])

        def update(*given: Tensor) -> dict[str, Tensor]:
            rest = iter(given)
            for parameter, is_there in zip(parameters, presence, strict=True):
                parameter.grad = next(rest) if is_there else None
            trainer.state.watched = watched = dict[str, Tensor]()  # the program outlives the run whose state this is
            trainer.update()
            return watched

        given = [each for each in gradients if each is not None]
        try:
            state.watched = before | self._call(self._program(("update", presence, *map(id, due)), update, due), given)
        except NotTraceable:
            state.watched = before
            trainer.update()
        else:
            fire("weights", trainer, [each for each in trainer.listeners["weights"] if not each.traced])

    def _program(
        self,
        key: tuple[Hashable, ...],
        function: Callable[..., Any],
        due: Sequence[Callback] = (),
        keep_gradients: bool = False,
    ) -> Step:
        found = self._programs.get(key)
        if found is None:
            watched = self._watching(function, due)
            policy = "tell" if self.trainer.is_guarded else None
            found = self._programs[key] = Step(watched, keep_gradients, policy, self.trainer.recompute), due
        return found[0]

    def forget(self, callbacks: Sequence[Callback]) -> None:
        """Drop the programs that other callbacks than these are part of."""
        known = {id(each) for each in callbacks}
        self._programs = {
            key: (program, due) for key, (program, due) in self._programs.items() if known.issuperset(map(id, due))
        }

    # --- what cannot be compiled -------------------------------------------------------------------------------------

    def _call(self, program: Step, tensors: Sequence[Tensor]) -> Any:
        try:
            results = program(*tensors)
        except TraceError as error:
            self._give_up(_reason(error))
            raise NotTraceable from error
        self.was_skipped = program.skipped_in_a_row > 0
        if self._side_effect is not None:  # the Python has run once, as it should have: the next step does it again
            self._give_up(self._side_effect)
        return results

    def _watching(self, function: Callable[..., Any], due: Sequence[Callback]) -> Callable[..., Any]:
        """The function, and a look at whether it counted something in Python, which a program would not go on doing."""

        def watched(*tensors: Tensor) -> Any:
            objects = [*self._traced_objects(), *due]
            before = plain_values(objects)
            result = function(*tensors)
            changed = first_change(before, plain_values(objects))
            if changed is not None:
                self._side_effect = f"{changed} changes in Python from step to step. Keep it in a tensor"
            self._frozen = plain_values(self._traced_objects())
            return result

        watched.__name__ = function.__name__
        return watched

    def _traced_objects(self) -> list[Any]:
        """What may hold numbers in Python; the library's own optimizers keep theirs in tensors."""
        optimizer = self.trainer.optimizer
        own = [] if isinstance(optimizer, Optimizer) and is_pure(optimizer) else [optimizer]
        return [*own, self.trainer.objective.loss, *self.trainer.penalties]

    def look_again(self, between_steps: bool = False) -> None:
        """Trace anew if a number that loss, penalties or optimizer hold in Python is another than it was."""
        if not self._programs:
            return
        changed = first_change(self._frozen, plain_values(self._traced_objects()))
        if changed is None:
            return
        self._programs.clear()
        self._changes += between_steps
        if self._changes == _MOST_CHANGES:
            self._give_up(f"{changed} changes in Python from step to step. Keep it in a tensor")

    def _give_up(self, reason: str) -> None:
        self.compiles = False
        self._programs.clear()
        self._side_effect = None
        file, _, line = user_line().rpartition(":")
        message = f"the training step is not compiled: {reason}; or pass compile=False to Trainer, if it is meant"
        warnings.warn_explicit(message, RuntimeWarning, file, int(line))


def _optimized(optimizer: Any) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _unique(tensors: Iterable[Tensor]) -> Iterable[Tensor]:
    return {id(each): each for each in tensors}.values()


def _reason(error: TraceError) -> str:
    """The error in one line: what, where, in which callback, and the remedy."""
    problem, *rest = str(error).splitlines()
    parts = dict(line.strip().split(":", 1) for line in rest if ":" in line)
    where = [f"at {parts['where'].strip()}"] if "where" in parts else []
    remedy = parts.get("remedy", "leave that out of the step").strip()
    return ", ".join([problem, *where, *getattr(error, "__notes__", [])]) + f". {remedy[0].upper()}{remedy[1:]}"
