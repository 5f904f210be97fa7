"""Opening and writing files that strangers made: nothing is trusted, nothing good is overwritten by something bad.

In: paths. Out: byte streams (gzip and xz are recognised by their content, not their names), exact reads, atomic writes;
every failure is a `FileFormatError` that names the file.
"""

from __future__ import annotations

import contextlib
import difflib
import gzip
import io
import lzma
import os
import re
import secrets
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO

from thalweg.errors import FileFormatError, ThalwegError, explain

GIB = 1 << 30
BLOCK = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
XZ_MAGIC = b"\xfd7zXZ\0"
DEFLATE_RATIO = 1032  # what a byte can unpack to at most: a match of 258 bytes takes two bits
XZ_MEMORY = 256 << 20  # what a header may make the decompressor ask for; xz -9 needs 65 MiB
# What zipfile raises for a damaged archive; UnicodeDecodeError for names that are not the UTF-8 they are said to be.
ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, UnicodeDecodeError,
)  # fmt: skip
_KNOWN_CONTENT = (
    (GZIP_MAGIC, "gzip"),
    (b"PK\x03\x04", "a zip archive (npz, Excel workbook)"),
    (b"PAR1", "a Parquet file"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"\x93NUMPY", "a NumPy .npy file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"%PDF", "a PDF document"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"\x80\x04\x95", "a Python pickle"),
    (b"<!DOCTYPE html", "a web page"),
    (b"<html", "a web page"),
)


def content_of(head: bytes) -> str | None:
    """What a file seems to be, from its first bytes; None when they are not known.

    >>> content_of(b"PAR1....")
    'a Parquet file'
    """
    return next((name for magic, name in _KNOWN_CONTENT if head.startswith(magic)), None)


def existing_file(path: str | os.PathLike[str], what: str) -> Path:
    """The path, if a file with something in it is there; else a FileFormatError that suggests close names."""
    path = Path(path)
    if path.is_dir():
        raise FileFormatError(
            explain(f"{what} is a folder", received=path, expected="a file", remedy="name the file in it")
        )
    if not path.is_file():
        raise FileFormatError(explain(f"no such file: {what}", received=path, remedy=_close_file(path)))
    if path.stat().st_size == 0:
        raise FileFormatError(
            explain(f"{what} is empty", received="0 bytes", where=str(path), remedy="get the file again")
        )
    return path


def _close_file(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"check the path; the folder {path.parent} cannot be read"
    close = difflib.get_close_matches(path.name, names, n=1)
    return (
        f"did you mean {path.parent / close[0]}?"
        if close
        else f"check the path; the folder {path.parent} holds no such name"
    )


@contextlib.contextmanager
def reading(path: str | os.PathLike[str], what: str, *, packed: bool = True) -> Iterator[BinaryIO]:
    """Open a plain, gzipped or xz-compressed file for reading bytes; damage found while reading raises FileFormatError.

    `packed=False` takes compressed content as it is.
    """
    path = existing_file(path, what)
    try:
        with open(path, "rb") as raw:
            yield _unpacking(raw) if packed else raw
    except EOFError as error:
        raise _damaged(path, what, "the compressed data ends too early: the file is truncated") from error
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise _damaged(path, what, f"the compressed data is damaged ({error})") from error
    except OSError as error:
        raise _damaged(path, what, f"the system says: {error.strerror or error}") from error


def _unpacking(raw: io.BufferedReader) -> BinaryIO:
    head = raw.peek(len(XZ_MAGIC))
    if head.startswith(GZIP_MAGIC):
        return io.BufferedReader(gzip.GzipFile(fileobj=raw), BLOCK)
    return io.BufferedReader(_XZReader(raw), BLOCK) if head.startswith(XZ_MAGIC) else raw


class _XZReader(io.RawIOBase):
    """One xz stream, unpacked as it is read, with a bound on memory that `lzma.open` does not offer."""

    def __init__(self, raw: BinaryIO) -> None:
        self.raw, self.unpacker = raw, lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.unpacker.eof:
            packed = self.raw.read(BLOCK) if self.unpacker.needs_input else b""
            if self.unpacker.needs_input and not packed:
                raise EOFError
            if content := self.unpacker.decompress(packed, len(buffer)):
                buffer[: len(content)] = content
                return len(content)
        return 0


def _damaged(path: Path, what: str, reason: str) -> FileFormatError:
    return FileFormatError(
        explain(f"{what} cannot be read", received=reason, where=str(path), remedy="get the file again")
    )


def read_exactly(stream: IO[bytes], size: int, path: object, what: str) -> bytearray:
    """Read `size` bytes, growing with what is really there, so that a lying header allocates nothing."""
    content = bytearray()
    while len(content) < size:
        block = stream.read(min(BLOCK, size - len(content)))
        if not block:
            raise FileFormatError(
                explain(
                    f"{what} is truncated",
                    received=f"{len(content):,} bytes",
                    expected=f"{size:,} bytes",
                    where=str(path),
                    remedy="get the file again",
                )
            )
        content += block
    return content


def read_at_most(stream: IO[bytes], limit: int, path: object, what: str) -> bytes:
    """All of a stream, refused beyond `limit` bytes; `stream.read(limit)` would ask for as much memory at once."""
    content = bytearray()
    while block := stream.read(min(BLOCK, limit + 1 - len(content))):
        content += block
        check_size(len(content), limit, path, what)
    return bytes(content)


@contextlib.contextmanager
def believing_nothing(what: str, where: object, remedy: str = "it was changed by hand, or damaged") -> Iterator[None]:
    """Whatever goes wrong with values that a file holds becomes a FileFormatError that names the file."""
    try:
        yield
    except ThalwegError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        StopIteration,
        TypeError,
        ValueError,
    ) as error:
        received = f"{type(error).__name__}: {error}"[:200]
        raise FileFormatError(
            explain(f"{what} is damaged", received=received, where=str(where), remedy=remedy)
        ) from error


def check_size(size: int, limit: int, path: object, what: str) -> None:
    """Refuse to allocate more than `limit` bytes because a file says so."""
    if size > limit:
        raise FileFormatError(
            explain(
                f"{what} declares more data than is allowed",
                received=f"{size:,} bytes",
                expected=f"at most {limit:,} bytes",
                where=str(path),
                remedy="if the file is to be trusted, pass a larger max_bytes",
            )
        )


def check_members(members: Sequence[zipfile.ZipInfo], limit: int, path: object, what: str) -> None:
    """Refuse members of a zip archive that unpack to more than `limit` together, or than their bytes can hold."""
    check_size(sum(member.file_size for member in members), limit, path, what)
    there = os.path.getsize(path) if isinstance(path, Path) else limit
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _odd_member(path, what, member, f"method {member.compress_type}", "stored (0) or deflated (8)")
        most = member.compress_size * (DEFLATE_RATIO if member.compress_type else 1)
        if member.compress_size > there or member.file_size > most:
            packed = f"{member.file_size:,} bytes out of {member.compress_size:,} in a file of {there:,}"
            raise _odd_member(path, what, member, packed, "sizes that are possible")


def _odd_member(path: object, what: str, member: zipfile.ZipInfo, received: str, expected: str) -> FileFormatError:
    where = f"{path}, member {member.filename!r}"
    remedy = "get the file again, or unpack it with another program"
    return FileFormatError(
        explain(f"{what} cannot be read", received=received, expected=expected, where=where, remedy=remedy)
    )


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Write a file that appears whole or not at all: a neighbour is written, flushed to disk and renamed.

    Then the folder is flushed, so that the name, too, outlives a loss of power.
    """
    path = Path(path)
    name = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        with open(name, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    """Some file systems, and Windows, know no such thing; the file is there all the same."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


_HALF_WRITTEN = re.compile(r"\..+\.(\d+)\.[0-9a-f]{8}")


def remove_half_written(folder: str | os.PathLike[str]) -> None:
    """Delete what `atomic_write` could not finish in a folder because its process was killed."""
    with contextlib.suppress(OSError):
        for path in Path(folder).iterdir():
            found = _HALF_WRITTEN.fullmatch(path.name)
            if found and not _is_alive(int(found[1])):
                path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    """Whether there is such a process; where that cannot be asked without harm (Windows), there is."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
