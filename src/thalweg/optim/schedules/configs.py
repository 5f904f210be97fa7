"""Schedules from their configuration: what `Schedule.to_config` gave, from a file or a checkpoint.

In: a table of JSON values with the name of a schedule in it. Out: that schedule. The name is looked up among all that
have been defined: those of this room, and a user's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from thalweg.errors import ConfigurationError, explain
from thalweg.optim.schedules import combine, cyclic, decay
from thalweg.optim.schedules.base import CONFIG_KEY, Schedule, is_config

OURS = (combine, cyclic, decay)  # to import them is to enter their classes into `Schedule.kinds`


def from_config(config: Mapping[str, Any]) -> Schedule:
    """The schedule that `to_config` described.

    >>> from_config({"schedule": "Constant", "lr": 0.1})
    Constant(lr=0.1)
    """
    name = config.get(CONFIG_KEY) if isinstance(config, Mapping) else None
    kind = Schedule.kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ConfigurationError(
            explain(
                "unknown schedule",
                received=repr(config),
                expected=f"a table whose {CONFIG_KEY!r} is one of " + ", ".join(sorted(Schedule.kinds)),
            )
        )
    arguments = {key: _built(value) for key, value in config.items() if key != CONFIG_KEY}
    names = [each.name for each in fields(kind)]
    unknown = sorted(set(arguments) - set(names))
    if unknown:
        raise ConfigurationError(
            explain(f"{name} has no such setting", received=", ".join(unknown), expected=", ".join(names))
        )
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ConfigurationError(explain(f"{name} lacks a setting", received=str(error), expected=names)) from None


def _built(value: Any) -> Any:
    if is_config(value):
        return from_config(value)
    return tuple(_built(each) for each in value) if isinstance(value, (list, tuple)) else value
