"""Where a run is, between two steps: all that it goes on from besides weights, optimizer and seed.

In: a Trainer at a boundary. Out: plain values for a checkpoint: the epoch and the batch in it, what meters and
callbacks have seen, the key of the random numbers. In a run that goes on from it, everything is put back.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from thalweg.errors import StateError, explain
from thalweg.tensor.random import default_generator
from thalweg.train.callbacks.base import Priority

INTERRUPTED = "interrupted by "
"""How the reason begins for which a run was stopped from outside: such a run has not come to its end."""
CHANGING = (Priority.MEASURE, Priority.DECIDE, Priority.MEND)
"""Without such a callback the result is another; one that writes or shows may be left out."""


def write_position(trainer: Any) -> dict[str, Any]:
    """The position as plain values and arrays, copies of nothing: they are packed before the next step."""
    state, plan = trainer.state, trainer.state.plan
    is_within = plan is not None and not state.epoch_is_over
    return {
        "epoch": state.epoch + (state.epoch_is_over and plan is not None),
        "batch": state.batch if is_within else 0,
        "examples": state.examples if is_within else 0,
        "meters": trainer.meters.state_dict(),
        "learning_rate": state.learning_rate,  # of the last step: the optimizer's may already be the next one's
        "random": default_generator.get_state(),
        "stop_reason": None if (state.stop_reason or "").startswith(INTERRUPTED) else state.stop_reason,
        "has_warned": state.has_warned,
        "data": None if plan is None else facts_of_data(plan),
        "callbacks": states_of(trainer.callbacks if plan is None else plan.callbacks),
    }


def check_position(position: Any) -> None:
    """Raise KeyError or TypeError for what `write_position` cannot have given."""
    kinds = {
        "epoch": int, "batch": int, "examples": int, "meters": dict, "random": dict, "stop_reason": str | None,
        "has_warned": bool, "data": dict | None, "callbacks": list,
    }  # fmt: skip
    for name, kind in kinds.items():
        if not isinstance(position[name], kind):
            raise TypeError(f"{name} is {position[name]!r}")
    if not isinstance(position.get("learning_rate", 0.0), float):  # version 0.1 began without it
        raise TypeError(f"learning_rate is {position['learning_rate']!r}")
    for each in position["callbacks"]:
        if not (isinstance(each["name"], str) and isinstance(each["state"], dict) and "is_missed" in each):
            raise TypeError(f"a callback's state is {each!r}")


def read_position(trainer: Any, position: dict[str, Any]) -> None:
    """Put the run that has just begun where the checkpoint was; callbacks get their states.

    Raises StateError if that is in the middle of an epoch of other data.
    """
    state, plan = trainer.state, trainer.state.plan
    state.is_within_epoch = position["batch"] > 0
    if state.is_within_epoch:
        check_data(plan, position)
        state.batch, state.examples = position["batch"], position["examples"]
        trainer.meters.load_state_dict(position["meters"])
        default_generator.set_state(position["random"])
    else:
        state.epoch = max(position["epoch"] - 1, 0)  # the last one, until the next begins: there may be none
    state.learning_rate = position.get("learning_rate", state.learning_rate)
    if plan.training.source is not None and position["data"] is not None:
        plan.training.source.seed = position["data"]["seed"]
    state.stop_reason, state.has_warned = position["stop_reason"], position["has_warned"]
    load_states(plan.callbacks, position["callbacks"])


# --- the data --------------------------------------------------------------------------------------------------------


def facts_of_data(plan: Any) -> dict[str, Any]:
    """What the order of an epoch depends on; None for what is not known of this kind of data."""
    source = plan.training.source
    return {
        "batches": plan.training.batches,
        "examples": plan.training.examples,
        "batch_size": None if source is None else source.batch_size,
        "seed": None if source is None else source.seed,
    }


def check_data(plan: Any, position: dict[str, Any]) -> None:
    """Refuse to go on in the middle of an epoch whose batches would be others."""
    known = position["data"] or {}
    found = facts_of_data(plan)
    for name in ("examples", "batch_size", "batches"):
        if known.get(name) != found[name]:
            raise StateError(
                explain(
                    "the checkpoint is in the middle of an epoch of other data",
                    received=f"{name} {found[name]}",
                    expected=f"{name} {known.get(name)}",
                    where=f"fit(resume=...), epoch {position['epoch'] + 1} after {position['batch']} batches",
                    remedy="pass the same data and batch_size, or resume from a checkpoint of an epoch's end",
                )
            )


# --- callbacks -------------------------------------------------------------------------------------------------------


def states_of(callbacks: Iterable[Any]) -> list[dict[str, Any]]:
    """The name and the state of each callback that remembers something, and whether a run without it is another."""
    named = [
        {"name": name, "state": each.state_dict(), "is_missed": each.priority in CHANGING}
        for name, each in _named(callbacks)
    ]
    return [each for each in named if each["state"]]


def load_states(callbacks: Iterable[Any], states: Iterable[dict[str, Any]]) -> None:
    """To each callback the state of its namesake; one line says for whom there is no callback any more."""
    saved = {each["name"]: each for each in states}
    for name, callback in _named(callbacks):
        if name in saved:
            _load_state(callback, saved.pop(name)["state"])
    missed = [name for name, each in saved.items() if each["is_missed"]]
    if missed:
        message = explain(
            "the checkpoint holds the state of callbacks that this run does not have",
            received=", ".join(missed),
            where="fit(resume=...)",
            remedy="pass the same callbacks for the same result; the run goes on without them",
        )
        warnings.warn(message, RuntimeWarning, stacklevel=2)


def _load_state(callback: Any, state: dict[str, Any]) -> None:
    try:
        callback.load_state_dict(state)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        received = f"{type(error).__name__}: {error}"
        remedy = "was its class changed since? resume without it, or give it a load_state_dict that takes older states"
        raise StateError(
            explain("a callback cannot go on", received=received, where=f"{callback!r}.load_state_dict", remedy=remedy)
        ) from error


def _named(callbacks: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """The callbacks with names of their own: the class, and which of its instances."""
    counts: dict[str, int] = {}
    for each in callbacks:
        kind = type(each).__name__
        counts[kind] = counts.get(kind, 0) + 1
        yield f"{kind} {counts[kind]}" if counts[kind] > 1 else kind, each
