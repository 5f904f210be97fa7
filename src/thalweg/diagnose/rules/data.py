"""Rules about the data: ranges of inputs and targets, numbers of examples of each class.

In: a run. Out: findings whose cause is in the arrays.
They name the numbers, and what to do with the arrays.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from thalweg.diagnose.finding import Evidence, Finding
from thalweg.diagnose.remedies import REMEDIES
from thalweg.diagnose.rules.base import finding, layers, rule
from thalweg.diagnose.run import Run
from thalweg.diagnose.tasks import Kind

LARGE_INPUT, SMALL_INPUT = 10.0, 0.1
UNEQUAL_INPUTS = 100.0
LARGE_TARGET = 30.0
MANY_TIMES = 10.0
RARE_GAP = 0.2


@rule("unscaled_input",
      "Initialisations assume inputs of mean square 1; the largest stable rate falls with the mean square (LeCun et "
      "al. 1998, section 5.1). A factor of 10 either way is left, and of 100 between features.",
      before_training=True)  # fmt: skip
def inputs_not_scaled(run: Run) -> Finding | None:
    if run.first.has_normalised_input or is_index(run.x) or not run.is_failing:
        return None
    size, spread = input_size(run.x), feature_ratio(run.x)
    if SMALL_INPUT <= size <= LARGE_INPUT and spread <= UNEQUAL_INPUTS:
        return None
    evidence = Evidence("root mean square of the inputs", size, LARGE_INPUT if size > 1 else SMALL_INPUT)
    if SMALL_INPUT <= size <= LARGE_INPUT:
        evidence = Evidence("largest feature over smallest", spread, UNEQUAL_INPUTS)
    return finding(run, "unscaled_input",
                   f"The inputs have a root mean square of {size:.3g}, and features differ by a factor of "
                   f"{spread:.3g} in size. The first layer's gradients and outputs are off by as much.",
                   evidence, layer=run.first.layers[0].path if run.first.layers else None)  # fmt: skip


@rule(
    "unscaled_input", "Outputs start near 0 with spread near 1; targets 30 times as large ask for weights that large.",
    before_training=True,
)  # fmt: skip
def targets_not_scaled(run: Run) -> Finding | None:
    if run.task.kind is not Kind.VALUES or not run.is_failing:
        return None
    size = float(np.sqrt(np.mean(np.square(run.task.labels))))
    if size <= LARGE_TARGET:
        return None
    remedies = (REMEDIES["scale_targets"],)
    return finding(run, "unscaled_input",
                   f"The targets have a root mean square of {size:.3g}, while the network's outputs start near 1.",
                   Evidence("root mean square of the targets", size, LARGE_TARGET), remedies=remedies)  # fmt: skip


@rule("class_imbalance",
      "10 : 1 is the usual limit (SageMaker Debugger); and the rare classes must be found less often than the frequent "
      "ones by 20 points.")  # fmt: skip
def classes_not_balanced(run: Run) -> Finding | None:
    if not run.task.has_classes or not run.is_finite:
        return None
    labels = counted_labels(run)
    counts = np.bincount(labels[labels >= 0], minlength=run.task.outputs).astype(float)
    present = counts[counts > 0]
    ratio = float(present.max() / present.min())
    gap = recall_gap(run, counts)
    if ratio < MANY_TIMES or not gap > RARE_GAP:
        return None
    return finding(run, "class_imbalance",
                   f"The most frequent class has {ratio:.0f} times as many examples as the rarest, and rare classes "
                   f"are found {gap:.0%} less often.",
                   Evidence("most frequent class over rarest", ratio, MANY_TIMES),
                   Evidence("recall of frequent classes less that of rare ones", gap, RARE_GAP))  # fmt: skip


def recall_gap(run: Run, counts: np.ndarray) -> float:
    """Mean recall of the classes with more than a tenth of the largest count, less that of the others."""
    outputs, targets = run.last.validation_outputs, run.sample.y_validation
    if outputs is None or targets is None:
        outputs, targets = run.last.outputs, run.sample.y
    truth, found = run.task.read(targets), run.predicted(outputs)
    recalls = {k: float((found[truth == k] == k).mean()) for k in np.unique(truth)}
    frequent = [value for k, value in recalls.items() if counts[k] * MANY_TIMES > counts.max()]
    rare = [value for k, value in recalls.items() if counts[k] * MANY_TIMES <= counts.max()]
    return float(np.mean(frequent) - np.mean(rare)) if frequent and rare else math.nan


@rule("label_range",
      "Labels count the outputs from 0; one outside can never be predicted, and no gradient speaks for it: no "
      "threshold.", before_training=True)  # fmt: skip
def labels_out_of_range(run: Run) -> Finding | None:
    if run.task.kind is not Kind.CLASSES:
        return None
    labels, highest = counted_labels(run), run.task.outputs - 1
    outside = (labels < 0) | (labels > highest)
    if not outside.any():
        return None
    low, high = int(labels.min()), int(labels.max())
    counted = " They seem to be counted from 1." if (low, high) == (1, run.task.outputs) else ""
    return finding(run, "label_range",
                   f"Labels go from {low} to {high}, while the model has {run.task.outputs} outputs, for the labels 0 "
                   f"to {highest}.{counted}",
                   Evidence("share of the labels that no output stands for", float(outside.mean()), 0.0),
                   layer=layers(run)[-1].path if layers(run) else None, with_harm=False)  # fmt: skip


def counted_labels(run: Run) -> np.ndarray:
    """The labels of the training part, without those that the loss ignores on purpose."""
    ignored = getattr(run.objective, "ignored", None)
    return run.task.labels if ignored is None else run.task.labels[run.task.labels != ignored]


def is_index(x: Any) -> bool:
    """Whether inputs are numbers of entries, for an embedding, or several arrays: their size means nothing."""
    return isinstance(x, tuple) or bool(x.dtype.kind in "iub")


def input_size(x: Any) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def feature_ratio(x: Any) -> float:
    """Largest over smallest feature by largest absolute value, without constants and a tenth at either end."""
    if x.ndim != 2 or x.shape[1] < 2:
        return 1.0
    sizes = np.abs(x).max(0)[x.std(0) > 0]
    if len(sizes) < 2:
        return 1.0
    share = 0.1 if len(sizes) > 10 else 0.0
    low, high = np.quantile(sizes, [share, 1 - share])
    return float(high / low) if low > 0 else math.inf


RULES = (
    inputs_not_scaled,
    targets_not_scaled,
    labels_out_of_range,
    classes_not_balanced,
)
