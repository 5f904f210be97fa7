"""How good a trained network is on labelled data, chunk by chunk, and how good a guess without inputs would be.

In: a predictor, chunks of encoded inputs and targets. Out: `Scores`: accuracy, or RMSE, MAE and R2 in the units of the
target; a confusion matrix, or points to draw.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.errors import DataError, explain
from thalweg.recipes.predictor import Predictor
from thalweg.recipes.problem import CLASSIFICATION, Chunk
from thalweg.train.metrics import (
    F1,
    R2,
    Accuracy,
    ConfusionMatrix,
    MeanAbsoluteError,
    Metric,
    RootMeanSquaredError,
)

MOST_POINTS = 20_000
"""Points that a picture shows; beyond that the first ones stand for all."""


@dataclass
class Scores:
    """How good the predictions are, and what pictures show of them."""

    numbers: dict[str, float]
    examples: int
    baseline: float
    """What always saying the most frequent class, or the mean, of this very part would give."""
    confusion: np.ndarray | None = None
    points: tuple[np.ndarray, np.ndarray] | None = None
    """True and predicted values, for a regression."""

    def lines(self) -> list[str]:
        """The scores in words."""
        if self.confusion is not None:
            return [
                f"accuracy  {self.numbers['accuracy']:.4f}   (the most frequent class alone: {self.baseline:.4f})",
                f"macro F1  {self.numbers['macro_f1']:.4f}",
            ]
        return [
            f"RMSE  {in_figures(self.numbers['rmse'])}   (the mean alone: {in_figures(self.baseline)})",
            f"MAE   {in_figures(self.numbers['mae'])}",
            f"R2    {self.numbers['r2']:.4f}",
        ]


def in_figures(value: float) -> str:
    """A number of any size in a few figures.

    >>> in_figures(49936.2), in_figures(0.52345678)
    ('49,936.2', '0.5235')
    """
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def score(predictor: Predictor, chunks: Iterable[Chunk]) -> Scores:
    """The scores over all chunks, exact. Raises DataError if there are no rows."""
    scorer: _Scorer = _Classes(predictor) if predictor.outputs.task == CLASSIFICATION else _Values(predictor)
    count = 0
    for x, y in chunks:
        if len(y):
            scorer.add(predictor.raw(x), y)
            count += len(y)
    if not count:
        raise DataError(explain("there is nothing to evaluate on", received="0 rows"))
    return scorer.scores(count)


class _Scorer:
    def __init__(self, predictor: Predictor) -> None:
        self.outputs = predictor.outputs
        self.metrics: list[Metric] = []

    def add(self, raw: np.ndarray, y: np.ndarray) -> None:
        raise NotImplementedError

    def scores(self, count: int) -> Scores:
        raise NotImplementedError

    def numbers(self) -> dict[str, float]:
        return {metric.name: float(metric.compute()) for metric in self.metrics}  # type: ignore[arg-type]


class _Classes(_Scorer):
    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        self.metrics = [Accuracy(), F1(average="macro", name="macro_f1")]
        self.matrix = ConfusionMatrix(predictor.outputs.width)

    def add(self, raw: np.ndarray, y: np.ndarray) -> None:
        for metric in (*self.metrics, self.matrix):
            metric.update(raw, y)

    def scores(self, count: int) -> Scores:
        matrix: Any = self.matrix.compute()
        return Scores(self.numbers(), count, float(matrix.sum(axis=1).max() / matrix.sum()), confusion=matrix)


class _Values(_Scorer):
    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        self.metrics = [RootMeanSquaredError(), MeanAbsoluteError(), R2()]
        self.points: list[tuple[np.ndarray, np.ndarray]] = []
        self.shifted: float | None = None  # by which targets are moved, so that their squares do not cancel
        self.sums = np.zeros(3)

    def add(self, raw: np.ndarray, y: np.ndarray) -> None:
        predicted = self.outputs.values(raw)
        for metric in self.metrics:
            metric.update(predicted, y)
        if sum(len(true) for true, _ in self.points) < MOST_POINTS:
            self.points.append((y, predicted))
        self.shifted = float(y[0]) if self.shifted is None else self.shifted
        self.sums += [len(y), (y - self.shifted).sum(), ((y - self.shifted) ** 2).sum()]

    def scores(self, count: int) -> Scores:
        deviation = np.sqrt(max(0.0, self.sums[2] / count - (self.sums[1] / count) ** 2))
        true, predicted = (np.concatenate(parts)[:MOST_POINTS] for parts in zip(*self.points, strict=True))
        return Scores(self.numbers(), count, float(deviation), points=(true, predicted))
