"""Text files as lines or as one string, and pairs of files whose lines belong together.

In: paths, plain, gzip or xz. Out: strings; what cannot be decoded is a `FileFormatError` that names file, line and
byte. Lines end at line feeds alone: other characters that Unicode counts as line breaks would tear aligned files apart.
"""

from __future__ import annotations

import codecs
import os
from typing import NamedTuple

from thalweg.data.csv_rows import place
from thalweg.data.files import GIB, content_of, read_at_most, reading
from thalweg.errors import ArgumentError, DataError, FileFormatError, explain

WHAT = "the text file"
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class AlignedLines(NamedTuple):
    """Two lists of one length: line i of `source` belongs to line i of `target`."""

    source: list[str]
    target: list[str]


def read_text(path: str | os.PathLike[str], *, encoding: str = "utf-8", max_bytes: int = GIB) -> str:
    """A whole text file as one string; a byte order mark is taken off, and line breaks become line feeds.

    Args:
        path: the file, plain, .gz or .xz (by its content, not its name).
        encoding: of the text. max_bytes: the most bytes to read, unpacked.

    Raises:
        FileFormatError: no such file, empty, too large, damaged, binary, or not in this encoding: it names the line
            and the byte. ArgumentError: an unknown encoding.

    >>> import tempfile; from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.txt").write_bytes("é\\r\\nb\\n".encode())
    ...     read_text(Path(folder) / "a.txt")
    'é\\nb\\n'
    """
    _check_encoding(encoding)
    with reading(path, WHAT) as stream:
        content = read_at_most(stream, max_bytes, path, WHAT)
    text = _decoded(content, encoding, path)
    if "\0" in text:
        seems = content_of(content[:16]) or "a zero byte"
        raise FileFormatError(
            explain(
                f"{WHAT} holds no text", received=seems, where=str(path), remedy="is it the right file and encoding?"
            )
        )
    return text.replace("\r\n", "\n")


def read_lines(path: str | os.PathLike[str], *, encoding: str = "utf-8", max_bytes: int = GIB) -> list[str]:
    """The lines of a text file, without their line breaks; empty lines stay, so that line i is at place i.

    Arguments and errors as for `read_text`. The line feed at the end of the file begins no further line.

    >>> import tempfile; from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.txt").write_text("one\\n\\nthree\\n")
    ...     read_lines(Path(folder) / "a.txt")
    ['one', '', 'three']
    """
    return read_text(path, encoding=encoding, max_bytes=max_bytes).removesuffix("\n").split("\n")


def read_aligned(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    encoding: str = "utf-8",
    drop_empty: bool = False,
    max_bytes: int = GIB,
) -> AlignedLines:
    """Two files whose lines belong together, such as sentences and their translations.

    Args:
        source, target: the files; encoding, max_bytes: as in `read_text`.
        drop_empty: leave out the pairs of which a side is empty or blank; False keeps them.

    Raises:
        DataError: different numbers of lines; nothing left. FileFormatError: as `read_text`.
    """
    first, second = (read_lines(path, encoding=encoding, max_bytes=max_bytes) for path in (source, target))
    if len(first) != len(second):
        raise _mismatched(source, target, len(first), len(second))
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if not drop_empty or (a.strip() and b.strip())]
    if not pairs:
        raise DataError(explain("no pair of lines is left", received="only empty lines", where=f"{source}, {target}"))
    return AlignedLines([a for a, _ in pairs], [b for _, b in pairs])


def _mismatched(source: object, target: object, first: int, second: int) -> DataError:
    return DataError(
        explain(
            "aligned files need a line for each line of the other",
            received=f"{first:,} and {second:,} lines",
            expected="the same number",
            where=f"{source}, {target}",
            remedy="one of them is cut short, or has an empty line more at its end: "
            f"look at line {min(first, second) + 1:,} of the longer one",
        )
    )


def _check_encoding(encoding: str) -> None:
    try:
        codecs.lookup(encoding)
    except (LookupError, TypeError):
        raise ArgumentError(
            explain("unknown encoding", received=repr(encoding), expected="utf-8, latin-1, cp1252, utf-16, ...")
        ) from None


def _decoded(content: bytes, encoding: str, path: object) -> str:
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _undecodable(content, error, encoding, path) from None


def _undecodable(content: bytes, error: UnicodeDecodeError, encoding: str, path: object) -> FileFormatError:
    start = error.start
    line, column = content.count(b"\n", 0, start) + 1, start - content.rfind(b"\n", 0, start)
    seems = content_of(content[:16])
    byte = f"byte 0x{content[start]:02x} at column {column}, which is byte {start + 1:,} of the file"
    marked = next((name for mark, name in _BOMS if content.startswith(mark) and name != encoding), None)
    guess = f"encoding={marked!r}" if marked else "encoding='cp1252' or 'latin-1', which accepts every byte"
    return FileFormatError(
        explain(
            f"{WHAT} is not {encoding} text",
            received=byte + (f" (it seems to be {seems})" if seems else ""),
            where=place(path, line),
            remedy=f"save it as UTF-8, or name its encoding: {guess}",
        )
    )
