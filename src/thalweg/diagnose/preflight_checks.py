"""Before training: is anything wrong with data, labels, loss, weights, parameters? Can a few examples be fitted?

In: a `Trainer` and what its `fit` takes; of a run that is over its record, too. Out: a `Preflight`: checks, numbers by
layer, findings with remedies. All is done on copies: weights, optimizer, gradients and random numbers of the user stay
as they are, bit for bit.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from thalweg.diagnose.finding import Finding
from thalweg.diagnose.judge import EXPLAINS, ORDER, grouped
from thalweg.diagnose.layers import line_of, without_passages
from thalweg.diagnose.looks import Look, Sample, forward, look, settle
from thalweg.diagnose.parameters import random_numbers_kept
from thalweg.diagnose.preflight_data import check_classes, check_columns, check_finite, check_parts
from thalweg.diagnose.preflight_finite import first_bad_value, is_finite
from thalweg.diagnose.preflight_fit import rows_of
from thalweg.diagnose.preflight_result import Check, Preflight, Status
from thalweg.diagnose.preflight_setup import SetUp, read, sample_rows
from thalweg.diagnose.preflight_trials import skipped, told, try_gradients, try_small_batch
from thalweg.diagnose.record import Record
from thalweg.diagnose.rules import RULES
from thalweg.diagnose.rules.data import input_size, labels_out_of_range
from thalweg.diagnose.rules.parts import parts_share_examples
from thalweg.diagnose.rules.start import expected_loss, first_loss_is_far_off
from thalweg.diagnose.tasks import task_of
from thalweg.errors import IndexRangeError, ThalwegError
from thalweg.tensor import from_numpy

FEW = 4


def preflight(
    trainer: Any,
    data: Any,
    targets: Any = None,
    *,
    validation: Any = None,
    validation_split: float = 0.0,
    batch_size: int = 32,
    gradients: bool = False,
    fit: bool = True,
    record: Record | None = None,
    initial: Mapping[str, Any] | None = None,
    tell: Callable[[str], Any] | None = None,
) -> Preflight:
    """Look for problems before the first step.

    In this order: values that are not finite; shapes and labels against the loss and the outputs; counts of classes;
    columns and rows that repeat; examples in both parts; scale of inputs and targets; loss against output activation;
    parameters that are frozen, not used, or moved by nobody; outputs and gradients of each layer at initialisation; the
    first loss against that of guessing, and where it or a gradient is not finite, the first operation that made it,
    with its inputs and your line; whether 16 examples can be fitted; on request the gradient.

    The rules are those of a run (`tw.callbacks.Doctor`) that need no training. A run shows whether a problem hurts,
    here that is not known: what is said is what is unusual enough to be looked at first. With the `record` of a run
    whose weights the trainer has now, the network is examined as it was trained: all rules are asked that need no
    copies to be trained, and a network that does well is not blamed.

    Args:
        trainer: a `tw.Trainer`, as it would be trained.
        data, targets, validation, validation_split, batch_size: as for `Trainer.fit`. Of data that does not lie in
            arrays the first 4,096 examples are read.
        gradients: compare the gradient of every parameter with central differences (in float64, along one direction
            each). Default False.
        fit: train copies on 16 examples, before training. Default True; it is most of the time that this takes.
        record: of a run that is over, such as `Watch.record`. Default: nothing has been trained.
        initial: the `state_dict` of the network before that run. Default: how it began is not looked at.
        tell: is called with a line for each check as it is done.

    Returns:
        A `Preflight`: `.ok`, `.findings`, `.checks`, `.layers`; it prints as text and shows in a notebook.

    Raises:
        DataError: no targets, no examples, or data that can be read only once. And what the forward pass raises for
        inputs that do not fit the model.

    Labels and the small batch: thedeepchecker (Ben Braiek and Khomh 2022), "TheDeepChecker"; first loss and layers:
    Karpathy 2019, "A recipe for training neural networks"; Glorot and Bengio 2010; He et al. 2015.

    >>> import thalweg as tw
    >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    >>> model = tw.nn.Sequential(tw.nn.Linear(2, 16), tw.nn.ReLU(), tw.nn.Linear(16, 2))
    >>> trainer = tw.Trainer(model, optimizer="adam", lr=0.01, progress=False)
    >>> found = tw.diagnose.preflight(trainer, x, (x[:, 0] > 0).astype(int) + 1)
    >>> found.ok, found.findings[0].problem, found.findings[0].layer
    (False, 'label_range', '2')
    """
    training, held_out = trainer.feeds(
        data, targets, validation=validation, validation_split=validation_split, batch_size=batch_size, shuffle=False
    )
    with untouched(trainer):
        x, y = read(trainer, training)
        sample = Sample(*_picked(x, y), *((None, None) if held_out is None else read(trainer, held_out)))
        flight = _Flight(trainer, x, y, sample, batch_size, record, initial, tell or (lambda line: None))
        flight.check(gradients, fit)
    return flight.result


@contextmanager
def untouched(trainer: Any) -> Iterator[None]:
    """Random numbers and gradients of the user are afterwards what they were."""
    before = [(each, each.grad) for each in trainer.model.parameters()]
    with random_numbers_kept():
        try:
            yield
        finally:
            for parameter, gradient in before:
                parameter.grad = gradient


def _picked(x: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
    rows = sample_rows(x, y)
    return rows_of(x, rows), y[rows]


@dataclass
class _Flight:
    """The checks one after another, and what they have found so far."""

    trainer: Any
    x: Any
    y: np.ndarray
    sample: Sample
    batch_size: int
    record: Record | None
    initial: Mapping[str, Any] | None
    tell: Callable[[str], Any]
    result: Preflight = field(default_factory=Preflight)

    def check(self, gradients: bool, fit: bool) -> None:
        is_finite = self._check_values()
        outputs = self._outputs()
        run = self.run = SetUp.of(self.trainer, self.sample, self.x, self.y,
                                  task_of(self.y, math.prod(outputs[1:])), self.batch_size, self.record)  # fmt: skip
        self._check_labels(outputs, is_finite)
        is_usable = self.result.ok
        if is_usable or self.y.dtype.kind in "iu":
            self._add(*check_classes(run))
        self._add(check_columns(self.x), None)
        self._add(check_parts(run), None)
        self._look(run, is_usable)
        self._ask_rules(run)
        if run.looks:
            self._report_parameters(run)
        self._try(run, fit, gradients)
        place = {name: number for number, name in enumerate(ORDER)}
        self.result.findings = grouped(
            sorted(self.result.findings, key=lambda each: place.get(each.problem, len(ORDER)))
        )

    def _try(self, run: SetUp, fit: bool, gradients: bool) -> None:
        if run.is_trained:
            said = [skipped("small batch", "the network has been trained")]
        elif fit:
            self.result.small_batch, said = try_small_batch(self.trainer, run)
        else:
            far_off = first_loss_is_far_off(run) if run.looks else None
            said = [skipped("small batch", "not asked for"), *([told(far_off)] if far_off else [])]
        for each in said:
            self._add(*each)
        if gradients:
            self._add(*try_gradients(self.trainer, run))

    def _add(self, check: Check, found: Finding | None) -> None:
        """One finding for each problem: what is asked first knows best."""
        self.result.checks.append(check)
        self.tell(str(check))
        if found is not None and all(found.problem != each.problem for each in self.result.findings):
            self.result.findings.append(found)

    # --- data and labels ---------------------------------------------------------------------------------------------

    def _check_values(self) -> bool:
        parts = {"inputs": self.x, "targets": self.y, "validation inputs": self.sample.x_validation,
                 "validation targets": self.sample.y_validation}  # fmt: skip
        check, found = check_finite({name: each for name, each in parts.items() if each is not None})
        held_out = self.sample.y_validation
        others = "" if held_out is None else f" and {len(held_out):,} to validate on"
        self._add(replace(check, said=f"{check.said}; {len(self.y):,} examples{others}"), found)
        return found is None

    def _outputs(self) -> tuple[int, ...]:
        """The shape of the model's output for a few examples; what does not fit the model raises here."""
        model = copy.deepcopy(self.trainer.model)
        without_passages(model)
        settle(model)
        x, y = rows_of(self.x, np.arange(min(FEW, len(self.y)))), self.y[:FEW]
        self.prediction, self.first_targets = forward(model, x), y
        return tuple(self.prediction.shape)

    def _check_labels(self, outputs: tuple[int, ...], is_finite: bool) -> None:
        """What `fit` would refuse, as a finding."""
        objective, found = self.trainer.objective, labels_out_of_range(self.run)
        if found is not None:
            self._add(Check("labels", Status.PROBLEM, found.explanation), self._at_output(found))
            return
        classes = outputs[1] if len(outputs) > 1 else None
        try:
            objective.check_shapes(self.prediction, self.first_targets)
            for each in (self.y, self.sample.y_validation):
                if each is not None and is_finite:
                    objective.check_labels(each, classes)
            objective(self.prediction, from_numpy(self.first_targets))
        except ThalwegError as error:
            self._refuse(error)
            return
        shape = "x".join(map(str, self.y.shape[1:])) or "one number"
        said = f"{self.y.dtype}, {shape} for each example, as {objective.name} takes them for {classes or 1} outputs"
        self._add(Check("labels", Status.FINE, said), None)

    def _refuse(self, error: ThalwegError) -> None:
        said = " ".join(str(error).split())
        problem = "label_range" if isinstance(error, IndexRangeError) else "wrong_loss"
        self._add(Check("labels", Status.PROBLEM, said), self._at_output(Finding(problem, explanation=said)))

    def _at_output(self, found: Finding) -> Finding:
        """The finding with the module that has weights and was registered last: nobody could look at the layers."""
        modules = [(path, each) for path, each in self.trainer.model.named_modules() if "weight" in each._parameters]
        path, last = modules[-1] if modules else (None, self.trainer.model)
        return replace(found, layer=path, line=line_of(last))

    # --- layers and rules --------------------------------------------------------------------------------------------

    def _look(self, run: SetUp, is_usable: bool) -> None:
        if not is_usable:
            self._add(*skipped("layers"))
            return
        model, penalties = self.trainer.model, list(self.trainer.penalties)
        if self.initial is not None:
            as_before = copy.deepcopy((model, penalties))
            as_before[0].load_state_dict(self.initial)
            run.looks.append(look(as_before[0], self.trainer.objective, self.sample, 0, as_before[1]))
        seen = look(model, self.trainer.objective, self.sample, run.epochs_done, penalties)
        run.looks.append(seen)
        if run.is_trained:
            seen.validation_outputs = self._validated()
        result = self.result
        result.layers, result.initial_loss, result.expected_loss = seen.layers, seen.loss, expected_loss(run)
        result.input_size = math.nan if isinstance(self.x, tuple) else input_size(self.sample.x)
        self._add(self._first_loss(seen), first_bad_value(self.trainer, run))

    def _validated(self) -> np.ndarray | None:
        x = self.sample.x_validation
        return None if x is None else np.asarray(self.trainer.predict(x))

    def _first_loss(self, seen: Look) -> Check:
        """A loss three times that of guessing is worth a note: scores are far apart, or targets far from 0."""
        expected, name = self.result.expected_loss, "loss" if self.run.is_trained else "first loss"
        status = Status.NOTE if seen.loss > 3 * expected > 0 else Status.FINE
        guessing = f", guessing costs {expected:.3g}" if math.isfinite(expected) else ""
        if is_finite(self.run):
            return Check(name, status, f"{seen.loss:.3g}{guessing}")
        gradient = ", with a gradient that is not finite" if seen.is_finite else ""
        return Check(name, Status.PROBLEM, f"{seen.loss:.3g}{guessing}{gradient}")

    def _ask_rules(self, run: SetUp) -> None:
        """The rules of a run that need no training; those about layers where there is a look."""
        known = [each for each in RULES if each.before_training or run.is_trained]
        asked = known if run.looks else [parts_share_examples]
        for each in asked:
            run.is_explained = any(other.problem in EXPLAINS for other in self.result.findings)
            found = each(run)
            if found is not None and all(found.problem != other.problem for other in self.result.findings):
                self._add(*told(found))
        if run.looks and self.result.ok:
            self._add(Check("rules", Status.FINE, f"{len(asked)} rules about data, loss, parameters, layers"), None)

    def _report_parameters(self, run: SetUp) -> None:
        facts = run.parameters
        total = sum(each.entries for each in facts)
        moved = sum(each.entries for each in facts if each.is_trainable and each.is_optimised and each.gets_gradient)
        status = Status.FINE if moved == total else Status.NOTE
        self._add(Check("parameters", status, f"{moved:,} of {total:,} numbers are trained"), None)
