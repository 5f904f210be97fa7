"""Checks of arguments, and errors on one line, that several files of this room share.

In: what a caller passed; an error. Out: the same argument, an integer as a plain int, or an ArgumentError that names
it; the problem, what was received and where, from an error's message.
"""

from __future__ import annotations

import operator
from collections.abc import Collection

from thalweg.errors import ArgumentError, explain


def checked_count(name: str, value: object, least: int, where: str) -> int:
    """The value as an int of at least `least`; booleans are no counts.

    >>> checked_count("batch_size", 32, 1, "DataLoader")
    32
    """
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if number < least:
        raise ArgumentError(
            explain(
                f"{name} must be an integer of at least {least}",
                received=repr(value),
                where=where,
                remedy=f"for example {name}={max(least, 1)}",
            )
        )
    return number


def checked_choice(name: str, value: str, choices: Collection[str]) -> str:
    """The value, if it is one of the choices.

    >>> checked_choice("on_error", "skip", ("raise", "skip"))
    'skip'
    """
    if value not in choices:
        raise ArgumentError(
            explain(f"unknown {name}", received=repr(value), expected=" or ".join(map(repr, choices)), where=name)
        )
    return value


def part_of(error: Exception, name: str) -> str:
    """What the message of an error says under `received`, `expected`, `where` or `remedy`; "" if it does not.

    >>> part_of(ArgumentError(explain("too few", received=3)), "received")
    '3'
    """
    lines = (line.strip() for line in str(error).split("\n")[1:])
    return next((line.removeprefix(f"{name}:").strip() for line in lines if line.startswith(f"{name}:")), "")


def reason_of(error: Exception) -> str:
    """The problem of an error and what was received, on one line."""
    received = part_of(error, "received")
    return str(error).split("\n")[0] + (f" ({received})" if received else "")
