"""`NonFinitePolicy`: what becomes of a run in which a step was left out because its loss or a gradient is not finite.

In: after each slice, whether its last step was left out; that was decided in the step itself, so weights, buffers, the
optimizer's state and the random key are those from before it. Out: an error that names the operation, a count, or an
earlier state with a smaller learning rate.
"""

from __future__ import annotations

import warnings
from typing import Any

from thalweg.diagnose.provenance import Birth
from thalweg.errors import ArgumentError, NonFiniteError, explain
from thalweg.optim.schedules import Constant, Product, Schedule
from thalweg.tensor import Tensor
from thalweg.tensor.trace import MOST_SKIPPED
from thalweg.train.callbacks.base import Callback, Priority
from thalweg.train.callbacks.provenance import birth_in, set_back
from thalweg.train.snapshot import Snapshot
from thalweg.train.steps import side_by_side

POLICIES = ("warn", "raise", "skip_step", "rollback")
SNAPSHOT_EVERY = 1000
"""Steps from one state to go back to until the next; there is one at the beginning of each epoch, too."""
MOST_ROLLBACKS = 5
"""Without a whole epoch in between."""
_SMALLER = 0.5


class NonFinitePolicy(Callback):
    """What `Trainer(nonfinite=...)` does after a step that was left out.

    Args:
        policy: ``"raise"``: a `NonFiniteError` that names the step and the first operation that made the value.
            ``"skip_step"``: go on with the next batch, as if this one had not been there; the tenth in a row raises.
            ``"rollback"``: put back weights and optimizer from the beginning of the epoch, or from the last 1,000th
            step if that is later, halve the learning rate (a schedule is halved as a whole), and go on with the next
            batch; the sixth time without a whole epoch in between raises.

    Attributes:
        skipped: the numbers of the steps that were left out.
        rollbacks: for each time: the step that was left out, and the step whose state was put back.

    >>> NonFinitePolicy("skip_step")
    NonFinitePolicy('skip_step')
    """

    priority = Priority.DECIDE
    adds_logs = False

    def __init__(self, policy: str) -> None:
        self.policy = checked_policy(policy)
        self.skipped: list[int] = []
        self.rollbacks: list[tuple[int, int]] = []
        self._in_a_row = self._since_whole_epoch = 0
        self._snapshot: Snapshot | None = None
        self.boundary_every = SNAPSHOT_EVERY if policy == "rollback" else None

    def on_fit_begin(self, trainer: Any) -> None:
        self.skipped, self.rollbacks = [], []
        self._in_a_row = self._since_whole_epoch = 0

    def on_epoch_begin(self, trainer: Any) -> None:
        if self.policy == "rollback":
            self._snapshot = Snapshot(trainer)

    def on_boundary(self, trainer: Any) -> None:
        if self.policy == "rollback" and trainer.state.step % SNAPSHOT_EVERY == 0 and not self._in_a_row:
            self._snapshot = Snapshot(trainer)

    def on_epoch_end(self, trainer: Any) -> None:
        self._since_whole_epoch = 0

    def on_slice_end(self, trainer: Any) -> None:
        flags = trainer.state.slice.watched.get("skipped", [])
        if not flags or not flags[-1]:
            self._in_a_row = 0
            return
        self._in_a_row = self._in_a_row + 1 if len(flags) == 1 else 1
        self.skipped.append(trainer.state.step)
        if self.policy == "raise":
            raise _error(trainer, "the step was left out")
        if self.policy == "rollback":
            self._roll_back(trainer)
        elif self._in_a_row == MOST_SKIPPED:
            raise _error(trainer, f"{MOST_SKIPPED} steps in a row were left out")
        elif len(self.skipped) == 1:
            _tell(trainer, "the step is left out, and so will be others; history.steps['skipped'] counts them")

    def _roll_back(self, trainer: Any) -> None:
        assert self._snapshot is not None
        self._since_whole_epoch += 1
        if self._since_whole_epoch > MOST_ROLLBACKS:
            raise _error(trainer, f"{MOST_ROLLBACKS} times went back to an earlier state, and no epoch was whole since")
        rates = [group["lr"] for group in trainer.optimizer.param_groups]
        self._snapshot.put_back_weights(trainer)
        for group, rate in zip(trainer.optimizer.param_groups, rates, strict=True):
            group["lr"] = _smaller(rate)
        self.rollbacks.append((trainer.state.step, self._snapshot.step))
        _tell(trainer, f"back to the weights of step {self._snapshot.step}, with half the learning rate")

    def state_dict(self) -> dict[str, Any]:
        snapshot = None if self._snapshot is None else self._snapshot.state_dict()
        counts = {"in_a_row": self._in_a_row, "since_whole_epoch": self._since_whole_epoch, "snapshot": snapshot}
        return counts | {"skipped": self.skipped, "rollbacks": [list(each) for each in self.rollbacks]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._in_a_row, self._since_whole_epoch = state["in_a_row"], state["since_whole_epoch"]
        self._snapshot = None if state["snapshot"] is None else Snapshot.from_state(state["snapshot"])
        self.skipped = list(state["skipped"])
        self.rollbacks = [(left_out, back) for left_out, back in state["rollbacks"]]

    def __repr__(self) -> str:
        return f"NonFinitePolicy({self.policy!r})"


def checked_policy(policy: Any) -> str:
    if policy not in POLICIES:
        expected = ", ".join(map(repr, POLICIES))
        raise ArgumentError(
            explain("unknown policy for values that are not finite", received=f"nonfinite={policy!r}",
                    expected=expected, where="Trainer")
        )  # fmt: skip
    return str(policy)


def _smaller(rate: Any) -> Any:
    if isinstance(rate, Schedule):
        return Product((rate, Constant(_SMALLER)))
    return _SMALLER * (float(rate.item()) if isinstance(rate, Tensor) else rate)


def _tell(trainer: Any, what: str) -> None:
    state = trainer.state
    where = f"step {state.step} (epoch {state.epoch + 1}, batch {state.batch + 1})"
    warnings.warn(f"{where}: {_problem(state)}; {what}", RuntimeWarning, stacklevel=6)


def _problem(state: Any) -> str:
    loss = state.loss.item()
    return f"the loss is {loss}" if loss - loss != 0 else "the loss is finite, a gradient or a statistic is not"


def _error(trainer: Any, what: str) -> NonFiniteError:
    state = trainer.state
    birth = _birth(trainer)
    made = "a gradient beyond 2^60 (2^500 in float64), whose square is out of range" if birth is None else str(birth)
    return NonFiniteError(
        explain(
            f"{_problem(state)}; {what}",
            received=made,
            expected="finite numbers; the weights are those from before the step",
            where=f"step {state.step} (epoch {state.epoch + 1}, batch {state.batch + 1})",
            remedy=("" if birth is None else f"{birth.cause}: ") + "lower the learning rate, clip the gradients "
            "(clip_norm=1.0), look at this batch" + _GOES_ON.get(trainer.nonfinite, ""),
        )
    )


_GOES_ON = {
    "raise": "; nonfinite='skip_step' or 'rollback' goes on",
    "rollback": "; or the weights had grown before the epoch began: train from the beginning with a smaller rate",
}


def _birth(trainer: Any) -> Birth | None:
    """The operation, from the state before the step, which is the state now, and the batch."""
    state = trainer.state
    form, tensors = side_by_side(state.inputs, state.targets, state.weights)
    with set_back(trainer, Snapshot(trainer)):
        return birth_in(trainer, form, tensors)
