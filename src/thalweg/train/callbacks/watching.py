"""`Watch`: what weights, gradients, updates and outputs do at every step, for nearly nothing.

In: each step, inside its own program.
Out: a `Record` of all watched numbers, with the facts of the set-up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from thalweg.diagnose.facts import constant_loss, facts_of_array, facts_of_model, facts_of_targets
from thalweg.diagnose.record import Record
from thalweg.diagnose.watch import FIRST_HALF, SECOND_HALF, WHOLE, Watcher, checked_quantities
from thalweg.optim.hyper import MEMBERS, plain
from thalweg.train.callbacks.base import Callback, Priority, whole_number


class Watch(Callback):
    """Record what the gradients do.

    The quantities become part of the compiled step: sums over a gradient are made while the optimizer reads it. They
    change no bit of the weights. Many steps still run in one native call; each step gives one small vector.

    Args:
        quantities: names of `tw.diagnose.QUANTITIES`; by default all that are meant for every step.
        every: watch steps 0, n, 2n, ... Default 1.

    Attributes:
        record: the `tw.diagnose.Record` of the last or current call of `fit`.

    >>> import numpy as np, thalweg as tw
    >>> x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    >>> watch = Watch()
    >>> model = tw.nn.Sequential(tw.nn.Linear(3, 4), tw.nn.ReLU(), tw.nn.Linear(4, 1))
    >>> trainer = tw.Trainer(model, loss="mse", callbacks=[watch], progress=False)
    >>> _ = trainer.fit((x, x[:, 0]), epochs=2, batch_size=16)
    >>> watch.record["gradient_rms"].shape
    (8, 2)
    """

    priority = Priority.RECORD
    adds_logs = False
    traced = True

    def __init__(self, quantities: Iterable[str] | None = None, every: int = 1) -> None:
        self.quantities = checked_quantities(quantities)
        self.every_steps = whole_number("every", every, 1, "Watch")
        self.record = Record()
        self._watcher: Watcher | None = None

    def on_fit_begin(self, trainer: Any) -> None:
        self.record = Record()
        self.record.facts = facts_of_run(trainer)
        if self._watcher is None or self._watcher.model is not trainer.model:
            self.detach()
            self._watcher = Watcher(trainer.model, self.quantities)
        self._watcher.penalties, self._watcher.is_clipped = trainer.penalties, trainer.clip_norm is not None
        self._watcher.passage.listens = True
        self._watcher.dead_shares()  # of the run before

    def detach(self) -> None:
        """Take the hooks off the model."""
        if self._watcher is not None:
            self._watcher.passage.close()
            self._watcher = None

    # --- inside the step ---------------------------------------------------------------------------------------------

    def on_loss(self, trainer: Any) -> None:
        if self._watcher is not None:
            self._watcher.see(trainer.state.prediction)

    def on_gradients(self, trainer: Any) -> None:
        if self._watcher is not None:
            trainer.state.watched |= self._watcher.gradients(_is_cut(trainer))

    def on_weights(self, trainer: Any) -> None:
        if self._watcher is not None:
            trainer.state.watched |= self._watcher.weights()

    # --- between steps -----------------------------------------------------------------------------------------------

    def on_slice_end(self, trainer: Any) -> None:
        numbers = trainer.state.slice
        if self._watcher is None or numbers.first_step % self.every_steps:
            return
        keys = {name: self._watcher.key(name) for name in (WHOLE, FIRST_HALF, SECOND_HALF)}
        vectors = {name: numbers.vectors[key] for name, key in keys.items() if key in numbers.vectors}
        columns = {name: self._watcher.columns[name] for name in vectors}
        self.record.layers = self._watcher.layers
        self.record.add_steps(numbers.steps, numbers.epoch, numbers.loss, numbers.learning_rate, vectors, columns)

    def on_epoch_end(self, trainer: Any) -> None:
        if self._watcher is not None:
            self.record.add_epoch(trainer.state.logs, self._watcher.dead_shares())

    def state_dict(self) -> dict[str, Any]:
        active = {} if self._watcher is None else self._watcher.active_units()
        return {"record": self.record.to_arrays(), "active": active}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.record = Record.from_arrays(state["record"])
        if self._watcher is not None:
            self._watcher.put_active_units(state["active"])

    def on_fit_end(self, trainer: Any) -> None:
        if self._watcher is not None:
            self._watcher.passage.listens = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}(every={self.every_steps})"


def _is_cut(trainer: Any) -> bool:
    """Whether Python runs between the gradients of this step and its update, so that they are two programs."""
    return trainer.steps.is_compiled and trainer.listeners.cut_the_step(trainer.state.step)  # type: ignore[no-any-return]


def facts_of_run(trainer: Any) -> dict[str, Any]:
    """What is known of the set-up before the first step, as plain values."""
    optimizer, plan = trainer.optimizer, trainer.state.plan
    groups = [{name: plain(group[name]) for name in group if name not in MEMBERS} for group in optimizer.param_groups]
    facts: dict[str, Any] = {
        "loss": trainer.objective.name, "optimizer": type(optimizer).__name__, "groups": groups,
        "clip_norm": trainer.clip_norm, "clip_value": trainer.clip_value, "seed": trainer.seed,
        "penalties": [
            {"name": getattr(each, "__name__", type(each).__name__), "strength": getattr(each, "strength", None)}
            for each in trainer.penalties
        ],
        **facts_of_model(trainer.model),
    }  # fmt: skip
    return facts if plan is None else facts | _facts_of_plan(trainer, plan)


def _facts_of_plan(trainer: Any, plan: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"epochs": plan.epochs, "batches": plan.training.batches}
    if plan.training.loader is not None:
        facts["batch_size"] = plan.training.loader.batch_size
    arrays = plan.training.arrays
    if arrays is None:
        return facts
    inputs = arrays.inputs if isinstance(arrays.inputs, tuple) else (arrays.inputs,)
    facts["inputs"] = [facts_of_array(np.asarray(each)) for each in inputs if hasattr(each, "shape")]
    if hasattr(arrays.targets, "shape"):
        targets = np.asarray(arrays.targets)
        facts["targets"] = facts_of_targets(targets)
        facts["constant_loss"] = constant_loss(trainer.objective.name, targets)
    return facts
