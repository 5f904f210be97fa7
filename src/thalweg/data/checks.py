"""Checks of arguments that several files of this room share.

In: what a caller passed.
Out: the same as a plain int, or an ArgumentError that names the argument.
"""

from __future__ import annotations

import operator

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
