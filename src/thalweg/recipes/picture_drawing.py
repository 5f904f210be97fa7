"""What a run that has learnt from pictures shows of them: predictions beside the truth, mistakes, the first layer.

In: the outcome of a run, the pictures of its test part.
Out: PNG files in the run folder; what is said about each in a report.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from thalweg import nn
from thalweg.data.box_overlaps import box_iou
from thalweg.data.boxes import split_boxes
from thalweg.recipes.picture_use import SURE
from thalweg.recipes.problem import CLASSIFICATION, DETECTION, SEGMENTATION, PictureSamples, Problem
from thalweg.report import grids

MOST_SHOWN, MOST_MISTAKES, MOST_LARGE = 32, 24, 6
OVERLAP = 0.5
"""IoU from which a box meets another."""
BESIDE, MISTAKES = "Predictions beside the truth", "The most confident mistakes"
SAID: dict[tuple[str, str], tuple[str, str]] = {
    (CLASSIFICATION, "examples.png"): (BESIDE, "Some of the test part, green where the network is right"),
    (CLASSIFICATION, "mistakes.png"): (MISTAKES, "Wrong answers of which the network is surest"),
    (SEGMENTATION, "masks.png"): (BESIDE, "Pictures of the test part with their masks"),
    (SEGMENTATION, "mistakes.png"): (MISTAKES, "Wrong pixels, the brighter the surer"),
    (DETECTION, "boxes.png"): (BESIDE, f"Boxes of the test part; found ones with a score of at least {SURE:g}"),
    (DETECTION, "mistakes.png"): (MISTAKES, "Boxes that meet no true one of their class"),
}
"""Heading and caption of each picture, by the task and the name of the file."""
FILTERS = "filters.png"
OF_FILTERS = ("What the first layer looks for", "Its weights: grey is 0, light excites, dark inhibits")


def of_pictures(outcome: Any, problem: Problem) -> list[Path]:
    """All pictures of the test part's pictures; none for a table."""
    if problem.samples is None:
        return []
    samples = problem.samples()
    kinds = {SEGMENTATION: _of_masks, DETECTION: _of_boxes}
    drawn = kinds.get(problem.outputs.task, _of_classes)(outcome, problem, samples)
    return [*drawn, *_of_first_layer(outcome, samples)]


def _spread(count: int, most: int) -> np.ndarray:
    """At most so many of the numbers 0 .. count - 1, evenly over all of them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


# --- classes ---------------------------------------------------------------------------------------------------------


def _of_classes(outcome: Any, problem: Problem, samples: PictureSamples) -> list[Path]:
    folder, classes = outcome.folder.path, problem.outputs.classes or []
    probabilities = problem.outputs.probabilities(outcome.predictor.raw(samples.inputs))
    predicted, sure, labels = probabilities.argmax(axis=1), probabilities.max(axis=1), samples.targets
    rows = _spread(len(labels), MOST_SHOWN)
    true, said = ([classes[number] for number in numbers[rows]] for numbers in (labels, predicted))
    path = grids.draw_classified(folder / "examples.png", samples.images[rows], true, said, sure[rows])
    drawn = [path]
    wrong = np.flatnonzero(predicted != labels)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:MOST_MISTAKES]
    if len(wrong):
        true, said = ([classes[number] for number in numbers[wrong]] for numbers in (labels, predicted))
        path = grids.draw_mistakes(folder / "mistakes.png", samples.images[wrong], true, said, sure[wrong])
        drawn.append(path)
    return drawn


# --- masks -----------------------------------------------------------------------------------------------------------


def _of_masks(outcome: Any, problem: Problem, samples: PictureSamples) -> list[Path]:
    folder, classes = outcome.folder.path, [str(name) for name in problem.outputs.classes or []]
    rows = _spread(len(samples.targets), MOST_LARGE)
    images, true = samples.images[rows], samples.targets[rows]
    probabilities = problem.outputs.probabilities(outcome.predictor.raw(samples.inputs[rows]))
    predicted = probabilities.argmax(axis=1)
    path = grids.draw_masks(folder / "masks.png", images, true, predicted, classes)
    drawn = [path]
    wrong = np.where((predicted != true) & (true >= 0), probabilities.max(axis=1), 0.0)
    worst = np.argsort(-(wrong > 0.9).mean(axis=(1, 2)), kind="stable")[:3]
    path = grids.draw_sure_pixels(folder / "mistakes.png", images[worst], wrong[worst])
    return [*drawn, path]


# --- boxes -----------------------------------------------------------------------------------------------------------


def _of_boxes(outcome: Any, problem: Problem, samples: PictureSamples) -> list[Path]:
    folder, classes = outcome.folder.path, [str(name) for name in problem.outputs.classes or []]
    found = list(outcome.predictor.boxes(outcome.predictor.raw(samples.inputs)).astype(np.float64))
    found = [each[(each[:, 5] >= 0) & (each[:, 4] >= SURE)] for each in found]
    true = [each[each[:, 4] >= 0] for each in samples.targets]
    rows = _spread(len(true), MOST_LARGE)
    path = grids.draw_boxes(
        folder / "boxes.png", samples.images[rows], [true[i] for i in rows], [found[i] for i in rows], classes
    )
    drawn = [path]
    wrong = [(number, row) for number, boxes in enumerate(found) for row in unmet(boxes, true[number])]
    wrong = sorted(wrong, key=lambda each: -each[1][4])[:MOST_MISTAKES]
    if wrong:
        images, boxes = [samples.images[number] for number, _ in wrong], np.stack([row for _, row in wrong])
        path = grids.draw_wrong_boxes(folder / "mistakes.png", images, boxes, classes)
        drawn.append(path)
    return drawn


def unmet(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The found boxes, the surest first, that meet no true box of their class which a surer one has not taken."""
    corners, labels = split_boxes(true)
    free, left = np.ones(len(labels), dtype=bool), []
    for row in found[np.argsort(-found[:, 4], kind="stable")]:
        overlaps = box_iou(row[None, :4], corners)[0] if len(corners) else np.zeros(0)
        fits = np.flatnonzero(free & (labels == row[5]) & (overlaps >= OVERLAP))
        if len(fits):
            free[fits[overlaps[fits].argmax()]] = False
        else:
            left.append(row)
    return np.array(left).reshape(-1, 6)


# --- the first layer -------------------------------------------------------------------------------------------------


def _of_first_layer(outcome: Any, samples: PictureSamples) -> list[Path]:
    layer = next((each for each in outcome.predictor.model.modules() if isinstance(each, nn.Conv2d | nn.Linear)), None)
    if layer is None:
        return []
    weights = np.asarray(layer.weight.detach().numpy())
    if weights.ndim == 2:  # a perceptron looks at whole pictures
        if math.prod(samples.images.shape[1:]) != weights.shape[1]:
            return []
        weights = weights.reshape(len(weights), *samples.images.shape[1:])
    path = grids.draw_filters(outcome.folder.path / FILTERS, weights)
    return [path]
