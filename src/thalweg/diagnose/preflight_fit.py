"""Can the network fit a few examples by heart? If it cannot, no amount of training will help.

In: a trainer and its data. Out: a `SmallBatch`: what came of training twins on 16 examples, without dropout and
penalties: with the user's optimizer at its highest rate, and where that does not get there at other rates, and with
Adam. What fits them is diagnosis and remedy at once; a network that never fits them is itself at fault.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np

from thalweg import optim
from thalweg.diagnose.finding import Evidence, Finding
from thalweg.diagnose.leakage import as_tuple, row_keys
from thalweg.diagnose.looks import DROPOUTS, forward
from thalweg.diagnose.parameters import random_numbers_kept
from thalweg.diagnose.rules.rate import HIGHER, LOWER
from thalweg.diagnose.tasks import Kind, Task
from thalweg.diagnose.twin import twin
from thalweg.tensor import no_grad

EXAMPLES = 16
FITTED = 0.9
"""Skill on the batch from which on it counts as fitted: one wrong label of 16, or a tenth of the variance."""
HALVED = 0.5
"""The same where skill is not measured: the share of the first loss that is gone. Where skill is, less than half is a
problem; in between is worth a note, since sane networks may need longer."""
OPERATIONS, MOST_STEPS, FEWEST_STEPS, PIECES = 2e9, 1000, 100, 10
"""Multiplications that may be spent; they are counted, not timed, so that the verdict is the same on any machine."""
ADAM = (1e-3, 1e-2)
SCHEDULED = 10_000
OWN = "its own optimizer"


@dataclass(frozen=True)
class FitAttempt:
    """One twin: with which optimizer, for how many steps, and how far it came."""

    optimizer: str
    steps: int
    first_loss: float
    last_loss: float
    skill: float
    """On the batch: 1 is perfect, 0 is the best constant; the share of the loss that is gone for other tasks."""
    threshold: float = FITTED
    factor: float = 1.0
    """On the rate of the user's optimizer."""
    model: Any = field(default=None, repr=False, compare=False)
    """As it was at the end."""

    @property
    def is_fitted(self) -> bool:
        return self.skill >= self.threshold

    @property
    def is_hopeless(self) -> bool:
        """Less than half of it is learnt, or the loss is far above where it began."""
        return not (self.skill >= HALVED and self.last_loss <= 3 * abs(self.first_loss))

    def __str__(self) -> str:
        how = f"skill {self.skill:.2f}" if self.threshold == FITTED else f"{self.skill:.0%} of the loss gone"
        return f"{self.optimizer}: {how} in {self.steps} steps"


@dataclass
class SmallBatch:
    """A few examples, and what was tried to fit them."""

    examples: int
    attempts: list[FitAttempt] = field(default_factory=list)

    @property
    def is_fitted(self) -> bool:
        """By any optimizer: then the network is able to."""
        return any(each.is_fitted for each in self.attempts)

    @property
    def own(self) -> FitAttempt:
        """The attempt with the user's optimizer."""
        return self.attempts[0]

    def __str__(self) -> str:
        others = "at another rate" if self.attempts[-1].factor != 1 else "with another optimizer"
        verdict = "fitted" if self.own.is_fitted else f"fitted {others} only" if self.is_fitted else "not fitted"
        return f"{self.examples} examples {verdict} ({'; '.join(map(str, self.attempts))})"

    def finding(self) -> Finding | None:
        """Not able to fit: underfitting. Able at another rate only: the user's is too high, or too low."""
        best = max(self.attempts, key=lambda each: each.skill)
        if best.is_hopeless:
            return Finding(
                "underfitting", evidence=(Evidence(f"skill on {self.examples} examples", best.skill, HALVED),),
                explanation=f"Not even {self.examples} examples can be fitted by heart: {self}.",
            )  # fmt: skip
        if not (self.own.is_hopeless and best.is_fitted and best.factor != 1.0):
            return None
        problem, how = ("too_high", "overshoot") if best.factor < 1 else ("too_low", "hardly get anywhere")
        return Finding(
            f"learning_rate_{problem}", certainty=0.8,
            evidence=(Evidence(f"skill on {self.examples} examples", self.own.skill, HALVED),
                      Evidence(f"the same with {best.factor:g} times the rate", best.skill, best.threshold)),
            explanation=f"On {self.examples} examples its steps {how}; with {best.factor:g} times the rate they are "
                        f"fitted in {best.steps} steps.",
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        return {"examples": self.examples, "is_fitted": self.is_fitted, "attempts": [
            {"optimizer": each.optimizer, "steps": each.steps, "first_loss": _plain(each.first_loss),
             "last_loss": _plain(each.last_loss), "skill": _plain(each.skill)} for each in self.attempts]}  # fmt: skip


def fit_small_batch(trainer: Any, task: Task, x: Any, y: np.ndarray, cost: float) -> SmallBatch:
    """Train twins on a few examples until they are fitted, or for as many steps as may be spent.

    `cost` is the number of multiplications that one example takes, forward and backward.
    """
    rows = chosen(task, x, y)
    x, y = rows_of(x, rows), y[rows]
    steps = int(np.clip(OPERATIONS / max(cost * len(rows), 1.0), FEWEST_STEPS, MOST_STEPS))
    found = SmallBatch(len(rows))
    for change in _changes():
        allowed = steps if change == _Change() else math.ceil(steps / 2)
        found.attempts.append(_attempt(trainer, task, x, y, allowed, change))
        if found.is_fitted:
            break
    return found


@dataclass(frozen=True)
class _Change:
    """What an attempt does otherwise: a factor on the rate, or a rate for Adam."""

    factor: float = 1.0
    adam: float = 0.0

    def __str__(self) -> str:
        if self.adam:
            return f"Adam at {self.adam:g}"
        return OWN if self.factor == 1 else f"{self.factor:g} times its rate"


def _changes() -> Iterator[_Change]:
    """Its own rate, the rates that a run's probes try, the nearest first, then Adam."""
    yield _Change()
    for lower, higher in zip_longest(LOWER, HIGHER):
        yield from (_Change(factor=each) for each in (lower, higher) if each)
    yield from (_Change(adam=each) for each in ADAM)


def chosen(task: Task, x: Any, y: np.ndarray) -> np.ndarray:
    """Examples at random, none twice, and of classes as equally many of each as there are."""
    order = np.random.default_rng(0).permutation(len(y))[: 64 * EXAMPLES]
    _, first = np.unique(row_keys(tuple(each[order] for each in as_tuple(x))), return_index=True)
    order = order[np.sort(first)]
    if task.has_classes:
        labels = task.labels[order]
        turn = np.array([(labels[:n] == each).sum() for n, each in enumerate(labels)])
        order = order[np.argsort(turn, kind="stable")]
    return np.asarray(order[:EXAMPLES])


def rows_of(x: Any, rows: np.ndarray) -> Any:
    """Some examples of the inputs, which may be several arrays."""
    return tuple(each[rows] for each in x) if isinstance(x, tuple) else x[rows]


def _attempt(trainer: Any, task: Task, x: Any, y: np.ndarray, steps: int, change: _Change) -> FitAttempt:
    """The batch stands in the data as often as a piece has steps: an epoch of many steps is one native call."""
    other, losses, skill = _prepared(trainer, change), [], -math.inf
    threshold = FITTED if is_measured(task, y) else HALVED
    again = np.tile(np.arange(len(y)), math.ceil(steps / PIECES))
    data = rows_of(x, again), y[again]
    with warnings.catch_warnings(), random_numbers_kept(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # losses that are not finite are an answer
        for number in range(PIECES):
            history = other.fit(data, epochs=number + 1, initial_epoch=number, batch_size=len(y), shuffle=False)
            losses += history.steps["loss"]
            if history.interrupted:
                raise KeyboardInterrupt
            skill = _skill(other, task, x, y, losses)
            if skill >= threshold or not math.isfinite(losses[-1]):
                break
    return FitAttempt(str(change), len(losses), float(losses[0]), float(losses[-1]), skill, threshold, change.factor,
                      other.model)  # fmt: skip


def _prepared(trainer: Any, change: _Change) -> Any:
    """A twin without dropout and penalties; with Adam, whatever requires a gradient is trained."""

    def adam(parameters: Iterable[Any]) -> optim.Optimizer:
        return optim.Adam([each for each in parameters if each.requires_grad], lr=change.adam)

    other = twin(trainer, penalties=[], class_weight=None, **({"optimizer": adam} if change.adam else {}))
    for module in other.model.modules():
        if isinstance(module, DROPOUTS):
            module.p = 0.0
    for group in other.optimizer.param_groups:
        group["lr"] = change.factor * highest_rate(group["lr"])
    return other


def highest_rate(rate: Any) -> float:
    """Of a schedule the highest of its first steps: the batch has no epochs for it to follow."""
    return float(np.max(rate.values(SCHEDULED))) if callable(rate) else float(rate)


def _skill(other: Any, task: Task, x: Any, y: np.ndarray, losses: list[float]) -> float:
    """In training mode: running statistics would lag behind. The share of the loss where skill is not measured."""
    if is_measured(task, y):
        other.model.train()
        with no_grad():
            outputs = forward(other.model, x).numpy()
        found = task.skill(outputs, y, task.middle(outputs, y))
    else:
        found = 1 - losses[-1] / losses[0] if losses[0] else 0.0
    return found if math.isfinite(found) else -math.inf


def is_measured(task: Task, y: np.ndarray) -> bool:
    """Whether skill has a meaning for these targets: they differ."""
    return task.kind is not Kind.OTHER and len(np.unique(y, axis=0)) > 1


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
