"""Weights and whole training states on disk: safetensors files that appear whole or not at all.

In: a module or a dictionary of arrays; a Trainer. Out: a file; from a file the arrays, the module or the Trainer as it
was. Nothing is ever unpickled: a safetensors file is a JSON header and raw numbers, and can run no code.

A weights file has the names and layouts of `state_dict`, so PyTorch's safetensors loads it. A checkpoint has the same
under ``model.``, the optimizer's state under ``optimizer.<parameter>.``, long lists and arrays of the run under
``run.``, and the rest as JSON in the header, beside a SHA-256 of everything that is checked when it is read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save as to_bytes

from thalweg.data.files import atomic_write, believing_nothing
from thalweg.errors import ConfigurationError, DTypeError, FileFormatError, StateError, explain
from thalweg.train.packing import pack, unpack
from thalweg.train.position import check_position, write_position
from thalweg.train.safetensors_file import damaged, read_safetensors, read_texts
from thalweg.train.weights import as_array, as_mapping, copy_state

PathLike = str | os.PathLike[str]
FORMAT, FORMATS = "thalweg-checkpoint-2", "thalweg-checkpoint-"
MODEL, OPTIMIZER, RUN = "model.", "optimizer.", "run."


def save_weights(path: PathLike, source: Any, metadata: Mapping[str, str] | None = None) -> None:
    """Write the parameters and buffers of a module, or a dictionary of arrays, to a safetensors file.

    Args:
        path: where. The file is written beside it, flushed to disk and renamed: if anything fails, an older file of
            the name is still whole.
        source: a module, or a mapping from names to tensors or arrays.
        metadata: names and texts for the header, for example the data the model was trained on.

    Raises:
        DTypeError: entries that are not numbers; metadata that is not text. ConfigurationError: the folder is missing
            or cannot be written.

    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(folder + "/w.safetensors", {"w": np.ones(2, np.float32)})
    ...     load_weights(folder + "/w.safetensors")
    {'w': array([1., 1.], dtype=float32)}
    """
    arrays = {name: as_array(value, name) for name, value in as_mapping(source).items()}
    _write(path, arrays, dict(metadata or {}))


def load_weights(path: PathLike, module: Any = None, strict: bool = True) -> dict[str, np.ndarray]:
    """Read the weights of a safetensors file, of a checkpoint its model's; with `module` also write them into it.

    Args:
        path: a file of `save_weights`, `save_checkpoint`, or anybody's safetensors.
        module: takes the values through `load_state_dict`; nothing is changed if they do not fit.
        strict: names must be the module's, all of them.

    Raises:
        FileFormatError: no such file, truncated, or no safetensors. StateError: it does not fit the module.
    """
    arrays, metadata = _read(path)
    if metadata.get("format", "").startswith(FORMATS):
        arrays = _under(MODEL, arrays)
    if module is not None:
        _load_into(module, arrays, strict, path)
    return arrays


def read_metadata(path: PathLike) -> dict[str, str]:
    """The texts in the header of a safetensors file."""
    return read_texts(path)


# --- a whole training state ------------------------------------------------------------------------------------------


class Checkpoint(NamedTuple):
    """A whole training state: copies that later steps do not change, or what was read from a file."""

    arrays: dict[str, np.ndarray]
    details: dict[str, Any]

    @property
    def position(self) -> dict[str, Any]:
        """Where the run was, see `train.position`."""
        return unpack(self.details["run"], _under(RUN, self.arrays))  # type: ignore[no-any-return]

    @property
    def step(self) -> int:
        """How many updates the trainer had made."""
        return int(self.details["trainer"]["step"])


def take(trainer: Any) -> Checkpoint:
    """A copy of all that training goes on from, between two steps."""
    optimizer = trainer.optimizer.state_dict()
    arrays = {MODEL + name: array for name, array in copy_state(trainer.model).items()}
    for index, state in optimizer["state"].items():
        arrays |= {f"{OPTIMIZER}{index}.{name}": as_array(value, name) for name, value in state.items()}
    run, more = pack(write_position(trainer))
    details = {
        "trainer": trainer.state_dict(),
        "optimizer": {name: value for name, value in optimizer.items() if name != "state"},
        "optimizer_class": type(trainer.optimizer).__name__,
        "run": run,
    }
    return Checkpoint(arrays | {RUN + name: array for name, array in more.items()}, details)


def write(path: PathLike, checkpoint: Checkpoint) -> None:
    """The checkpoint as a file that appears whole or not at all. Raises ConfigurationError if it cannot be written."""
    details = _as_json(checkpoint.details)
    metadata = {"format": FORMAT, "details": details, "sha256": checksum(checkpoint.arrays, details)}
    _write(path, checkpoint.arrays, metadata)


def read(path: PathLike) -> Checkpoint:
    """The checkpoint in a file. Raises FileFormatError: unreadable, damaged, weights only, or of another version."""
    arrays, metadata = _read(path)
    if not metadata.get("format", "").startswith(FORMATS):
        remedy = "load it with load_weights, or save with ModelCheckpoint(save_weights_only=False)"
        raise FileFormatError(
            explain("this file holds weights only", expected="a checkpoint", where=str(path), remedy=remedy)
        )
    if metadata["format"] != FORMAT:
        received, remedy = metadata["format"], "load its weights with load_weights, which takes all versions"
        raise FileFormatError(
            explain(
                "a checkpoint of another version", received=received, expected=FORMAT, where=str(path), remedy=remedy
            )
        )
    checkpoint = Checkpoint(arrays, _details(metadata, path))
    try:
        check_position(checkpoint.position)
        _optimizer_state(arrays)
        _ = checkpoint.step
    except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        raise damaged(path, f"its header: {error!r}") from None
    return checkpoint


def checksum(arrays: Mapping[str, np.ndarray], details: str) -> str:
    """SHA-256 over the details and every array with its name, dtype and shape, in the order of the names."""
    import hashlib  # noqa: PLC0415

    digest = hashlib.sha256(details.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"\n{name} {array.dtype.str} {arrays[name].shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def save_checkpoint(path: PathLike, trainer: Any) -> None:
    """Write all that training goes on from: weights, optimizer state, random numbers, the position in the epoch,
    what meters, callbacks and the history have seen."""
    write(path, take(trainer))


def load_checkpoint(path: PathLike, trainer: Any) -> None:
    """Put the model, the optimizer and the counts of a Trainer where they were when the checkpoint was written.

    Raises:
        FileFormatError: unreadable, damaged, or weights only. StateError: of another model or optimizer; nothing is
            changed.
    """
    put_back(read(path), trainer, path)


def put_back(checkpoint: Checkpoint, trainer: Any, path: PathLike) -> None:
    """The same from a checkpoint that was read from `path`."""
    arrays, details = checkpoint
    _check_class(details["optimizer_class"], trainer, path)
    before = copy_state(trainer.model)
    _load_into(trainer.model, _under(MODEL, arrays), True, path)
    try:
        with believing_nothing("the checkpoint", path):
            trainer.optimizer.load_state_dict(details["optimizer"] | {"state": _optimizer_state(arrays)})
            trainer.load_state_dict(details["trainer"])
    except Exception:
        trainer.model.load_state_dict(before)
        raise


def _optimizer_state(arrays: Mapping[str, np.ndarray]) -> dict[int, dict[str, np.ndarray]]:
    found: dict[int, dict[str, np.ndarray]] = {}
    for name, array in _under(OPTIMIZER, arrays).items():
        index, _, field = name.partition(".")
        found.setdefault(int(index), {})[field] = array
    return found


def _check_class(saved: str, trainer: Any, path: PathLike) -> None:
    if saved != type(trainer.optimizer).__name__:
        raise StateError(
            explain(
                "the checkpoint is of another optimizer",
                received=saved,
                expected=type(trainer.optimizer).__name__,
                where=str(path),
                remedy="build the Trainer with the optimizer that it was saved with, or use load_weights",
            )
        )


def _as_json(details: dict[str, Any]) -> str:
    try:
        return json.dumps(details)
    except TypeError as error:
        raise DTypeError(explain("the training state cannot be written as JSON", received=error)) from error


def _details(metadata: Mapping[str, str], path: PathLike) -> dict[str, Any]:
    try:
        details = json.loads(metadata["details"])
        known = {name: details[name] for name in ("trainer", "optimizer", "optimizer_class", "run")}
        return known | {name: details[name] for name in ("setup",) if name in details}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise damaged(path, f"its header: {error}") from None


# --- files -----------------------------------------------------------------------------------------------------------


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _write(path: PathLike, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    if not all(isinstance(each, str) for pair in metadata.items() for each in pair):
        raise DTypeError(explain("metadata is names and texts", received=repr(metadata), remedy="use json.dumps"))
    content = to_bytes(arrays, metadata or None)
    try:
        with atomic_write(path) as stream:
            stream.write(content)
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "create the folder, free some space, or choose another path; an older file of this name is unharmed"
        raise ConfigurationError(
            explain("the weights cannot be written", received=reason, where=str(path), remedy=remedy)
        ) from error


def _read(path: PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    arrays, metadata = read_safetensors(path)
    if "sha256" in metadata and metadata["sha256"] != checksum(arrays, metadata.get("details", "")):
        raise damaged(path, "its content does not have the checksum that was written with it")
    return arrays, metadata


def _load_into(module: Any, arrays: dict[str, np.ndarray], strict: bool, path: PathLike) -> None:
    try:
        module.load_state_dict(arrays, strict=strict)
    except StateError as error:
        error.args = (f"{error}\n  file:     {path}",)
        raise
