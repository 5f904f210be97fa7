"""What a run writes down and says: its configuration, its results, and a few lines for whoever watches.

In: settings, the problem, the outcome.
Out: plain values for config.json and results.json; lines of text.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.diagnose import PROBLEMS
from thalweg.diagnose.judge import problems
from thalweg.recipes import record
from thalweg.recipes.networks import Network
from thalweg.recipes.problem import DETECTION, SEGMENTATION, Problem
from thalweg.recipes.run_folder import FORMAT, VERSION, RunFolder
from thalweg.recipes.scores import Scores
from thalweg.recipes.settings import Settings

MOST_POINTS = 1000
"""Of a regression's test part that the results keep."""


def configuration(settings: Settings, problem: Problem, shape: Network, command: str) -> dict[str, Any]:
    """config.json: everything that repeats the run and uses its result."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": problem.name,
        "command": command,
        "started": record.now(),
        "seed": settings.seed,
        "settings": settings.record(),
        "network": shape.to_config() | {"parameters": shape.parameters},
        "outputs": problem.outputs.to_config(),
        "inputs": problem.reader.to_config(),
        "data": problem.data | {"examples": problem.counts},
        "notes": problem.notes,
        "git_commit": record.commit(),
        "versions": record.versions(),
        "machine": record.machine(),
    }


def results(outcome: Any, best: int | None) -> dict[str, Any]:
    """results.json: what came out."""
    history, scores = outcome.history, outcome.scores
    validation = {name: values[best] for name, values in history.history.items() if best is not None}
    return {
        "test": scores.numbers | {"examples": scores.examples, "baseline": scores.baseline},
        "best_epoch": None if best is None else best + 1,
        "at_best_epoch": validation,
        "epochs": len(history.epoch),
        "steps": len(history.steps["step"]),
        "training_seconds": round(outcome.seconds, 3),
        "stop_reason": history.stop_reason,
        "interrupted": history.interrupted,
        "repaired": outcome.repaired,
        "confusion_matrix": scores.confusion,
        "by_class": scores.by_class,
        "samples": scores.samples,
        "points": _some_points(scores),
    }


def _some_points(scores: Scores) -> dict[str, Any] | None:
    """True and predicted values of a regression, some of many, for the report."""
    if scores.points is None:
        return None
    rows = np.linspace(0, len(scores.points[0]) - 1, min(len(scores.points[0]), MOST_POINTS)).round().astype(np.int64)
    true, predicted = (np.asarray(each, np.float64)[rows] for each in scores.points)
    return {"true": true, "predicted": predicted}


def introduction(settings: Settings, problem: Problem, shape: Network, folder: RunFolder) -> list[str]:
    """What is about to happen, in a few lines."""
    if settings.quiet:
        return []
    parts = ", ".join(f"{count:,} {name}" for name, count in problem.counts.items())
    classes = problem.outputs.classes
    joined = "of" if problem.outputs.task in (SEGMENTATION, DETECTION) else "into"
    task = problem.outputs.task + (f" {joined} {counted_classes(len(classes))}" if classes is not None else "")
    return [
        *(f"note      {note}" for note in problem.notes),
        f"data      {problem.name}: {task}; examples: {parts}",
        f"network   {shape}, {shape.parameters:,} parameters",
        f"training  {settings.optimizer}, {settings.schedule} learning rate up to {settings.lr:g}, batches of "
        f"{settings.batch_size}, at most {counted(settings.epochs or 0, 'epoch')}, seed {settings.seed}",
        f"run       {folder}",
    ]


def conclusion(outcome: Any, best: int | None) -> list[str]:
    """What came out, in a few lines; with --quiet in one."""
    scores, history = outcome.scores, outcome.history
    if outcome.settings.quiet:
        name = scores.headline
        return [f"{outcome.folder}: test {name.replace('_', ' ')} {scores.numbers[name]:.6g}"]
    kept = "no whole epoch: the weights are those of the last step" if best is None else f"best epoch {best + 1}"
    kept = f"weights of a repaired copy: {outcome.repaired}" if outcome.repaired else kept
    found = problems(outcome.findings)
    diagnosis = [f"found     {', '.join(PROBLEMS[each].title for each in found)}: thalweg report {outcome.folder}"]
    trained = f"trained   {outcome.seconds:.1f} s, {counted(len(history.epoch), 'epoch')}, {kept}"
    interrupted = ["interrupted: what was learnt until here is saved"] if history.interrupted else []
    return [
        *interrupted,
        trained,
        *(diagnosis if found else []),
        f"test      {scores.examples:,} examples",
        *(f"  {line}" for line in scores.lines()),
    ]


def counted_classes(number: int) -> str:
    """One class, or several."""
    return "1 class" if number == 1 else f"{number} classes"


def counted(number: int, what: str) -> str:
    """A number of things in words.

    >>> counted(1, "epoch"), counted(12, "epoch")
    ('1 epoch', '12 epochs')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"
