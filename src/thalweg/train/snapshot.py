"""A copy of everything that a step depends on besides its batch, to go back to.

In: a trainer between two steps. Out: a `Snapshot`, which puts back the weights, the optimizer's state, the random key
and the number of the step.
"""

from __future__ import annotations

import copy
from typing import Any, Self

from thalweg.tensor.random import default_generator
from thalweg.train.weights import copy_state


class Snapshot:
    """Everything that a step depends on besides its batch, as copies."""

    def __init__(self, trainer: Any) -> None:
        self.weights = copy_state(trainer.model)
        self.optimizer = copy.deepcopy(trainer.optimizer.state_dict())
        self.random = default_generator.get_state()
        self.step, self.batch = trainer.state.step, trainer.state.batch

    def state_dict(self) -> dict[str, Any]:
        """The same for a checkpoint: everything by text."""
        numbered = {str(number): state for number, state in self.optimizer["state"].items()}
        kept = {"weights": self.weights, "optimizer": self.optimizer | {"state": numbered}}
        return kept | {"random": self.random, "step": self.step, "batch": self.batch}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """What `state_dict` gave."""
        made = cls.__new__(cls)
        vars(made).update(state)
        return made

    def put_back(self, trainer: Any) -> None:
        """The trainer as it was then."""
        self.put_back_weights(trainer)
        default_generator.set_state(self.random)
        trainer.state.step = self.step

    def put_back_weights(self, trainer: Any) -> None:
        """Weights and the optimizer's state alone: steps and random numbers go on."""
        trainer.model.load_state_dict(self.weights)
        trainer.optimizer.load_state_dict(self.optimizer)
        trainer.optimizer.zero_grad()
