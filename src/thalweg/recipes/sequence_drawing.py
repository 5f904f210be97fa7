"""What a run that has learnt from sequences shows of them: the ways of trucks, what an attention looks at.

In: the outcome of a run, its problem. Out: PNG files in the run folder; what is said about each in a report.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.models import docked
from thalweg.recipes.problem import CONTROL, Problem
from thalweg.report.sequence_pictures import draw_trajectories
from thalweg.tensor import from_numpy, no_grad

TRUCKS_DRAWN = 12
SAID_OF_SEQUENCES: dict[tuple[str, str], tuple[str, str]] = {
    (CONTROL, "trajectories.png"): (
        "Ways to the dock", "Trucks of the test part, seen from above: where they start (grey), their ways, their ends"
    ),
}  # fmt: skip
"""Heading and caption of each picture, by the task and the name of the file."""


def of_sequences(outcome: Any, problem: Problem) -> list[Path]:
    """The pictures of the test part's sequences; none for tables and pictures."""
    kind = DRAWINGS.get(problem.outputs.task)
    return [] if kind is None else kind(outcome, problem)


def _of_trucks(outcome: Any, problem: Problem) -> list[Path]:
    (starts, _), *_ = problem.test()
    model = outcome.predictor.model
    ends = outcome.predictor.raw(starts)
    rows = np.arange(min(TRUCKS_DRAWN, len(starts)))
    with no_grad():
        ways = np.asarray(model.path(from_numpy(np.ascontiguousarray(starts[rows]))).numpy())
    ways = np.concatenate([ways, ends[rows][None]])
    is_docked = docked(ends)
    path = outcome.folder.path / "trajectories.png"
    return [draw_trajectories(path, ways, is_docked[rows], ends[~is_docked])]


DRAWINGS: dict[str, Callable[[Any, Problem], list[Path]]] = {CONTROL: _of_trucks}
