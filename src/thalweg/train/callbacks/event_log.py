"""What happens in a run, one line for each event: for people, or as JSON for machines.

In: the name of an event and its numbers. Out: records of the standard library's logger ``thalweg``, which says nothing
unless somebody listens; and, if a file is named, JSON lines that are on disk when the call returns.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from thalweg.data.checks import checked_choice
from thalweg.errors import ConfigurationError, explain
from thalweg.train.callbacks.loggers import as_json

LOGGER = logging.getLogger("thalweg")
LOGGER.addHandler(logging.NullHandler())  # no word, not even of warnings, where nobody has asked
FORMATS, LEVELS = ("text", "json"), ("debug", "info", "warning", "error")


class EventLog:
    """Where the events of one run go.

    Args:
        run: its name, in every line; None leaves it out.
        path: a file for JSON lines as well; lines are added to what is there.

    >>> log_to(sys.stdout, level="info").setFormatter(Lines(with_time=False))
    >>> EventLog("digits-001").event("epoch_end", epoch=3, loss=0.25)
    INFO epoch_end run=digits-001 epoch=3 loss=0.25
    >>> LOGGER.handlers.pop().close(); LOGGER.setLevel("NOTSET")
    """

    def __init__(self, run: str | None = None, path: str | os.PathLike[str] | None = None) -> None:
        self.run, self.path = run, None if path is None else Path(path)

    def event(self, name: str, level: str = "info", **fields: Any) -> None:
        """One event; `level` is "debug", "info", "warning" or "error"."""
        number = logging.getLevelNamesMapping()[level.upper()]
        if self.path is None and not LOGGER.isEnabledFor(number):
            return
        told = ({} if self.run is None else {"run": self.run}) | {key: as_json(each) for key, each in fields.items()}
        if self.path is not None:
            self._append(line_of(_now(), level, name, told))
        if LOGGER.isEnabledFor(number):
            LOGGER.log(number, "%s %s", name, _in_words(told), extra={"event": name, "fields": told})

    def _append(self, line: str) -> None:
        assert self.path is not None
        try:
            with open(self.path, "a", encoding="utf-8", newline="") as stream:
                stream.write(line + "\n")
        except OSError as error:
            reason, remedy = error.strerror or str(error), "free some space, or choose another folder"
            raise ConfigurationError(
                explain("the log cannot be written", received=reason, where=str(self.path), remedy=remedy)
            ) from error


class JSONLines(logging.Formatter):
    """``{"time": ..., "level": "info", "event": "epoch_end", "epoch": 3, ...}``."""

    def format(self, record: logging.LogRecord) -> str:
        name, told = getattr(record, "event", "message"), getattr(record, "fields", None)
        when = datetime.datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        return line_of(when, record.levelname.lower(), name, told or {"message": record.getMessage()})


class Lines(logging.Formatter):
    """``2026-11-22T08:00:00 INFO epoch_end epoch=3 loss=0.25``."""

    def __init__(self, with_time: bool = True) -> None:
        time = "%(asctime)s " if with_time else ""
        super().__init__(time + "%(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\n", " | ")


def log_to(
    target: TextIO | str | os.PathLike[str] | None = None, format: str = "text", level: str = "info"
) -> logging.Handler:
    """Show the events of all runs of this process; the same as a handler of one's own on the logger ``thalweg``.

    Args:
        target: a stream, or a file to add to; None (default) is standard error.
        format: "text", or "json" for one JSON object a line.
        level: the least that is shown: "debug", "info" (default), "warning" or "error".

    Returns:
        The handler; ``logging.getLogger("thalweg").removeHandler(handler)`` ends it.
    """
    checked_choice("format", format, FORMATS)
    number = logging.getLevelNamesMapping()[checked_choice("level", level, LEVELS).upper()]
    handler = _handler(sys.stderr if target is None else target)
    handler.setFormatter(JSONLines() if format == "json" else Lines())
    handler.setLevel(number)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(min(number, LOGGER.level or number))
    return handler


def _handler(target: TextIO | str | os.PathLike[str]) -> logging.Handler:
    if not isinstance(target, str | os.PathLike):
        return logging.StreamHandler(target)
    try:
        return logging.FileHandler(target, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            explain("the log cannot be written", received=error.strerror or str(error), where=str(target))
        ) from error


def line_of(time: str, level: str, event: str, told: dict[str, Any]) -> str:
    """One event as JSON."""
    return json.dumps({"time": time, "level": level, "event": event} | told, default=str, ensure_ascii=False)


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="milliseconds")


def _in_words(told: dict[str, Any]) -> str:
    return " ".join(f"{name}={_shown(value)}" for name, value in told.items())


def _shown(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return json.dumps(text) if not text or any(each in text for each in ' "\n=') else text
