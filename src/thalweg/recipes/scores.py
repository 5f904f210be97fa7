"""How good a trained network is on labelled data, chunk by chunk, and how good a guess without inputs would be.

In: a predictor, chunks of encoded inputs and targets. Out: `Scores`: accuracy; IoU and Dice over pixels; the mean
average precision of boxes; or RMSE, MAE and R2 in the units of the target. A confusion matrix, or points to draw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thalweg.recipes.predictor import Predictor
from thalweg.recipes.problem import (
    CLASSIFICATION,
    CONTROL,
    DETECTION,
    LANGUAGE,
    REGRESSION,
    SEGMENTATION,
    TRANSCRIPTION,
    TRANSLATION,
)
from thalweg.train.metrics import (
    F1,
    R2,
    Accuracy,
    ConfusionMatrix,
    MeanAbsoluteError,
    MeanAveragePrecision,
    Metric,
    RootMeanSquaredError,
)

MOST_POINTS = 20_000
"""Points that a picture shows; beyond that the first ones stand for all."""


HEADLINE = {
    CLASSIFICATION: "accuracy", SEGMENTATION: "pixel_accuracy", DETECTION: "map_50", REGRESSION: "rmse",
    LANGUAGE: "loss", TRANSLATION: "bleu", TRANSCRIPTION: "word_error_rate", CONTROL: "docked",
}  # fmt: skip
"""The number that stands for all of them."""


SampleTable = tuple[str, list[str], list[list[str]]]
"""A heading, the names of columns, and rows."""


@dataclass
class Scores:
    """How good the predictions are, and what pictures show of them."""

    task: str
    numbers: dict[str, float]
    examples: int
    baseline: float
    """What always saying the most frequent class, or the mean, of this very part would give; NaN for boxes."""
    confusion: np.ndarray | None = None
    """Of examples, or of pixels."""
    points: tuple[np.ndarray, np.ndarray] | None = None
    """True and predicted values, for a regression."""
    by_class: dict[str, dict[str, float]] = field(default_factory=dict)
    """The numbers of each class, for pixels and boxes."""
    samples: list[SampleTable] = field(default_factory=list)
    """Some of what was predicted, beside the truth, for sequences."""

    @property
    def headline(self) -> str:
        return HEADLINE[self.task]

    def lines(self) -> list[str]:
        """The scores in words."""
        told = {
            CLASSIFICATION: self._of_classes, REGRESSION: self._of_values,
            SEGMENTATION: self._of_pixels, DETECTION: self._of_boxes,
        }  # fmt: skip
        return told.get(self.task, self._of_each)()

    def _of_each(self) -> list[str]:
        width = max(map(len, self.numbers))
        return [f"{name.replace('_', ' '):{width}}  {in_figures(value)}" for name, value in self.numbers.items()]

    def _of_classes(self) -> list[str]:
        return [
            f"accuracy  {self.numbers['accuracy']:.4f}   (the most frequent class alone: {self.baseline:.4f})",
            f"macro F1  {self.numbers['macro_f1']:.4f}",
        ]

    def _of_values(self) -> list[str]:
        return [
            f"RMSE  {in_figures(self.numbers['rmse'])}   (the mean alone: {in_figures(self.baseline)})",
            f"MAE   {in_figures(self.numbers['mae'])}",
            f"R2    {self.numbers['r2']:.4f}",
        ]

    def _of_pixels(self) -> list[str]:
        numbers = self.numbers
        return [
            f"pixel accuracy  {numbers['pixel_accuracy']:.4f}   (the most frequent class alone: {self.baseline:.4f})",
            f"mean IoU        {numbers['mean_iou']:.4f}   ({self._each('iou')})",
            f"mean Dice       {numbers['mean_dice']:.4f}   ({self._each('dice')})",
        ]

    def _of_boxes(self) -> list[str]:
        return [
            f"mAP at 0.5         {self.numbers['map_50']:.4f}   ({self._each('map_50')})",
            f"mAP 0.5 to 0.95    {self.numbers['map']:.4f}",
        ]

    def _each(self, name: str) -> str:
        return ", ".join(f"{each} {numbers[name]:.4f}" for each, numbers in self.by_class.items())


def in_figures(value: float) -> str:
    """A number of any size in a few figures.

    >>> in_figures(49936.2), in_figures(0.52345678)
    ('49,936.2', '0.5235')
    """
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


class Scorer:
    """Adds up chunk after chunk what the scores of a task are made of."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.outputs = predictor, predictor.outputs
        self.metrics: list[Metric] = []

    def see(self, x: Any, y: np.ndarray) -> None:
        """A chunk of inputs and targets."""
        self.add(self.predictor.raw(x), y)

    def add(self, raw: np.ndarray, y: np.ndarray) -> None:
        raise NotImplementedError

    def scores(self, count: int) -> Scores:
        raise NotImplementedError

    def numbers(self) -> dict[str, float]:
        return {metric.name: float(metric.compute()) for metric in self.metrics}  # type: ignore[arg-type]


class Classes(Scorer):
    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        self.metrics = [Accuracy(), F1(average="macro", name="macro_f1")]
        self.matrix = ConfusionMatrix(predictor.outputs.width)

    def add(self, raw: np.ndarray, y: np.ndarray) -> None:
        for metric in (*self.metrics, self.matrix):
            metric.update(raw, y)

    def scores(self, count: int) -> Scores:
        matrix: Any = self.matrix.compute()
        return Scores(
            CLASSIFICATION, self.numbers(), count, float(matrix.sum(axis=1).max() / matrix.sum()), confusion=matrix
        )  # fmt: skip


class Pixels(Scorer):
    """Everything follows from the confusion matrix of the pixels; those of no class are not counted."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        self.classes = predictor.outputs.width
        self.matrix = np.zeros(self.classes**2, dtype=np.int64)

    def add(self, raw: np.ndarray, y: np.ndarray) -> None:
        counted = y >= 0
        pairs = y[counted] * self.classes + raw.argmax(axis=1)[counted]
        self.matrix += np.bincount(pairs, minlength=self.classes**2)

    def scores(self, count: int) -> Scores:
        matrix = self.matrix.reshape(self.classes, self.classes).astype(np.float64)
        right, true, said = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
        with np.errstate(invalid="ignore"):  # a class that is neither there nor predicted has no value
            iou, dice = right / (true + said - right), 2 * right / (true + said)
        numbers = {
            "pixel_accuracy": float(right.sum() / max(matrix.sum(), 1)),
            "mean_iou": _mean(iou),
            "mean_dice": _mean(dice),
        }
        names = map(str, self.outputs.classes or [])
        each = {name: {"iou": float(a), "dice": float(b)} for name, a, b in zip(names, iou, dice, strict=True)}
        baseline = float(true.max() / max(matrix.sum(), 1))
        return Scores(SEGMENTATION, numbers, count, baseline, confusion=matrix, by_class=each)


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


class Boxes(Scorer):
    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        self.by_class = MeanAveragePrecision(average=None)
        self.metrics = [MeanAveragePrecision("coco", name="map")]

    def add(self, raw: np.ndarray, y: np.ndarray) -> None:
        found = self.predictor.boxes(raw)
        for metric in (*self.metrics, self.by_class):
            metric.update(found, y)

    def scores(self, count: int) -> Scores:
        names = [str(name) for name in self.outputs.classes or []]
        values = np.full(len(names), math.nan)
        found = np.atleast_1d(np.asarray(self.by_class.compute(), dtype=np.float64))
        values[: len(found)] = found[: len(names)]
        each = {name: {"map_50": float(value)} for name, value in zip(names, values, strict=True)}
        return Scores(DETECTION, {"map_50": _mean(values)} | self.numbers(), count, math.nan, by_class=each)


class Values(Scorer):
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
        return Scores(REGRESSION, self.numbers(), count, float(deviation), points=(true, predicted))
