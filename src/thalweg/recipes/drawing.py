"""The pictures of a run, drawn into its folder, and the report that shows them.

In: the outcome of a run.
Out: PNG files, report.html, and one line that says which; without matplotlib one line that says so.
"""

from __future__ import annotations

from typing import Any

from thalweg.recipes.picture_drawing import of_pictures
from thalweg.recipes.problem import Problem
from thalweg.recipes.run_folder import unwritable
from thalweg.recipes.scores import Scores, in_figures
from thalweg.recipes.telling import counted
from thalweg.report import pictures
from thalweg.report.pictures import measure_name
from thalweg.report.run_report import RunReport, Shown

REPORT = "report.html"
WITHOUT_MATPLOTLIB = "pictures  none: matplotlib is not installed (pip install 'thalweg[report]')"


def draw(outcome: Any, problem: Problem, best_epoch: int | None) -> str:
    """Draw everything; returns the line to print."""
    try:
        test = [*_of_test(outcome, problem), *of_pictures(outcome, problem)]
        training = _of_training(outcome, best_epoch)
        report(outcome, problem, best_epoch, [*test, *training]).write(outcome.folder.path / REPORT)
    except ImportError:
        return WITHOUT_MATPLOTLIB
    except OSError as error:
        raise unwritable(outcome.folder.path, error) from None
    names = ", ".join(shown.path.name for shown in (*training, *test))
    return f"pictures  {names}; all of them in {outcome.folder.path / REPORT}"


def _of_training(outcome: Any, best_epoch: int | None) -> list[Shown]:
    folder, history = outcome.folder.path, outcome.history
    if not history.steps["step"]:
        return []
    steps, epochs = history.steps, history.history
    loss = pictures.draw_loss(folder / "loss.png", steps, epochs, best_epoch)
    rate = pictures.draw_learning_rate(folder / "learning_rate.png", steps)
    norms = pictures.draw_gradient_norms(folder / "gradient_norms.png", steps)
    drawn = [
        Shown("Loss at each iteration", "Every step, smoothed, and the validation part after each epoch", loss),
        Shown("Learning rate", "As the schedule sets it", rate),
        Shown("Gradient norm of each layer", "Before clipping; layers that learn have gradients of a size", norms),
    ]
    if history.epoch:
        path = pictures.draw_epochs(folder / "epochs.png", epochs, best_epoch)
        drawn.insert(1, Shown("Each epoch", "Loss and measures on the training and the validation part", path))
    return drawn


def _of_test(outcome: Any, problem: Problem) -> list[Shown]:
    folder, scores = outcome.folder.path, outcome.scores
    if scores.points is not None:
        numbers = scores.numbers
        summary = f"R2 {numbers['r2']:.3f}, RMSE {in_figures(numbers['rmse'])}"
        true, predicted = scores.points
        name = problem.data["target"]
        path = pictures.draw_predictions(folder / "predictions.png", true, predicted, name, summary)
        return [Shown("Predicted against true values", "A point for each row of the test part", path)]
    if scores.confusion is None:
        return []
    path = pictures.draw_confusion(folder / "confusion_matrix.png", scores.confusion, problem.outputs.classes or [])
    return [Shown("Confusion matrix", "Which classes are taken for which, on the test part", path)]


# --- the report ------------------------------------------------------------------------------------------------------


def report(outcome: Any, problem: Problem, best_epoch: int | None, shown: list[Shown]) -> RunReport:
    """The report of a run as data."""
    scores, settings = outcome.scores, outcome.settings
    parts = ", ".join(f"{count:,} {name}" for name, count in problem.counts.items())
    kept = "those of the last step" if best_epoch is None else f"those of epoch {best_epoch + 1}"
    facts = [
        ("data", f"{problem.name}: {parts}"),
        ("task", problem.outputs.task),
        ("network", f"{outcome.predictor.shape}, {outcome.predictor.shape.parameters:,} parameters"),
        ("training", f"{settings.optimizer}, {settings.schedule} learning rate up to {settings.lr:g}, batches of "
         f"{settings.batch_size}, {counted(len(outcome.history.epoch), 'epoch')}, {outcome.seconds:.1f} s"),
        ("weights", kept),
        ("seed", str(settings.seed)),
    ]  # fmt: skip
    return RunReport(
        title=f"{problem.name}: {outcome.folder.path.name}",
        result=f"{measure_name(scores.headline)} of the test part: {in_figures(scores.numbers[scores.headline])}",
        facts=facts,
        tables=_tables(scores),
        pictures=shown,
        command=outcome.command,
        notes=problem.notes,
    )


def _tables(scores: Scores) -> list[tuple[str, list[str], list[list[str]]]]:
    overall = [[measure_name(name), in_figures(value)] for name, value in scores.numbers.items()]
    tables = [(f"Test part, {scores.examples:,} examples", ["measure", "value"], overall)]
    if scores.by_class:
        names = list(next(iter(scores.by_class.values())))
        rows = [[each, *(in_figures(values[name]) for name in names)] for each, values in scores.by_class.items()]
        tables.append(("Each class", ["class", *map(measure_name, names)], rows))
    return tables
