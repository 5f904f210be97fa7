"""Streaming metrics: how good predictions are, exact over batches of any size.

In: predictions and targets, batch by batch, as NumPy arrays or anything with `.numpy()`. Out: one value for all of
them, equal to what one batch with all the data would give, and metrics by name through `get_metric`.
"""

from thalweg.train.metrics.base import Mean, Metric, RunningMean
from thalweg.train.metrics.classification import Accuracy, TopKAccuracy
from thalweg.train.metrics.confusion import F1, ConfusionMatrix, Precision, Recall
from thalweg.train.metrics.detection import MeanAveragePrecision
from thalweg.train.metrics.registry import get_metric, metric_names
from thalweg.train.metrics.regression import R2, MeanAbsoluteError, MeanSquaredError, RootMeanSquaredError
from thalweg.train.metrics.segmentation import Dice, IoU, PixelAccuracy

__all__ = [
    "Metric",
    "RunningMean",
    "Mean",
    "Accuracy",
    "TopKAccuracy",
    "Precision",
    "Recall",
    "F1",
    "ConfusionMatrix",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "RootMeanSquaredError",
    "R2",
    "PixelAccuracy",
    "IoU",
    "Dice",
    "MeanAveragePrecision",
    "get_metric",
    "metric_names",
]
