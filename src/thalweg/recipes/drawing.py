"""The pictures of a run, drawn into its folder.

In: the outcome of a run.
Out: PNG files, and one line that says which; without matplotlib one line that says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from thalweg.recipes.images import ImageReader
from thalweg.recipes.problem import Problem
from thalweg.recipes.run_folder import unwritable
from thalweg.recipes.scores import in_figures
from thalweg.report import pictures

MOST_MISTAKES = 24
WITHOUT_MATPLOTLIB = "pictures  none: matplotlib is not installed (pip install 'thalweg[report]')"


def draw(outcome: Any, problem: Problem, best_epoch: int | None) -> str:
    """Draw everything; returns the line to print."""
    try:
        drawn = [*_of_training(outcome, best_epoch), *_of_test(outcome, problem)]
    except ImportError:
        return WITHOUT_MATPLOTLIB
    except OSError as error:
        raise unwritable(outcome.folder.path, error) from None
    return f"pictures  {', '.join(path.name for path in drawn)} in {outcome.folder}"


def _of_training(outcome: Any, best_epoch: int | None) -> list[Path]:
    folder, history = outcome.folder.path, outcome.history
    if not history.steps["step"]:
        return []
    drawn = [
        pictures.draw_loss(folder / "loss.png", history.steps, history.history, best_epoch),
        pictures.draw_learning_rate(folder / "learning_rate.png", history.steps),
        pictures.draw_gradient_norms(folder / "gradient_norms.png", history.steps),
    ]
    if history.epoch:
        drawn.insert(1, pictures.draw_epochs(folder / "epochs.png", history.history, best_epoch))
    return drawn


def _of_test(outcome: Any, problem: Problem) -> list[Path]:
    folder, scores = outcome.folder.path, outcome.scores
    if scores.points is not None:
        numbers = scores.numbers
        summary = f"R2 {numbers['r2']:.3f}, RMSE {in_figures(numbers['rmse'])}"
        true, predicted = scores.points
        name = problem.data["target"]
        return [pictures.draw_predictions(folder / "predictions.png", true, predicted, name, summary)]
    classes = problem.outputs.classes or []
    drawn = [pictures.draw_confusion(folder / "confusion_matrix.png", scores.confusion, classes)]
    if isinstance(problem.reader, ImageReader):
        drawn += _mistakes(folder / "mistakes.png", outcome, problem, classes)
    return drawn


def _mistakes(path: Path, outcome: Any, problem: Problem, classes: list[Any]) -> list[Path]:
    """The wrong answers that the network is surest of."""
    images, labels = (np.concatenate(parts) for parts in zip(*problem.test(), strict=True))
    probabilities = problem.outputs.probabilities(outcome.predictor.raw(images))
    predicted, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:MOST_MISTAKES]
    if not len(wrong):
        return []
    true, said = ([classes[number] for number in numbers[wrong]] for numbers in (labels, predicted))
    return [pictures.draw_mistakes(path, images[wrong], true, said, sure[wrong])]
