"""From which checkpoint a run goes on: the newest that can be read.

In: what `Trainer.fit(resume=...)` was given. Out: a checkpoint that was put into the trainer, or None where a run
begins. A file that is damaged is told of in one line, and the one before is taken.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from thalweg.data.checks import reason_of
from thalweg.errors import ConfigurationError, DTypeError, FileFormatError, explain
from thalweg.train.callbacks import BackupAndRestore, Callback, ModelCheckpoint
from thalweg.train.callbacks.backup import CHECKPOINTS
from thalweg.train.checkpoint import FORMATS, Checkpoint, put_back, read, read_metadata

SUFFIX = ".safetensors"


def resume_from(resume: Any, trainer: Any, callbacks: Sequence[Callback]) -> dict[str, Any] | None:
    """Find the checkpoint, put model, optimizer and counts of the trainer where it was, and return the run's position.

    None where a run begins.

    Raises ConfigurationError if there is nothing to go on with, FileFormatError if nothing of it can be read,
    StateError if it does not fit.
    """
    found = _found(resume, trainer, callbacks)
    if found is None:
        return None
    checkpoint, path = found
    put_back(checkpoint, trainer, path)
    return checkpoint.position


def may_go_on(resume: Any, trainer: Any, callbacks: Sequence[Callback]) -> bool:
    """Whether the run was to go on with an earlier one, if there is one."""
    return resume is True or (resume is None and bool(_restoring(_savers(trainer, callbacks))))


def newest(files: Iterable[Path]) -> tuple[Checkpoint, Path] | None:
    """The checkpoint of the most steps that can be read; None if there is none.

    A file that cannot be read is told of in one line. Raises FileFormatError if none of several can be.
    """
    damaged: list[FileFormatError] = []
    for path in sorted((each for each in files if _may_be_checkpoint(each)), key=_age, reverse=True):
        try:
            checkpoint = read(path)
        except FileFormatError as error:
            damaged.append(error)
            continue
        if damaged:
            _tell_of(damaged[0], path)
        return checkpoint, path
    if damaged:
        raise damaged[0]
    return None


def checkpoints_in(folder: str | os.PathLike[str]) -> list[Path]:
    """The safetensors files in a folder and in the `checkpoints` of a run folder; weights alone are among them."""
    places = (Path(folder), Path(folder) / CHECKPOINTS)
    return sorted(path for place in places if place.is_dir() for path in place.glob(f"*{SUFFIX}"))


def _found(resume: Any, trainer: Any, callbacks: Sequence[Callback]) -> tuple[Checkpoint, Path] | None:
    savers = _savers(trainer, callbacks)
    if resume is None:
        return newest(path for each in _restoring(savers) for path in each.files())
    if resume is False:
        return None
    if resume is True:
        if not savers:
            remedy = "pass Trainer(run_folder=...) or a ModelCheckpoint, or resume=PATH"
            raise ConfigurationError(explain("nothing says where to resume from", where="fit(resume)", remedy=remedy))
        return newest(path for each in savers for path in each.files())
    return _at(_checked_path(resume))


def _savers(trainer: Any, callbacks: Sequence[Callback]) -> list[ModelCheckpoint]:
    own = callbacks if isinstance(callbacks, (list, tuple)) else ()  # the plan says what is wrong with anything else
    return [each for each in (*trainer.callbacks, *own) if isinstance(each, ModelCheckpoint)]


def _restoring(savers: Sequence[ModelCheckpoint]) -> list[ModelCheckpoint]:
    return [each for each in savers if isinstance(each, BackupAndRestore) and each.restores]


def _at(path: Path) -> tuple[Checkpoint, Path]:
    if not path.is_dir():
        return read(path), path
    found = newest(checkpoints_in(path))
    if found is None:
        remedy = "resume=True begins where there is none; a run that has come to its end leaves its weights alone"
        raise ConfigurationError(
            explain("there is nothing to go on with", received=path, expected="a folder with a checkpoint in it",
                    where="fit(resume)", remedy=remedy)
        )  # fmt: skip
    return found


def _checked_path(resume: Any) -> Path:
    if not isinstance(resume, str | os.PathLike):
        expected = "a checkpoint file, a folder of them, or True"
        raise DTypeError(
            explain("this is nothing to resume from", received=repr(resume), expected=expected, where="fit(resume)")
        )
    return Path(resume)


def _may_be_checkpoint(path: Path) -> bool:
    """Not a file of weights alone; what cannot be read may have been one."""
    try:
        return read_metadata(path).get("format", "").startswith(FORMATS)
    except FileFormatError:
        return True


def _age(path: Path) -> tuple[int, str]:
    """When it was written: names alone need not tell, and a copy of a folder keeps times and order."""
    return path.stat().st_mtime_ns, path.name


def _tell_of(error: FileFormatError, path: Path) -> None:
    message = explain(
        "the newest checkpoint cannot be read; the one before is used",
        received=reason_of(error),
        where=f"{path.name} instead",
        remedy="what was trained since is trained again",
    )
    warnings.warn(message, RuntimeWarning, stacklevel=2)
