"""CIFAR's binary format: records of label bytes and 32 x 32 pixels, red, then green, then blue.

In: a .bin file, plain, gzip or xz.
Out: uint8 images (n, 3, 32, 32) and int64 labels.
"""

from __future__ import annotations

import os

import numpy as np

from thalweg.data.files import BLOCK, GIB, check_size, reading
from thalweg.errors import FileFormatError, explain

WHAT = "the CIFAR file"
SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32


def read_cifar(
    path: str | os.PathLike[str], *, classes: int = 10, label_bytes: int = 1, max_bytes: int = GIB
) -> tuple[np.ndarray, np.ndarray]:
    """Read one file of records.

    Args:
        path: `data_batch_1.bin` and its like, plain or compressed.
        classes: labels must be below this number.
        label_bytes: 1 in CIFAR-10; 2 in CIFAR-100 (coarse, fine), of which the last is taken.
        max_bytes: the most content, unpacked.

    Returns:
        (images, labels): uint8 (n, 3, 32, 32), int64 (n,).

    Raises:
        FileFormatError: no such file, truncated, damaged, no whole number of records, a label out of range.

    >>> import tempfile; from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.bin").write_bytes(bytes([7]) + bytes(3072))
    ...     images, labels = read_cifar(Path(folder) / "a.bin")
    >>> images.shape, labels.tolist()
    ((1, 3, 32, 32), [7])
    """
    return records_of(unpacked(path, max_bytes), path, classes, label_bytes)


def unpacked(path: str | os.PathLike[str], max_bytes: int = GIB) -> bytes:
    """The content of a file of records, plain or compressed."""
    content = bytearray()
    with reading(path, WHAT) as stream:
        while block := stream.read(BLOCK):
            check_size(len(content) + len(block), max_bytes, path, WHAT)
            content += block
    return bytes(content)


def records_of(
    content: bytes, path: str | os.PathLike[str], classes: int = 10, label_bytes: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of the content of a file of records; `path` names it in messages."""
    record = label_bytes + PIXELS
    if not content or len(content) % record:
        raise FileFormatError(
            explain(
                f"{WHAT} does not hold whole records",
                received=f"{len(content):,} bytes",
                expected=f"a multiple of {record:,}: {label_bytes} of the label, then 3 x 32 x 32 pixels",
                where=str(path),
                remedy="is it the right file? get it again",
            )
        )
    rows = np.frombuffer(content, dtype=np.uint8).reshape(-1, record)
    labels = rows[:, label_bytes - 1].astype(np.int64)
    if labels.max() >= classes:
        row = int(np.argmax(labels >= classes))
        raise FileFormatError(
            explain(
                "a label out of range",
                received=f"{labels[row]} in record {row}",
                expected=f"0 .. {classes - 1}",
                where=str(path),
            )
        )
    return rows[:, label_bytes:].reshape(-1, *SHAPE).copy(), labels
