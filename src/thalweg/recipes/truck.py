"""The recipe for the truck backer-upper: lessons that grow harder, and starts from a CSV file.

In: settings. Out: a `Problem` whose examples are starts of a truck, and whose targets are the dock: (0, 0, 0).
Nguyen and Widrow's lessons begin near the dock; over the first half of the epochs they reach the whole field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from thalweg.data import Dataset, Draws, Moment, Table, read_csv
from thalweg.errors import DataError, explain
from thalweg.models import truck_starts
from thalweg.models.truck import starts_at
from thalweg.recipes.defaults import filled
from thalweg.recipes.problem import CONTROL, Chunk, Outputs, Problem
from thalweg.recipes.settings import Settings

STEPS = 50
"""Steps in an epoch."""
VALIDATED, TESTED = 500, 2000
FIRST_LESSON = 0.2
COLUMNS = ("x", "y", "trailer", "cab")
DOCK = 3
"""Numbers of a target: where the trailer's end shall be, and how it shall be turned."""
_VALIDATION, _TEST = 1, 2


def prepare(settings: Settings) -> Problem:
    """Starts for training, other ones to choose the best epoch, and 2,000 that nothing has seen."""
    settings = filled(settings, 0)
    assert settings.batch_size is not None
    assert settings.epochs is not None
    validation, test = (
        truck_starts(count, np.random.default_rng([settings.seed, part]))
        for count, part in ((VALIDATED, _VALIDATION), (TESTED, _TEST))
    )
    count = STEPS * settings.batch_size
    return Problem(
        name=settings.recipe,
        outputs=Outputs(task=CONTROL, width=len(COLUMNS)),
        reader=StartReader(),
        input_shape=(len(COLUMNS),),
        training=Lessons(count, settings.epochs),
        validation=with_dock(validation),
        test=lambda: iter([with_dock(test)]),
        counts={"training": count, "validation": VALIDATED, "test": TESTED},
        data={"name": settings.recipe, "origin": "simulated; D. Nguyen, B. Widrow (1989)", "sha256": ""},
    )


def with_dock(starts: np.ndarray) -> Chunk:
    """Starts, and the dock for each of them."""
    return starts, np.zeros((len(starts), DOCK), np.float32)


class Lessons(Dataset):
    """Starts that are drawn anew in every epoch, farther from the dock from epoch to epoch of the first half."""

    def __init__(self, count: int, epochs: int) -> None:
        self.count, self.epochs = count, epochs

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: Any) -> Any:
        return tuple(each[0] for each in self.take([index]))

    def take(self, indices: ArrayLike) -> Chunk:
        """Starts of the last lesson, the same whenever they are asked for."""
        return self.draw(indices, Moment(0, (self.epochs,)))

    def draw(self, indices: ArrayLike, moment: Moment) -> Chunk:
        """The starts of these numbers in an epoch."""
        return with_dock(starts_at(Draws(moment, indices).uniform(len(COLUMNS)), self.difficulty(moment.stream[0])))

    def difficulty(self, epoch: int) -> float:
        """From 0.2 to 1 over the first half of the epochs."""
        return FIRST_LESSON + (1 - FIRST_LESSON) * min(1.0, 2 * epoch / self.epochs)


@dataclass(frozen=True)
class StartReader:
    """Starts from CSV files with the columns x, y (metres), trailer and cab (radians)."""

    width: int = len(COLUMNS)

    def inputs(self, path: str) -> Iterator[np.ndarray]:
        for _, starts in self.named_inputs([path]):
            yield starts

    def labelled(self, path: str) -> Iterator[Chunk]:
        for starts in self.inputs(path):
            yield with_dock(starts)

    def named_inputs(self, paths: list[str]) -> Iterator[tuple[Table, np.ndarray]]:
        """What is shown in front of each prediction, and the inputs."""
        for path in paths:
            table = read_csv(path)
            if missing := [name for name in COLUMNS if name not in table]:
                raise DataError(
                    explain("a start is four numbers", received=", ".join(table.names),
                            expected=f"columns {', '.join(COLUMNS)}; {missing[0]} is missing", where=path)
                )  # fmt: skip
            columns = {name: np.asarray(table[name]) for name in COLUMNS}
            if any(each.dtype.kind not in "fi" or not np.isfinite(each).all() for each in columns.values()):
                raise DataError(explain("a start is four numbers", received="text, or an empty cell", where=path))
            yield Table(columns), np.stack(list(columns.values()), 1).astype(np.float32)

    def to_config(self) -> dict[str, Any]:
        return {"kind": "starts"}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> StartReader:
        return cls()
