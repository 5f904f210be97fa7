"""Updates one after the other: from the arrays of some batches to the numbers of each step.

In: a trainer, and the fields of a batch (inputs, targets, weights) as arrays that hold so many batches side by side.
Out: parameters so many steps further, the numbers of each step, the predictions for the metrics.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from thalweg.errors import explain
from thalweg.tensor import Tensor, from_numpy
from thalweg.train.guarding import count_skipped, is_last
from thalweg.train.learning_rate import learning_rate
from thalweg.train.state import StepNumbers, TrainingState
from thalweg.train.steps import Form, Outcome


def advance(trainer: Any, form: Form, tensors: Sequence[Tensor], numbers: StepNumbers) -> np.ndarray:
    """One update; its numbers go into `numbers`, its loss and the like on the blackboard. Returns the prediction."""
    state = trainer.state
    _settle(trainer, trainer.steps(form, tensors))
    numbers.add(float(state.loss.item()), state.learning_rate, state.watched)
    count_skipped(trainer, numbers, 1)
    if not trainer.is_guarded and not math.isfinite(numbers.loss[-1]):
        _warn_of_infinity(state)
    return state.prediction._array()  # type: ignore[no-any-return]


def advance_many(
    trainer: Any, form: Form, fields: Sequence[np.ndarray], order: np.ndarray, size: int
) -> tuple[StepNumbers, np.ndarray]:
    """The same with one batch of `size` rows after the other: rows `order` of the fields, as many as there are.

    A loss that is not finite is the last. The state afterwards is that of the last step; the predictions follow each
    other, and are empty if no metric wants them. Steps that one native call can do are done in one, with the same bits
    as one by one.
    """
    state, predictions = trainer.state, list[np.ndarray]()
    numbers, count = StepNumbers(state.step, state.epoch), len(order) // size
    while len(numbers) < count:
        if len(numbers):
            state.count_step()
        rest = order[len(numbers) * size :]
        prediction = _advance_natively(trainer, form, fields, rest, size, numbers)
        if prediction is None:
            tensors = [from_numpy(each.take(rest[:size], axis=0)) for each in fields]
            prediction = advance(trainer, form, tensors, numbers)
        if trainer.metrics:
            predictions.append(prediction)
        if is_last(trainer, numbers):
            break
    last = order[(len(numbers) - 1) * size :][:size]
    state.inputs, state.targets, state.weights = form.batch([from_numpy(each.take(last, axis=0)) for each in fields])
    return numbers, np.concatenate(predictions) if predictions else np.empty(0)


_PREDICTION = 1  # the place of the prediction in what a whole step returns
MOST_WATCHED = 4096
"""Numbers of one watched vector that are kept for every step; of a larger one, those of the last step."""


def _advance_natively(
    trainer: Any, form: Form, fields: Sequence[np.ndarray], order: np.ndarray, size: int, numbers: StepNumbers
) -> np.ndarray | None:
    """As many steps as one native call can do; None if that is none. Returns their predictions, if wanted."""
    state, steps = trainer.state, trainer.steps
    if not steps.is_compiled:
        return None
    step = steps.whole(form)
    found = step.many(fields, order, size, _wanted_with(trainer.metrics))
    if found is None:
        return None
    done, (losses, prediction, watched) = found
    steps.was_skipped = step.skipped_in_a_row > 0
    count_skipped(trainer, numbers, done)
    state.step, state.batch = state.step + done - 1, state.batch + done - 1
    _settle(trainer, Outcome(_last(losses), _last(prediction), _last(watched)))
    rates = watched.get("learning_rate")
    numbers.loss += losses.tolist()
    numbers.learning_rate += [state.learning_rate] * done if rates is None else rates.tolist()
    for name in state.watched:
        values = watched[name]
        if isinstance(values, np.ndarray) and values.size == done:
            numbers.watched.setdefault(name, []).extend(values.reshape(done).tolist())
        elif isinstance(values, np.ndarray):
            numbers.vectors.setdefault(name, []).extend(values.reshape(done, -1))
    if not trainer.is_guarded and not math.isfinite(numbers.loss[-1]):
        _warn_of_infinity(state)
    return prediction.reshape(-1, *prediction.shape[2:]) if trainer.metrics else np.empty(0)


def _wanted_with(metrics: Any) -> Callable[[int, int], bool]:
    """Which results of a whole step are wanted of every one: numbers, watched vectors, and predictions for metrics."""

    def is_wanted(position: int, size: int) -> bool:
        if size == 1 or position == _PREDICTION:
            return size == 1 or bool(metrics)
        return position > _PREDICTION and size <= MOST_WATCHED

    return is_wanted


def _last(value: Any) -> Any:
    """The values of the last step, as tensors."""
    if isinstance(value, dict):
        return {name: _last(each) for name, each in value.items()}
    return from_numpy(np.array(value[-1])) if isinstance(value, np.ndarray) else value


def _settle(trainer: Any, outcome: Outcome) -> None:
    """The values of a step as plain tensors, so that its graph can go."""
    state = trainer.state
    state.loss, state.prediction = _known(outcome.loss), _known(outcome.prediction)
    state.watched = {name: _known(value) for name, value in outcome.watched.items()}
    rate = state.watched.pop("learning_rate", None)
    state.learning_rate = learning_rate(trainer.optimizer) if rate is None else float(rate.item())


def _known(tensor: Tensor) -> Tensor:
    """The value as a plain tensor without history."""
    array, node = tensor._array(), tensor._node
    is_plain = tensor._base is None and not node.inputs and not tensor._requires_grad
    return tensor if is_plain else from_numpy(array)


def _warn_of_infinity(state: TrainingState) -> None:
    if state.has_warned or state.loss is None:
        return
    state.has_warned = True
    message = explain(
        f"the loss became {state.loss.item()}",
        where=f"epoch {state.epoch + 1}, batch {state.batch + 1} (step {state.step})",
        remedy="lower the learning rate, clip the gradients (clip_norm=1.0), or stop with callbacks=[TerminateOnNaN()]",
    )
    warnings.warn(message, RuntimeWarning, stacklevel=5)
