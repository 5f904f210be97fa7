"""Metrics by name, as in `Trainer(metrics=["accuracy", "macro_f1"])`.

In: a name or a metric. Out: a metric that is ready for its first batch, or an error with the closest names.
Names with a number or an average in them are patterns: `top_3_accuracy`, `f0.5`, `weighted_recall`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from functools import partial

from thalweg.errors import ArgumentError, DTypeError, explain
from thalweg.train.metrics.agreement import BalancedAccuracy, CohenKappa, MatthewsCorrelation
from thalweg.train.metrics.base import Metric
from thalweg.train.metrics.classification import Accuracy, TopKAccuracy
from thalweg.train.metrics.confusion import F1, Average, FBeta, Precision, Recall
from thalweg.train.metrics.detection import MeanAveragePrecision
from thalweg.train.metrics.log_loss import LogLoss
from thalweg.train.metrics.perplexity import Perplexity
from thalweg.train.metrics.ranking import ROCAUC, AveragePrecision
from thalweg.train.metrics.regression import R2, MeanAbsoluteError, MeanSquaredError, RootMeanSquaredError
from thalweg.train.metrics.segmentation import Dice, IoU, PixelAccuracy
from thalweg.train.metrics.transcripts import TokenErrorRate

AVERAGED: tuple[Average, ...] = ("macro", "micro", "weighted")
METRICS: dict[str, Callable[[], Metric]] = {
    "accuracy": Accuracy,
    "top_5_accuracy": TopKAccuracy,
    "precision": Precision,
    "recall": Recall,
    "f1": F1,
    "f2": FBeta,
    "balanced_accuracy": BalancedAccuracy,
    "cohen_kappa": CohenKappa,
    "matthews": MatthewsCorrelation,
    "roc_auc": ROCAUC,
    "average_precision": AveragePrecision,
    "log_loss": LogLoss,
    "iou": IoU,
    "dice": Dice,
    "pixel_accuracy": PixelAccuracy,
    **{
        f"{average}_{kind.default_name}": partial(kind, average=average)
        for average in AVERAGED
        for kind in (Precision, Recall, F1, IoU, Dice)
    },
    "mae": MeanAbsoluteError,
    "mse": MeanSquaredError,
    "rmse": RootMeanSquaredError,
    "r2": R2,
    "map_50": MeanAveragePrecision,
    "map": partial(MeanAveragePrecision, iou_thresholds="coco"),
    "perplexity": Perplexity,
    "token_error_rate": TokenErrorRate,
}
ALIASES = {
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
    "root_mean_squared_error": "rmse",
    "f1_score": "f1",
    "auc": "roc_auc",
    "mcc": "matthews",
    "matthews_corrcoef": "matthews",
    "r2_score": "r2",
    "mean_iou": "macro_iou",
    "jaccard": "iou",
}
_TOP_K = re.compile(r"top_([1-9][0-9]*)_accuracy")
_F_BETA = re.compile(r"f(0\.[0-9]*[1-9]|(?:[2-9]|[1-9][0-9]+)(?:\.[0-9]+)?|1\.[0-9]+)")


def metric_names() -> tuple[str, ...]:
    """Every name that `get_metric` takes, the k of `top_k_accuracy` standing for any number.

    >>> metric_names()[:3]
    ('accuracy', 'top_5_accuracy', 'precision')
    """
    return (*METRICS, *ALIASES)


def get_metric(metric: str | Metric) -> Metric:
    """The metric of this name, new; or the metric itself, as it is.

    Args:
        metric: a `Metric`, or one of `metric_names()`; ``top_3_accuracy`` works for every number.

    Raises:
        ArgumentError: no metric has this name; the message lists the closest ones.
        DTypeError: neither a name nor a metric.

    >>> get_metric("top_3_accuracy").k
    3
    >>> get_metric("macro_f1").average
    'macro'
    """
    if isinstance(metric, Metric):
        return metric
    if not isinstance(metric, str):
        remedy = "make it an instance: Accuracy(), not Accuracy" if isinstance(metric, type) else None
        expected = "a name or an instance of Metric"
        raise DTypeError(explain("this is no metric", received=repr(metric), expected=expected, remedy=remedy))
    if found := _TOP_K.fullmatch(metric):
        return TopKAccuracy(int(found[1]))
    if found := _F_BETA.fullmatch(metric):
        return FBeta(float(found[1]))
    name = ALIASES.get(metric, metric)
    if name not in METRICS:
        raise _unknown(metric)
    return METRICS[name]()


def _unknown(name: str) -> ArgumentError:
    close = difflib.get_close_matches(name.lower().replace("-", "_").replace(" ", "_"), metric_names(), n=3, cutoff=0.5)
    return ArgumentError(
        explain(
            "unknown metric",
            received=repr(name),
            expected=", ".join(METRICS),
            where="metrics",
            remedy=f"did you mean {' or '.join(repr(one) for one in close)}?" if close else "choose one of these names",
        )
    )
