"""Names that a user types: found, or refused with the closest ones.

In: a name and the names that exist. Out: a line for the remedy, or the error itself.
Shared by losses, optimizers and monitored quantities, so that a typing mistake reads the same everywhere.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from thalweg.errors import ArgumentError, explain


def did_you_mean(name: str, names: Iterable[str]) -> str | None:
    """``did you mean 'val_accuracy'?`` for the closest names, or None.

    >>> did_you_mean("val_acc", ["loss", "val_loss", "val_accuracy"])
    "did you mean 'val_accuracy'?"
    """
    plain = name.lower().replace("-", "_").replace(" ", "_")
    options = list(names)
    close = [each for each in options if len(plain) > 2 and (each.startswith(plain) or plain.startswith(each))]
    close = close or difflib.get_close_matches(plain, options, n=2, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else None


def unknown_name(what: str, name: str, names: Iterable[str], where: str) -> ArgumentError:
    """The error for a name outside a list of names."""
    options = list(names)
    remedy = did_you_mean(name, options) or "choose one of these names"
    return ArgumentError(
        explain(f"unknown {what}", received=repr(name), expected=", ".join(options), where=where, remedy=remedy)
    )
