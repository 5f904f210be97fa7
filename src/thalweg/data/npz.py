"""NumPy's own files, without pickles: .npy in memory or mapped from disk, .npz as a dictionary.

In: paths. Out: arrays. Object arrays are refused: reading one would run code of whoever wrote it. A header's shape is
believed only after it agrees with the size of the file.
"""

from __future__ import annotations

import ast
import io
import math
import os
import re
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from thalweg.data.files import GIB, ZIP_ERRORS, believing_nothing, check_members, check_size, content_of, existing_file
from thalweg.errors import FileFormatError, explain

NPY, NPZ = "the .npy file", "the .npz file"
LONGEST_HEADER = 10_000  # NumPy's own limit: parsing a longer one may take long
_VERSIONS = {b"\1\0": 2, b"\2\0": 4, b"\3\0": 4}  # of the format, and how many bytes its header's length has


def read_npy(path: str | os.PathLike[str], *, memory_map: bool = False, max_bytes: int = 4 * GIB) -> np.ndarray:
    """Read one array.

    Args:
        path: a .npy file.
        memory_map: leave the values on disk and read pages as they are used (read-only), for a set larger than memory;
            `max_bytes` does not apply.
        max_bytes: the most data that a header may declare.

    Raises:
        FileFormatError: no such file, not a .npy file, an object array, or a size that is not what its header says.

    >>> import tempfile; from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder) / "a.npy", np.arange(3))
    ...     read_npy(Path(folder) / "a.npy", memory_map=True).tolist()
    [0, 1, 2]
    """
    path = existing_file(path, NPY)
    with open(path, "rb") as stream:
        _check_array(stream, path.stat().st_size, str(path), NPY, max_bytes=None if memory_map else max_bytes)
    with believing_nothing(NPY, path):
        if memory_map:
            return npy_format.open_memmap(path, mode="r")
        with open(path, "rb") as stream:
            return np.asarray(npy_format.read_array(stream, allow_pickle=False))


def read_npz(path: str | os.PathLike[str], *, max_bytes: int = 4 * GIB) -> dict[str, np.ndarray]:
    """Read all arrays of a .npz file, by name.

    Args:
        path: a file that `numpy.savez` or `savez_compressed` wrote.
        max_bytes: the most data that all arrays together may hold, unpacked.

    Raises:
        FileFormatError: no such file, not a zip archive, damaged, an object array, or larger than allowed.

    >>> import tempfile; from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder) / "a.npz", x=np.zeros(2), y=np.ones(1))
    ...     sorted(read_npz(Path(folder) / "a.npz"))
    ['x', 'y']
    """
    path = existing_file(path, NPZ)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            check_members(members, max_bytes, path, NPZ)
            return {member.filename.removesuffix(".npy"): _read_member(archive, member, path) for member in members}
    except ZIP_ERRORS as error:
        with open(path, "rb") as stream:
            seems = content_of(stream.read(16))
        raise FileFormatError(
            explain(
                f"{NPZ} cannot be read",
                received=str(error) + (f" (it seems to be {seems})" if seems else ""),
                expected="a zip archive of .npy files, as numpy.savez writes it",
                where=str(path),
                remedy="get the file again, or write it with numpy.savez",
            )
        ) from error


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> np.ndarray:
    where = f"{path}, member {member.filename!r}"
    with archive.open(member) as stream:
        _check_array(stream, member.file_size, where, "an array of the .npz file", max_bytes=None)
    with archive.open(member) as stream, believing_nothing("an array of the .npz file", where):
        return np.asarray(npy_format.read_array(stream, allow_pickle=False))


def _check_array(stream: IO[bytes], size: int, where: str, what: str, max_bytes: int | None) -> None:
    """Read the header of an array and hold it against the size of the file, before anything is allocated."""
    shape, dtype = _header(stream, where, what)
    if dtype.hasobject:
        raise FileFormatError(
            explain(
                "an array of Python objects is not read, because it could run code",
                received=f"dtype {dtype}",
                expected="numbers or text of fixed width",
                where=where,
                remedy="save plain arrays: array.astype('float32'), or astype('U') for text",
            )
        )
    declared = math.prod(shape) * dtype.itemsize
    if max_bytes is not None:
        check_size(declared, max_bytes, where, what)
    if min(shape, default=0) < 0 or stream.tell() + declared != size:
        raise FileFormatError(
            explain(
                f"{what} is truncated, or is not what its header says",
                received=f"{size - stream.tell():,} bytes of data",
                expected=f"{declared:,} bytes for shape {shape} of {dtype}",
                where=where,
                remedy="get the file again",
            )
        )


def _header(stream: IO[bytes], where: str, what: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        head = _header_bytes(stream)
        reader = npy_format.read_array_header_1_0 if head[6] == 1 else npy_format.read_array_header_2_0
        with io.BytesIO(head) as held:
            npy_format.read_magic(held)
            shape, _, dtype = reader(held)
    except Exception as error:  # what NumPy's reader raises on damage: ValueError, TokenError, IndexError, ...
        raise FileFormatError(
            explain(
                f"{what} has no valid header",
                received=(str(error) or type(error).__name__).split("\n")[0],
                expected="what numpy.save writes",
                where=where,
                remedy="is it the right file?",
            )
        ) from error
    return shape, dtype


def _header_bytes(stream: IO[bytes]) -> bytes:
    """Magic, version, length and text of a header; NumPy's own reader believes the length, which may be 4 GiB."""
    head = stream.read(8)
    if head[:6] != npy_format.MAGIC_PREFIX or head[6:] not in _VERSIONS:
        raise ValueError(f"it begins with {head!r}")
    length = stream.read(_VERSIONS[head[6:]])
    size = int.from_bytes(length, "little")
    if size > LONGEST_HEADER:
        raise ValueError(f"a header of {size:,} bytes")
    text = stream.read(size)
    if len(text) != size:
        raise ValueError("it ends within the header")
    # NumPy, where this fails, takes the text to pieces in search of Python 2's long integers: up to ten seconds.
    ast.literal_eval(re.sub(r"(\d)L\b", r"\1", text.decode("latin-1")))
    return head + length + text
