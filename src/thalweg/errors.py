"""Every error Thalweg raises on purpose, and the one way its message is built.

In: what was received, what was expected, where, and the remedy. Out: exceptions that derive from
`ThalwegError` *and* from the built-in that fits, so `except ValueError` keeps working.
"""

from __future__ import annotations

from typing import Any


class ThalwegError(Exception):
    """Base of every error that Thalweg raises on purpose."""


class ShapeError(ThalwegError, ValueError):
    """Shapes that do not fit together."""


class DTypeError(ThalwegError, TypeError):
    """A dtype, or a Python type, that an operation does not take."""


class ArgumentError(ThalwegError, ValueError):
    """An argument outside the values that are allowed."""


class IndexRangeError(ThalwegError, IndexError):
    """An index, class label or embedding row out of range."""


class GradientError(ThalwegError, RuntimeError):
    """Backpropagation was asked for something that it cannot give."""


class TraceError(ThalwegError, RuntimeError):
    """A step that is being compiled did something that only works on known values."""


class NonFiniteError(ThalwegError, FloatingPointError):
    """A NaN or an infinity where finite numbers were asked for."""


class MemoryLimitError(ThalwegError, MemoryError):
    """A step that needs more memory than this process may take; nothing was allocated.

    `layout` is the plan of its memory, and `limit` how many bytes there are.
    """

    def __init__(self, message: str, layout: Any = None, limit: int = 0) -> None:
        super().__init__(message)
        self.layout, self.limit = layout, limit


class DataError(ThalwegError, ValueError):
    """Data that cannot be trained on: empty, mismatched lengths, wrong labels."""


class FileFormatError(DataError):
    """A file that is unreadable, truncated, or not what its name says."""


class ConfigurationError(ThalwegError, ValueError):
    """A flag, a configuration value or a combination of them that makes no sense."""


class StateError(ThalwegError, KeyError):
    """A state dictionary whose names or shapes do not match."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0]) if self.args else ""


class ValidationError(ThalwegError, AssertionError):
    """A kernel whose result is not what its operations mean: a mistake in Thalweg, found by THALWEG_VALIDATE=1."""


class StructureError(ThalwegError, AssertionError):
    """A graph that is not legal: a mistake in Thalweg itself, found by `verify`."""


def explain(
    problem: str,
    *,
    received: object = None,
    expected: object = None,
    where: str | None = None,
    remedy: str | None = None,
) -> str:
    """Build a message that says what went wrong, what was received and expected, where, and what to do.

    >>> print(explain("the batch is empty", received="0 rows", expected="at least 1", remedy="check the filter"))
    the batch is empty
      received: 0 rows
      expected: at least 1
      remedy:   check the filter
    """
    lines = [problem]
    for label, value in (("received", received), ("expected", expected), ("where", where), ("remedy", remedy)):
        if value is not None:
            lines.append(f"  {label + ':':<9} {value}")
    return "\n".join(lines)
