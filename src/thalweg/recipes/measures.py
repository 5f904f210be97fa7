"""What is minimised and what is measured in each task.

In: settings; how outputs are read; the model. Out: a loss and metrics for `Trainer`; which number of the validation
part tells the best epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from thalweg import nn
from thalweg.models import CenterNet, CenterNetLoss, docked, docking_loss
from thalweg.nn import CrossEntropyLoss
from thalweg.nn import functional as F
from thalweg.recipes.picture_network import DETECTOR_STRIDE
from thalweg.recipes.problem import CLASSIFICATION, CONTROL, DETECTION, SEGMENTATION, TRANSCRIPTION, Outputs
from thalweg.recipes.sequence_modules import TokenCrossEntropy, TranscriptLoss, heard
from thalweg.recipes.settings import (
    CLASSIFIED_TEXTS,
    IMAGES,
    PERCEPTRON,
    RECORDINGS,
    SEQUENCE_NETWORKS,
    SPOKEN_DIGITS,
    Settings,
)
from thalweg.tensor import Tensor
from thalweg.train.metrics import (
    IoU,
    MeanAveragePrecision,
    Metric,
    PixelAccuracy,
    RootMeanSquaredError,
    TokenErrorRate,
)
from thalweg.train.metrics.base import RunningMean

LATE = 0.8
"""The share of a run behind which the best epoch is looked for where a validation part is too small to tell earlier
ones apart: the learning rate is low by then."""
LESSONS = 0.5
"""The share of a truck's run after which the whole field is driven."""


def make_loss(settings: Settings) -> Any:
    """What `Trainer(loss=...)` takes."""
    if settings.network in SEQUENCE_NETWORKS and settings.loss in SEQUENCE_LOSSES:
        return SEQUENCE_LOSSES[settings.loss](settings)
    if settings.loss == "centernet":
        return CenterNetLoss(DETECTOR_STRIDE)
    if settings.loss == "cross_entropy_dice":
        return CrossEntropyAndDice(settings.label_smoothing or 0.0)
    if settings.loss == "cross_entropy" and settings.label_smoothing:
        return CrossEntropyLoss(label_smoothing=settings.label_smoothing)
    return settings.loss


def _cross_entropy(settings: Settings) -> Any:
    """Of classes where an example has one, of tokens where it has a row of them."""
    smoothing = settings.label_smoothing or 0.0
    is_of_classes = settings.recipe in (*CLASSIFIED_TEXTS, SPOKEN_DIGITS, RECORDINGS)
    return CrossEntropyLoss(label_smoothing=smoothing) if is_of_classes else TokenCrossEntropy(smoothing)


SEQUENCE_LOSSES: dict[str, Callable[[Settings], Any]] = {
    "cross_entropy": _cross_entropy, "ctc": lambda settings: TranscriptLoss(), "docking": lambda settings: docking_loss,
}  # fmt: skip


class CrossEntropyAndDice(nn.Module):
    """The sum of both: every pixel counts, and every class by how well its area is met."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.cross_entropy = CrossEntropyLoss(label_smoothing=label_smoothing)

    def forward(self, scores: Tensor, masks: Tensor) -> Tensor:
        total: Tensor = self.cross_entropy(scores, masks) + F.dice_loss(scores, masks)
        return total


def make_metrics(outputs: Outputs, model: nn.Module) -> list[str | Metric]:
    """What is measured after every epoch."""
    if outputs.scale is not None:
        return [RootMeanSquaredErrorInUnits(float(outputs.scale.scale_))]
    if outputs.task == SEGMENTATION:
        return [PixelAccuracy(), IoU(average="macro")]
    if outputs.task == DETECTION:
        assert isinstance(model, CenterNet)
        return [ValidationPrecision(model)]
    kinds: dict[str, Callable[[], list[str | Metric]]] = {
        CLASSIFICATION: lambda: ["accuracy"], CONTROL: lambda: [DockedShare()],
        TRANSCRIPTION: lambda: [TokenErrorRate(heard, name="word_error_rate")],
    }  # fmt: skip
    return kinds.get(outputs.task, list)()


def monitored(task: str, settings: Settings) -> tuple[str, float]:
    """The number whose best epoch is kept, and the share of the run that comes before the first candidate."""
    if task == DETECTION:
        return "val_map_50", LATE
    if task == SEGMENTATION:
        return "val_pixel_accuracy", 0.0
    if task == CONTROL:
        return "val_docked", LESSONS
    # Of the named sets thousands of pictures validate: their accuracy tells epochs apart when the loss no longer does.
    has_many = settings.recipe in IMAGES and settings.network not in (None, PERCEPTRON)
    return ("val_accuracy" if has_many else "val_loss"), 0.0


class DockedShare(RunningMean):
    """The share of trucks that stand at the dock."""

    default_name = "docked"

    def add_batch(self, prediction: Any, target: Any, weight: Any) -> None:
        self.accumulate(docked(prediction).astype(np.float64), weight)


class RootMeanSquaredErrorInUnits(RootMeanSquaredError):
    """The RMSE of standardised values, in the units that they had before."""

    def __init__(self, unit: float) -> None:
        super().__init__()
        self.unit = unit

    def formula(self) -> float:
        return super().formula() * self.unit


class ValidationPrecision(MeanAveragePrecision):
    """The mean average precision of the validation part; of the training part NaN: decoding it would cost a tenth."""

    def __init__(self, model: CenterNet) -> None:
        super().__init__(decode=model.decoder)

        def is_training() -> bool:
            return model.training

        self.is_training = is_training  # a function, which a copy of the metric shares, as it shares the model

    def update(self, prediction: Any, target: Any, weight: Any = None) -> None:
        if not self.is_training():
            super().update(prediction, target, weight)

    def compute(self) -> Any:
        return math.nan if not self.sums["weight"] else super().compute()
