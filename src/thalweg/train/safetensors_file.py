"""Safetensors files from strangers: everything that a header says is checked before an array is made of it.

In: a path. Out: arrays by name, and the texts of the header. A file is a length, a JSON header and raw numbers, so
reading one runs no code; a header that lies is a `FileFormatError`. Format: github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from thalweg.data.files import check_size, content_of
from thalweg.errors import FileFormatError, explain

PathLike = str | os.PathLike[str]
LARGEST_HEADER = 32 << 20  # bytes; a hundred thousand tensors have 10 MB
METADATA, BFLOAT16 = "__metadata__", "BF16"
DTYPES = ("BOOL", "U8", "I8", "U16", "I16", "F16", "U32", "I32", "F32", "U64", "I64", "F64", "C64", BFLOAT16)


def read_safetensors(path: PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file, in the order of their names, and the texts of its header.

    bfloat16, which NumPy does not have, becomes float32, which holds each of its values.

    Raises:
        FileFormatError: no such file, or not a whole and unambiguous safetensors file.
    """
    header = read_header(path)
    arrays = {}
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118  # no mapping
                is_bfloat16 = header[name]["dtype"] == BFLOAT16
                arrays[name] = _bfloat16(path, header[name]) if is_bfloat16 else file.get_tensor(name)
            return arrays, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise damaged(path, str(error)) from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # shapes that NumPy cannot hold
        raise damaged(path, f"an entry that NumPy cannot hold: {error}") from error


def read_texts(path: PathLike) -> dict[str, str]:
    """The texts in the header alone."""
    read_header(path)
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise damaged(path, str(error)) from error


def read_header(path: PathLike) -> dict[str, Any]:
    """What each tensor is, by name. The package checks offsets and sizes; here is what it leaves open: a name twice,
    a header of 100 MB, a dtype that NumPy lacks."""
    header = _parsed(_header_bytes(path), path)
    for name, entry in header.items():
        dtype = entry.get("dtype") if isinstance(entry, dict) else None
        if name != METADATA and dtype not in DTYPES:
            raise damaged(path, f"{name!r:.80} has dtype {dtype!r:.40}; expected one of {', '.join(DTYPES)}")
    return header


def _header_bytes(path: PathLike) -> bytes:
    path = Path(path)
    if not path.is_file():
        remedy = "check the path" if not path.is_dir() else "name the file in the folder"
        raise FileFormatError(explain("there is no such weights file", where=str(path), remedy=remedy))
    try:
        with open(path, "rb") as stream:
            head = stream.read(8)
            size, there = int.from_bytes(head, "little"), path.stat().st_size - 8
            if len(head) < 8 or size > there:
                raise _foreign(path, head, f"a header of {size:,} bytes in a file of {there + 8:,}")
            check_size(size, LARGEST_HEADER, path, "the header of the weights file")
            return stream.read(size)
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error


def _parsed(text: bytes, path: PathLike) -> dict[str, Any]:
    try:
        header = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"its header: {error}"[:200]) from error
    if not isinstance(header, dict):
        raise damaged(path, f"its header is a {type(header).__name__}, not names and what they are")
    return header


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a name that is there twice, two readers may take two values."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _bfloat16(path: PathLike, entry: dict[str, Any]) -> np.ndarray:
    """The upper halves of float32 numbers; the package has checked offsets and shape when it opened the file."""
    first, end = entry["data_offsets"]
    with open(path, "rb") as stream:
        stream.seek(8 + int.from_bytes(stream.read(8), "little") + first)
        halves = np.frombuffer(stream.read(end - first), "<u2")
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])


def _foreign(path: Path, head: bytes, received: str) -> FileFormatError:
    """PyTorch's and Keras's own files are what people try first."""
    seems = content_of(head)
    remedy = None
    if head.startswith((b"PK", b"\x80")):
        remedy = "PyTorch's .pt and .pth files are pickles, which can run code: write the weights again with " \
                 "safetensors.torch.save_file(model.state_dict(), path)"  # fmt: skip
    return damaged(path, f"{seems}: {received}" if seems else received, remedy)


def damaged(path: PathLike, reason: str, remedy: str | None = None) -> FileFormatError:
    """The error for a file that is no whole safetensors file."""
    usual = "it is truncated or of another format: use an older checkpoint, or convert it to safetensors"
    return FileFormatError(
        explain("the weights file cannot be read", received=reason, expected="a whole safetensors file",
                where=str(path), remedy=remedy or usual)
    )  # fmt: skip
