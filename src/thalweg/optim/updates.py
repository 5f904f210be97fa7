"""Running an optimizer's step outside of a compiled one: as a program of its own, once it has come often enough.

In: an optimizer and the gradients of its parameters. Out: parameters, state and counter a step further. The first times
the update is evaluated like any pending work; later the nodes of its arithmetic are not even made.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from thalweg.errors import TraceError
from thalweg.graph import next_serial
from thalweg.tensor import Tensor, lazy
from thalweg.tensor.core import flush
from thalweg.tensor.holding import Version
from thalweg.tensor.modes import modes
from thalweg.tensor.trace import Step

Presence = tuple[bool, ...]

# How often the update of each kind of optimizer on parameters of the same types has been evaluated, in this process.
_counts: dict[Hashable, int] = {}


class Updates:
    """The compiled updates of one optimizer, one for each set of parameters that had gradients."""

    def __init__(self) -> None:
        self.steps: dict[Presence, Step] = {}
        self.meaning: Hashable = None
        self.version = -1
        self.is_traceable = True

    def __deepcopy__(self, memo: dict[int, Any]) -> Updates:
        return Updates()  # what is compiled is bound to the tensors of its optimizer

    def __reduce__(self) -> tuple[Any, ...]:
        return Updates, ()

    def run(self, optimizer: Any, gradients: Sequence[Tensor | None]) -> None:
        """One step. Pending gradients, and whatever else was written, are computed first."""
        given = [each for each in gradients if each is not None]
        flush(*given)
        presence = tuple([each is not None for each in gradients])
        self._forget_what_changed(optimizer)
        step = self.steps.get(presence)
        if step is not None and self._is_done_by(step, given):
            return
        if self._evaluate(optimizer, gradients):
            self.steps[presence] = _compiled(optimizer, presence)

    def _is_done_by(self, step: Step, gradients: Sequence[Tensor]) -> bool:
        if modes.anomaly or lazy.eager:
            return False
        try:
            step(*gradients)
        except TraceError:  # a schedule that looks at values: nothing was written, and it is not tried again
            self.steps, self.is_traceable = {}, False
            return False
        return True

    def _evaluate(self, optimizer: Any, gradients: Sequence[Tensor | None]) -> bool:
        """The update as pending work; say whether it should be compiled the next time."""
        before = next_serial()
        optimizer._write_updates(gradients)
        size = next_serial() - before
        if not self.is_traceable or not is_pure(optimizer):
            flush()
            return False
        flush(may_compile=False)
        key = (_kind(optimizer), tuple([each is not None for each in gradients]))
        count = _counts[key] = _counts.get(key, 0) + 1
        return count >= 2 and count * size >= lazy.COMPILE_AFTER and size <= lazy.LARGEST

    def _forget_what_changed(self, optimizer: Any) -> None:
        """Compiled updates hold as long as the groups keep their structure and the state is in the same tensors."""
        groups = [
            (each.structure, [param._node.form.type for param in each["params"]]) for each in optimizer.param_groups
        ]
        cells = [id(each) for state in optimizer.state.values() for each in state.values()]
        meaning = (id(optimizer), groups, cells)
        if meaning != self.meaning:
            self.steps, self.meaning = {}, meaning
        elif self.version != Version.number:
            for step in self.steps.values():
                step.vouch()
        self.version = Version.number


def _compiled(optimizer: Any, presence: Presence) -> Step:
    def update(*given: Tensor) -> None:
        remaining = iter(given)
        optimizer._write_updates([next(remaining) if is_there else None for is_there in presence])

    return Step(update)


def _kind(optimizer: Any) -> Hashable:
    """What decides how much work the update is: the sort of optimizer, its terms, the types of its parameters."""
    groups = optimizer.param_groups
    types = tuple([param._node.form.type for group in groups for param in group["params"]])
    terms = tuple([(name, value is None) for group in groups for name, value in group.operands().items()])
    return type(optimizer), types, terms


def is_pure(optimizer: Any) -> bool:
    """Whether the update is known to be nothing but its tensor operations: a user's own may count in Python."""
    return all(
        getattr(type(optimizer), name).__module__.startswith("thalweg.") for name in ("update", "init", "_prepare")
    )
