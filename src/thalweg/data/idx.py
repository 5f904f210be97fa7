"""The IDX format of MNIST: a header of magic, dtype and dimensions, then the numbers, big-endian.

In: a path, plain or gzip. Out: an array in the machine's byte order; and back. Layout: http://yann.lecun.com/exdb/mnist
(2 zero bytes, a dtype code, the number of dimensions, one 32-bit size each).
"""

from __future__ import annotations

import gzip
import math
import os
import struct
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike

from thalweg.data.files import GIB, atomic_write, believing_nothing, check_size, content_of, read_exactly, reading
from thalweg.errors import DTypeError, FileFormatError, explain

WHAT = "the IDX file"
DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CODES = {np.dtype(name).newbyteorder("="): code for code, name in DTYPES.items()}
MOST_DIMENSIONS = 32


def read_idx(path: str | os.PathLike[str], *, max_bytes: int = 4 * GIB) -> np.ndarray:
    """Read an array from an IDX file, plain or gzip.

    Args:
        path: the file.
        max_bytes: the most data that a header may declare.

    Returns:
        An array of the header's shape; uint8, int8, int16, int32, float32 or float64.

    Raises:
        FileFormatError: no such file, wrong magic, unknown dtype, too large, truncated, or with bytes after the data.

    >>> import tempfile; from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_idx(Path(folder) / "labels.gz", np.array([5, 0, 4], dtype=np.uint8))
    ...     read_idx(Path(folder) / "labels.gz")
    array([5, 0, 4], dtype=uint8)
    """
    with reading(path, WHAT) as stream:
        dtype, shape = _header(stream, path)
        size = math.prod(shape) * dtype.itemsize
        check_size(size, max_bytes, path, WHAT)
        content = read_exactly(stream, size, path, WHAT)
        if stream.read(1):
            raise FileFormatError(
                explain(
                    f"{WHAT} goes on after its data",
                    expected=f"{size:,} bytes of data for shape {shape}",
                    where=str(path),
                    remedy="get the file again",
                )
            )
    with believing_nothing(WHAT, path):  # with a 0 among them, sizes may be beyond what an array can have
        values = np.frombuffer(content, dtype=dtype).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


def _header(stream: IO[bytes], path: object) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = bytes(read_exactly(stream, 4, path, WHAT))
    if magic[:2] != b"\0\0" or magic[2] not in DTYPES or magic[3] > MOST_DIMENSIONS:
        raise FileFormatError(
            explain(
                "this is no IDX file",
                received=content_of(magic) or f"it begins with bytes {magic.hex(' ')}",
                expected=f"00 00, a dtype code (08 to 0e), at most {MOST_DIMENSIONS} dimensions",
                where=str(path),
                remedy="is it the right file?",
            )
        )
    sizes = bytes(read_exactly(stream, 4 * magic[3], path, WHAT))
    return np.dtype(DTYPES[magic[2]]), struct.unpack(f">{magic[3]}I", sizes)


def write_idx(path: str | os.PathLike[str], array: ArrayLike) -> None:
    """Write an array as an IDX file, atomically; gzip if the name ends in .gz, the same bytes each time.

    Raises DTypeError for a dtype that IDX has no code for (int64, bool, ...).
    """
    values = np.asarray(array)
    code = _CODES.get(values.dtype.newbyteorder("="))
    if code is None:
        raise DTypeError(
            explain(
                "IDX has no code for this dtype",
                received=str(values.dtype),
                expected=", ".join(str(dtype) for dtype in _CODES),
                where="write_idx",
                remedy="convert it first, for example array.astype('uint8') for labels",
            )
        )
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, code, values.ndim, *values.shape)
    content = header + values.astype(DTYPES[code]).tobytes()
    with atomic_write(path) as stream:
        stream.write(gzip.compress(content, mtime=0) if os.fspath(path).endswith(".gz") else content)
