"""What a training run knows about itself while it runs: the blackboard that the loop writes and callbacks read.

In: nothing. Out: `TrainingState`, found as `trainer.state`: which epoch and step, the batch, its loss and prediction,
the numbers of the epoch (`logs`), what callbacks asked to watch, and whether to stop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from thalweg.tensor import Tensor


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
    """Mean loss of the batch, without penalties. Pending inside a step, known from the event `update` on."""
    prediction: Tensor | None = None
    watched: dict[str, Tensor] = field(default_factory=dict)
    """Quantities that callbacks put here inside the step; they come out of it with the loss."""
    learning_rate: float = 0.0
    """The rate of the last step, in the first parameter group."""
    logs: dict[str, Any] = field(default_factory=dict)
    """The numbers of this epoch: loss, metrics, and the same of the validation with `val_` before their names."""
    validates: bool = False
    """Whether this run has validation data."""
    stop_reason: str | None = None
    interrupted: bool = False
    exception: BaseException | None = None
    has_warned: bool = False
    """Whether a loss that is not finite has been reported."""
