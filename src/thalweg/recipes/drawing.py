"""The pictures of a run, drawn into its folder, and the report that shows them.

In: the outcome of a run.
Out: PNG files, report.html, and one line that says which; without matplotlib one line that says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thalweg.recipes.picture_drawing import of_pictures
from thalweg.recipes.problem import REGRESSION, Problem
from thalweg.recipes.reporting import OF_TEST, REPORT, report_of, test_figure
from thalweg.recipes.run_folder import unwritable
from thalweg.recipes.sequence_drawing import of_sequences
from thalweg.report import pictures

WITHOUT_MATPLOTLIB = "matplotlib is not installed (pip install 'thalweg[report]')"


def draw(outcome: Any, problem: Problem, best_epoch: int | None) -> str:
    """Draw everything; returns the line to print."""
    path = outcome.folder.path / REPORT
    try:
        try:
            drawn = [*_of_training(outcome, best_epoch), *_of_test(outcome, problem), *of_pictures(outcome, problem),
                     *of_sequences(outcome, problem)]  # fmt: skip
            said = ", ".join(each.name for each in drawn)
        except ImportError:
            said = f"none: {WITHOUT_MATPLOTLIB}"
        report_of(outcome.folder).write(path)
    except OSError as error:
        raise unwritable(outcome.folder.path, error) from None
    return f"pictures  {said}; report {path}"


def _of_training(outcome: Any, best_epoch: int | None) -> Iterator[Path]:
    folder, history = outcome.folder.path, outcome.history
    steps, epochs = history.steps, history.history
    if not steps["step"]:
        return
    yield pictures.saved(pictures.draw_loss(steps, epochs, best_epoch), folder / "loss.png")
    if names := pictures.measures_of(epochs):
        yield pictures.saved(pictures.draw_epochs(epochs, best_epoch, names), folder / "epochs.png")
    yield pictures.saved(pictures.draw_learning_rate(steps), folder / "learning_rate.png")
    yield pictures.saved(pictures.draw_gradient_norms(steps), folder / "gradient_norms.png")


def _of_test(outcome: Any, problem: Problem) -> Iterator[Path]:
    drawn = test_figure(outcome.scores, problem.outputs.classes, problem.data.get("target", ""))
    if drawn is not None:
        yield pictures.saved(drawn, outcome.folder.path / OF_TEST[outcome.scores.task == REGRESSION][2])
