"""What a training run knows about itself while it runs: the blackboard that the loop writes and callbacks read.

In: nothing. Out: `TrainingState`, found as `trainer.state`: which epoch and step, the batch, its loss and prediction,
the numbers of the epoch (`logs`), what callbacks asked to watch, and whether to stop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thalweg.tensor import Tensor


@dataclass
class StepNumbers:
    """The numbers of steps that followed each other in one epoch: a list with one entry a step under each name."""

    first_step: int
    epoch: int
    loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    watched: dict[str, list[float]] = field(default_factory=dict)
    """What callbacks watch and is one number a step; every step of a slice watches the same."""
    vectors: dict[str, list[np.ndarray]] = field(default_factory=dict)
    """What callbacks watch and is several numbers a step, as flat arrays."""

    def __len__(self) -> int:
        return len(self.loss)

    @property
    def steps(self) -> list[int]:
        """The numbers of the steps."""
        return list(range(self.first_step, self.first_step + len(self)))

    def add(self, loss: float, learning_rate: float, watched: dict[str, Tensor]) -> None:
        """The numbers of one more step."""
        self.loss.append(loss)
        self.learning_rate.append(learning_rate)
        for name, value in watched.items():
            if value.numel() == 1:
                self.watched.setdefault(name, []).append(value.item())
            elif value.numel():
                self.vectors.setdefault(name, []).append(value.numpy().reshape(-1).copy())

    def extend(self, more: StepNumbers) -> None:
        """The numbers of the steps that came next."""
        self.loss += more.loss
        self.learning_rate += more.learning_rate
        for name, values in more.watched.items():
            self.watched.setdefault(name, []).extend(values)
        for name, vectors in more.vectors.items():
            self.vectors.setdefault(name, []).extend(vectors)

    def rows(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Each step's number with its values by name."""
        columns = {"loss": self.loss, "learning_rate": self.learning_rate} | self.watched
        for index, step in enumerate(self.steps):
            yield step, {name: values[index] for name, values in columns.items()}


@dataclass
class TrainingState:
    """One run of `fit`. Epochs and steps count from 0; `step` goes on over several calls of `fit`."""

    epoch: int = 0
    epochs: int = 0
    step: int = 0
    """Number of the update under way: how many this trainer has made before it."""
    batch: int = 0
    """Number of the batch within its epoch."""
    batches: int | None = None
    """Batches in an epoch, where the length of the data is known."""
    examples: int = 0
    """Examples of this epoch that have been seen."""
    inputs: Any = None
    targets: Tensor | None = None
    weights: Tensor | None = None
    loss: Tensor | None = None
    """Mean loss of the batch, without penalties. Known from the event `update` on; inside a step that is not compiled,
    or in callbacks that are traced, it is pending."""
    prediction: Tensor | None = None
    watched: dict[str, Tensor] = field(default_factory=dict)
    """Quantities that callbacks put here inside the step; they come out of it with the loss."""
    slice: StepNumbers | None = None
    """The numbers of the steps that have just ended, at the event `slice_end`."""
    learning_rate: float = 0.0
    """The rate of the last step, in the first parameter group."""
    logs: dict[str, Any] = field(default_factory=dict)
    """The numbers of this epoch: loss, metrics, and the same of the validation with `val_` before their names."""
    validates: bool = False
    """Whether this run has validation data."""
    plan: Any = None
    """What this call of `fit` was found to mean (`train.plan.Plan`): its data, epochs and callbacks."""
    stop_reason: str | None = None
    interrupted: bool = False
    is_resumed: bool = False
    """Whether this run goes on from a checkpoint."""
    is_restarted: bool = False
    """Whether it was to go on, and found nothing: what an earlier attempt wrote belongs to no run."""
    is_within_epoch: bool = False
    """Whether a part of the epoch that comes next was trained before the run was broken off."""
    is_within_step: bool = False
    """Whether a step, or a slice of them, is under way: then the state is not whole."""
    epoch_is_over: bool = False
    """Whether everything that belongs to this epoch has been done, the validation too."""
    exception: BaseException | None = None
    has_warned: bool = False
    """Whether a loss that is not finite has been reported."""

    def count_step(self) -> None:
        """On to the next batch."""
        self.step += 1
        self.batch += 1
