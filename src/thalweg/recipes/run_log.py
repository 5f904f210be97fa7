"""What happened to a run, in its folder: log.jsonl, a line for each event, from each process that worked on it.

In: the run folder, the command. Out: the first line says what repeats the run (versions, machine, seed, command, commit
of git), then epochs and errors, and the last one how it ended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from thalweg.recipes import record
from thalweg.recipes.run_folder import RunFolder
from thalweg.recipes.settings import Settings
from thalweg.train.callbacks import EventLog

LOG = "log.jsonl"


@contextlib.contextmanager
def logged(folder: RunFolder, settings: Settings, command: str, event: str = "run_begin") -> Iterator[EventLog]:
    """The log of a run while it is worked on; an error that ends the work is its last line."""
    log = EventLog(folder.path.name, folder.path / LOG)
    log.event(event, **_circumstances(settings, command))
    try:
        yield log
    except BaseException as error:
        with contextlib.suppress(Exception):  # the disk may be full: that is what the error says
            log.event("run_failed", "error", error=f"{type(error).__name__}: {error}".split("\n")[0])
        raise


def _circumstances(settings: Settings, command: str) -> dict[str, Any]:
    """What its numbers depend on besides the settings; a run that goes on may do so on another machine."""
    return {
        "command": command, "seed": settings.seed, "git_commit": record.commit(), "versions": record.versions(),
        "machine": record.machine(),
    }  # fmt: skip


def ended(log: EventLog, outcome: Any) -> None:
    """The last line of a run that came to an end, or was interrupted."""
    scores = outcome.scores
    level = "warning" if outcome.was_interrupted else "info"
    log.event(
        "run_end", level, seconds=round(outcome.seconds, 3), interrupted=outcome.was_interrupted,
        epochs=len(outcome.history.epoch), test=scores.numbers,
    )  # fmt: skip
