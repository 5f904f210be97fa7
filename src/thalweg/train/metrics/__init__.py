"""Streaming metrics: how good predictions are, exact over batches of any size.

In: predictions and targets, batch by batch, as NumPy arrays or anything with `.numpy()`. Out: one value for all of
them, equal to what one batch with all the data would give, and metrics by name through `get_metric`.
"""

from thalweg.train.metrics.agreement import BalancedAccuracy, CohenKappa, MatthewsCorrelation
from thalweg.train.metrics.base import Mean, Metric, RunningMean
from thalweg.train.metrics.classification import Accuracy, TopKAccuracy
from thalweg.train.metrics.confusion import F1, ConfusionMatrix, FBeta, Precision, Recall
from thalweg.train.metrics.detection import MeanAveragePrecision
from thalweg.train.metrics.edit_distance import edit_distances, edit_operations
from thalweg.train.metrics.log_loss import LogLoss
from thalweg.train.metrics.perplexity import Perplexity
from thalweg.train.metrics.ranking import ROCAUC, AveragePrecision
from thalweg.train.metrics.registry import get_metric, metric_names
from thalweg.train.metrics.regression import R2, MeanAbsoluteError, MeanSquaredError, RootMeanSquaredError
from thalweg.train.metrics.segmentation import Dice, IoU, PixelAccuracy
from thalweg.train.metrics.transcripts import (
    BLEUScore,
    TokenErrorRate,
    bleu,
    character_error_rate,
    word_error_rate,
)

__all__ = [
    "Metric",
    "RunningMean",
    "Mean",
    "Accuracy",
    "TopKAccuracy",
    "Precision",
    "Recall",
    "F1",
    "FBeta",
    "BalancedAccuracy",
    "CohenKappa",
    "MatthewsCorrelation",
    "ROCAUC",
    "AveragePrecision",
    "LogLoss",
    "ConfusionMatrix",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "RootMeanSquaredError",
    "R2",
    "PixelAccuracy",
    "IoU",
    "Dice",
    "MeanAveragePrecision",
    "Perplexity",
    "TokenErrorRate",
    "BLEUScore",
    "bleu",
    "word_error_rate",
    "character_error_rate",
    "edit_distances",
    "edit_operations",
    "get_metric",
    "metric_names",
]
