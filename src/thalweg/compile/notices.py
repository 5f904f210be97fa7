"""What the compiler tells its user where it goes on in another way: one line, never an error.

In: what was found, what it means, and the remedy. Out: a RuntimeWarning of one line, without the source line that
Python would print below it, which would be one of ours.
"""

from __future__ import annotations

import contextlib
import warnings


def notice(found: str, meaning: str, remedy: str) -> None:
    """Say it; training goes on even where warnings are errors. Whoever calls sees to it that it is said once."""
    with contextlib.suppress(RuntimeWarning):
        warnings.warn_explicit(f"{found}; {meaning}; {remedy}", RuntimeWarning, "thalweg", 0)
