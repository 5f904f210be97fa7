"""Counts of steps that parameters have in common: one tensor for all that always take their steps together.

In: the states of an optimizer's parameters, and which have a gradient. Out: the same states, where equal counts are one
tensor, or no longer are. What follows from a count (Adam's corrections) is then computed once and not for each
parameter: of a step of 100 parameters that is two fifths of what the compiler has to look at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from thalweg.tensor import Tensor, tensor
from thalweg.tensor.holding import bump_version
from thalweg.tensor.modes import TraceAgain, modes, outside_trace

States = dict[Tensor, dict[str, Any]]


def keep_apart(states: States, names: Collection[str], gradients: Mapping[Tensor, Tensor | None]) -> None:
    """Before a step: who shares a count with others but has no gradient keeps the old one, in a tensor of its own."""
    due = {param for param, grad in gradients.items() if grad is not None}
    if len(due) == len(gradients):
        return
    counted = [(param, name) for param, state in states.items() for name in state if name in names]
    moving = {states[param][name] for param, name in counted if param in due}
    kept: dict[Tensor, Tensor] = {}
    for param, name in counted:
        shared = states[param][name]
        if param not in due and shared in moving:
            if shared not in kept:
                kept[shared] = _copy(shared)
            states[param][name] = kept[shared]
    if kept:
        bump_version()  # a step that was compiled knows the counts that were
    written = () if modes.trace is None else [cell for cell, _ in modes.trace.values.values()]
    if any(cell is count for cell in written for count in kept):
        raise TraceAgain  # an earlier step of the same trace took them for one


def _copy(count: Tensor) -> Tensor:
    """A new cell of the same value, which in a trace is the one before the step that is being traced."""
    with outside_trace():
        new: Any = tensor(0, dtype=count.dtype)
        return new.copy_(count)  # type: ignore[no-any-return]


def join_equal(states: States, names: Iterable[str]) -> States:
    """The states as they were loaded, with one tensor for each value that a count has."""
    for name in names:
        known: dict[int, Tensor] = {}
        for state in states.values():
            if name in state:
                state[name] = known.setdefault(int(state[name].item()), state[name])
    return states
