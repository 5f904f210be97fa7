"""Weights of PyTorch models, in safetensors files: one file, or several with an index, as large models have them.

In: a path, and the module that takes the values. Out: a state dictionary with PyTorch's names and layouts, which are
also ours: nothing is renamed, and nothing transposed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.data.file_tree import Folder
from thalweg.data.files import check_size
from thalweg.errors import FileFormatError, StateError, explain
from thalweg.nn.module import Module
from thalweg.tensor import Tensor
from thalweg.train.checkpoint import load_weights

INDEX, ONE = "model.safetensors.index.json", "model.safetensors"
LARGEST_INDEX = 32 << 20
_SHOWN = 5


def load_state_dict_from(
    path: str | os.PathLike[str], module: Module | None = None, strict: bool = True, *, prefix: str = ""
) -> dict[str, Tensor]:
    """The state dictionary in a safetensors file; with `module` also written into it.

    In PyTorch the file is written by ``safetensors.torch.save_file(model.state_dict(), path)``; what
    `tw.train.save_weights` writes is read there by ``model.load_state_dict(safetensors.torch.load_file(path))``. Names,
    shapes and the order of axes are the same on both sides. float16 and bfloat16 become float32, which holds each of
    their values.

    Args:
        path: a ``.safetensors`` file, a checkpoint of ours (its weights), an index of several files
            (``model.safetensors.index.json``), or a folder that holds one of these.
        module: takes the values, all of them or, if anything does not fit, none. Parameters that it uses twice under
            two names may be there under one of them, as ``safetensors.torch.save_model`` leaves them.
        strict: True (default) wants the names to be the module's, all of them; the error lists those that are missing
            and those that are unexpected. False loads the names that match; ``module.load_state_dict(state,
            strict=False)`` returns the others.
        prefix: take only the entries whose names begin so, without it: ``"module."`` of a model that was trained in
            parallel, ``"encoder."`` for a part of a model.

    Raises:
        FileFormatError: no such file; damaged; a pickle (.pt, .pth, .bin); an index that names files elsewhere.
        StateError: names or shapes that do not fit; nothing is changed.

    >>> import tempfile, thalweg as tw
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tw.train.save_weights(folder + "/w.safetensors", tw.nn.Linear(2, 1))
    ...     state = load_state_dict_from(folder + "/w.safetensors", tw.nn.Linear(2, 1))
    >>> {name: value.shape for name, value in state.items()}
    {'bias': (1,), 'weight': (1, 2)}
    """
    arrays = _under(prefix, _arrays(Path(path)), path)
    state = {name: Tensor(array) for name, array in arrays.items()}
    if module is not None:
        _write(module, state, strict, path)
    return state


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if path.is_dir():
        path = _in_folder(path)
    return _of_index(path) if path.name.endswith(".json") else load_weights(path)


def _in_folder(folder: Path) -> Path:
    """The index, the usual name, or the only file of weights there."""
    usual = [folder / name for name in (INDEX, ONE) if (folder / name).is_file()]
    found = usual or sorted(folder.glob("*.safetensors"))
    if len(found) != 1 and not usual:
        names = ", ".join(each.name for each in found[:_SHOWN]) or "none"
        raise FileFormatError(
            explain("which weights of this folder?", received=names, expected=f"{ONE}, or {INDEX}", where=str(folder),
                    remedy="name the file")
        )  # fmt: skip
    return found[0]


def _of_index(path: Path) -> dict[str, np.ndarray]:
    """The tensors of the files that an index names; each must lie below the folder of the index."""
    files = _weight_map(path)
    folder, arrays = Folder(path.parent), dict[str, np.ndarray]()
    for file in dict.fromkeys(files.values()):
        held = load_weights(folder.inside(file))
        if absent := [name for name, other in files.items() if other == file and name not in held]:
            received = ", ".join(absent[:_SHOWN])
            raise FileFormatError(explain("a file lacks what its index says", received=received, where=file))
        arrays |= {name: held[name] for name, other in files.items() if other == file}
    return {name: arrays[name] for name in files}


def _weight_map(path: Path) -> dict[str, str]:
    try:
        check_size(path.stat().st_size, LARGEST_INDEX, path, "the index")
        files = json.loads(path.read_bytes())["weight_map"]
        if all(isinstance(each, str) for pair in files.items() for each in pair):
            return dict(files)
        received: object = "names or files that are no texts"
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        if isinstance(error, FileFormatError):
            raise
        received = f"{type(error).__name__}: {error}"[:200]
    expected = '{"weight_map": {"name": "file.safetensors", ...}}'
    raise FileFormatError(explain("this is no index of weights", received=received, expected=expected, where=str(path)))


def _under(prefix: str, arrays: dict[str, np.ndarray], path: object) -> dict[str, np.ndarray]:
    found = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    if prefix and not found:
        names = ", ".join(list(arrays)[:_SHOWN])
        raise StateError(
            explain("no name begins with this prefix", received=repr(prefix), expected=f"one of {names}, ...",
                    where=str(path), remedy="leave prefix out to see all names")
        )  # fmt: skip
    return found


def _write(module: Module, state: dict[str, Tensor], strict: bool, path: object) -> None:
    try:
        module.load_state_dict(_with_shared(module, state), strict=strict)
    except StateError as error:
        error.args = (f"{error}\n  file:     {path}",)
        raise


def _with_shared(module: Module, state: dict[str, Tensor]) -> dict[str, Any]:
    """The state, and the other names of tensors that the module has twice and the file once."""
    targets = module.state_dict(keep_vars=True)
    given = {id(tensor): state[name] for name, tensor in targets.items() if name in state}
    more = {name: given[id(tensor)] for name, tensor in targets.items() if name not in state and id(tensor) in given}
    return state | more
