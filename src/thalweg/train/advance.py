"""Updates one after the other: from the arrays of some batches to the numbers of each step.

In: a trainer, and the fields of a batch (inputs, targets, weights) as arrays that hold so many batches side by side.
Out: parameters so many steps further, the numbers of each step, the predictions for the metrics.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from thalweg.errors import explain
from thalweg.tensor import Tensor, from_numpy
from thalweg.train.learning_rate import learning_rate
from thalweg.train.state import StepNumbers, TrainingState
from thalweg.train.steps import Form, Outcome


def advance(trainer: Any, form: Form, tensors: Sequence[Tensor], numbers: StepNumbers) -> np.ndarray:
    """One update; its numbers go into `numbers`, its loss and the like on the blackboard. Returns the prediction."""
    state = trainer.state
    _settle(trainer, trainer.steps(form, tensors))
    numbers.add(float(state.loss.item()), state.learning_rate, state.watched)
    if not math.isfinite(numbers.loss[-1]):
        _warn_of_infinity(state)
    return state.prediction._array()  # type: ignore[no-any-return]


def advance_many(trainer: Any, form: Form, fields: Sequence[np.ndarray], count: int) -> tuple[StepNumbers, np.ndarray]:
    """The same with `count` batches of equal size, or fewer: a loss that is not finite is the last.

    The state afterwards is that of the last step; the predictions follow each other, and are empty if no metric wants
    them. This loop is the meaning of a slice: whoever runs the steps another way has to leave the same bits.
    """
    state = trainer.state
    numbers = StepNumbers(state.step, state.epoch)
    size, predictions = len(fields[0]) // count, []
    for index in range(count):
        if index:
            state.count_step()
        rows = slice(index * size, (index + 1) * size)
        tensors = [from_numpy(each if count == 1 else each[rows]) for each in fields]
        prediction = advance(trainer, form, tensors, numbers)
        if trainer.metrics:
            predictions.append(prediction)
        if not math.isfinite(numbers.loss[-1]):
            break
    state.inputs, state.targets, state.weights = form.batch(tensors)
    return numbers, np.concatenate(predictions) if predictions else np.empty(0)


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
