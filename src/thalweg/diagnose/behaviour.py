"""What a loss function does, found by trying it: so that rules work for any loss, by whatever name.

In: a loss (prediction, target) -> scalar, a task, the bounds of the last activation. Out: a `Behaviour`: whether it
cares which target belongs to which prediction, whether the targets themselves are its best prediction, what the bounds
of the output leave of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.diagnose.tasks import Kind, Task
from thalweg.tensor import Tensor, from_numpy, no_grad

FAR = 30.0
"""A score so far out that its softmax or sigmoid is 0 or 1 in float32."""


@dataclass(frozen=True)
class Behaviour:
    """Facts about a loss on the targets of a run."""

    guessing: float
    """Loss of the best constant output that was tried."""
    pairs_matter: bool = True
    """False: shuffling the targets among the examples changes nothing, as where shapes broadcast."""
    better_than_targets: float = 0.0
    """For numbers: how much lower the loss of some shifted prediction is than that of the targets, over guessing's."""
    has_floor: bool = True
    """False: for classes, outputs that grow without end lower the loss without end."""
    is_squared_error: bool = False
    """For classes: the gradient is proportional to prediction − target, as of squared or similar errors."""
    is_flat_when_wrong: bool = False
    """For classes: no gradient where a wrong output lies outside [0, 1], as of losses that take probabilities."""
    left_over: float = 0.0
    """What the best outputs that the last activation can give leave of the loss of guessing."""


def behaviour(
    loss: Callable[[Any, Any], Any], task: Task, targets: np.ndarray, bounds: tuple[float, float]
) -> Behaviour:
    """Try the loss on made-up outputs for these targets.

    >>> import numpy as np
    >>> from thalweg import nn
    >>> from thalweg.diagnose.tasks import task_of
    >>> y = np.array([[0.1], [0.9], [-0.7]], np.float32)
    >>> round(behaviour(nn.MSELoss(), task_of(y, 1), y, (0.0, 1.0)).left_over, 2)
    0.38
    """
    trial = _Trial(loss, task, targets)
    if task.kind is Kind.OTHER:
        return Behaviour(math.nan)
    guessing = trial.guessing()
    return Behaviour(
        guessing, trial.pairs_matter(), left_over=trial.left_over(bounds, guessing),
        better_than_targets=0.0 if task.has_classes else trial.better_than_targets(guessing),
        has_floor=not task.has_classes or trial.has_floor(),
        is_squared_error=task.has_classes and trial.is_squared_error(),
        is_flat_when_wrong=task.has_classes and trial.is_flat_when_wrong(),
    )  # fmt: skip


class _Trial:
    """A loss, targets as it takes them, and outputs made of them."""

    def __init__(self, loss: Callable[[Any, Any], Any], task: Task, targets: np.ndarray) -> None:
        self.call, self.task, self.targets = loss, task, targets
        labels = task.read(targets)
        if task.kind is Kind.CLASSES:
            self.right = (labels[:, None] == np.arange(task.outputs)).astype(np.float32)
        elif task.kind is Kind.BINARY:
            self.right = labels[:, None].astype(np.float32)
        else:
            self.right = labels.astype(np.float32)
        self.random = np.random.default_rng(0)

    def value(self, outputs: np.ndarray, targets: np.ndarray | None = None) -> float:
        with no_grad(), np.errstate(all="ignore"):
            shown = self.targets if targets is None else targets
            return float(self.call(from_numpy(outputs.astype(np.float32)), from_numpy(shown)).item())

    def gradient(self, outputs: np.ndarray) -> np.ndarray:
        given = Tensor(outputs.astype(np.float32))
        given.requires_grad_(True)
        self.call(given, from_numpy(self.targets)).backward()
        assert given.grad is not None
        return np.asarray(given.grad.numpy())

    def guessing(self) -> float:
        """Constants: the mean, shares as probabilities, shares as scores, the middle."""
        mean = self.right.mean(0, keepdims=True)
        candidates = [mean, np.median(self.right, axis=0, keepdims=True), np.zeros_like(mean)]
        if self.task.has_classes:
            share = mean.clip(1e-6, 1 - 1e-6)
            candidates += [np.log(share / (1 - share)) if self.task.kind is Kind.BINARY else np.log(share)]
        values = [self.value(np.repeat(each, len(self.right), 0)) for each in candidates]
        return min((each for each in values if math.isfinite(each)), default=math.nan)

    def pairs_matter(self) -> bool:
        """Random outputs, in (0, 1) for classes and of the targets' size for numbers, against shuffled targets."""
        if self.task.has_classes:
            outputs = self.random.uniform(0.05, 0.95, self.right.shape)
        else:
            outputs = self.right.mean() + self.right.std() * self.random.normal(size=self.right.shape)
        order = self.random.permutation(len(self.right))
        one, other = self.value(outputs), self.value(outputs, self.targets[order])
        varies = len(np.unique(self.right, axis=0)) > 1
        return not varies or abs(one - other) > 1e-5 * (abs(one) + abs(other))

    def better_than_targets(self, guessing: float) -> float:
        """Over shifts by a quarter, one and three spreads up and down."""
        spread = float(self.right.std()) or 1.0
        at_targets = self.value(self.right)
        others = [self.value(self.right + sign * by * spread) for sign in (-1, 1) for by in (0.25, 1.0, 3.0)]
        best = min((each for each in others if math.isfinite(each)), default=at_targets)
        return max(0.0, at_targets - best) / max(abs(guessing), abs(at_targets), 1e-30)

    def has_floor(self) -> bool:
        """Scores of 10, 100 and 1000 with either sign pattern; without floor the loss falls as they grow."""
        for pattern in (2 * self.right - 1, 1 - 2 * self.right, np.ones_like(self.right), -np.ones_like(self.right)):
            small, large = self.value(100 * pattern), self.value(1000 * pattern)
            if math.isfinite(large) and large < 0 and large < 5 * small < 0:
                return False
        return True

    def is_squared_error(self) -> bool:
        outputs = self.random.uniform(0.05, 0.95, self.right.shape).astype(np.float32)
        target = self.right if self.targets.dtype.kind in "iub" else self.targets.reshape(self.right.shape)
        ratio = self.gradient(outputs) / (outputs - target)
        middle = np.median(ratio)
        return bool(middle > 0 and np.abs(ratio - middle).max() < 1e-3 * middle)

    def is_flat_when_wrong(self) -> bool:
        """Every output on the wrong side by 1: below 0 where the target is 1, above 1 where it is 0."""
        wrong = np.where(self.right > 0.5, -1.0, 2.0)
        return bool(not self.gradient(wrong).any() and self.gradient(np.full_like(self.right, 0.3)).any())

    def left_over(self, bounds: tuple[float, float], guessing: float) -> float:
        """Loss of the targets as near as the bounds allow, over that of guessing; unbounded outputs leave nothing."""
        low, high = bounds
        if (not math.isfinite(low) and not math.isfinite(high)) or not guessing > 0:
            return 0.0
        if self.task.has_classes:
            top = high if math.isfinite(high) else FAR
            nearest = np.where(self.right > 0.5, top, low)
        else:
            nearest = self.right.clip(low, high)
        return max(0.0, self.value(nearest)) / guessing
