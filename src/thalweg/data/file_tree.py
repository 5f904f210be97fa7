"""Files below a folder or inside a zip or tar archive, as names and bytes: nothing is unpacked to disk.

In: a path. Out: the names in it, sorted, with forward slashes; the bytes of one of them, never more than a limit.
Every failure is a `FileFormatError` that names the file.
"""

from __future__ import annotations

import os
import tarfile
import zipfile
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path, PurePosixPath

from thalweg.data.files import (
    GIB,
    ZIP_ERRORS,
    check_members,
    check_size,
    content_of,
    existing_file,
    read_at_most,
    reading,
)
from thalweg.errors import FileFormatError, explain

MAX_FILE_BYTES = 256 << 20
ZIP, TAR = "the zip archive", "the tar archive"
TAR_MAGIC, TAR_MAGIC_AT = b"ustar", 257


class FileTree(ABC):
    """Names and the bytes behind them."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @cached_property
    def names(self) -> list[str]:
        """All files, sorted; hidden ones and the shadows that macOS writes are left out."""
        return sorted(name for name in self._all_names() if not _is_hidden(name))

    def below(self, folder: str) -> list[str]:
        """The names that begin with this folder ("" for all of them)."""
        prefix = f"{folder}/" if folder else ""
        return [name for name in self.names if name.startswith(prefix)]

    def folders_in(self, folder: str) -> list[str]:
        """The folders directly inside a folder ("" for the root), sorted; empty ones too, where the tree knows them."""
        inner = (name.removeprefix(f"{folder}/") for name in self.below(folder))
        return sorted({name.partition("/")[0] for name in inner if "/" in name})

    def place(self, name: str) -> str:
        """Where a file is, for a message."""
        return str(self.path / name)

    @abstractmethod
    def _all_names(self) -> list[str]: ...

    @abstractmethod
    def read(self, name: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
        """The content of one file; FileFormatError if it cannot be read, or is larger than allowed."""


class Folder(FileTree):
    """Files below a folder.

    Links inside it are followed, but no folder is entered twice; one that leads out of it is refused, so that a folder
    which a stranger made cannot have other files of its user read.
    """

    def _all_names(self) -> list[str]:
        names, entered = [], set()
        for folder, inner, files in os.walk(self.path, followlinks=True):
            at = os.stat(folder)
            if (at.st_dev, at.st_ino) in entered:
                inner.clear()
                continue
            entered.add((at.st_dev, at.st_ino))
            prefix = Path(folder).relative_to(self.path).as_posix()
            for name in (*inner, *files):
                if os.path.islink(os.path.join(folder, name)) and not _is_hidden(name):
                    self.inside(name if prefix == "." else f"{prefix}/{name}")
            names += [name if prefix == "." else f"{prefix}/{name}" for name in files]
        return names

    def inside(self, name: str) -> Path:
        """Where a name really is; FileFormatError if that is not below the folder."""
        try:
            real = Path(os.path.realpath(self.path / name))
        except ValueError as error:  # a zero byte
            raise FileFormatError(explain("no possible name of a file", received=repr(name))) from error
        if not real.is_relative_to(os.path.realpath(self.path)):
            remedy = "copy what it leads to into the folder, if its maker is to be trusted"
            raise FileFormatError(
                explain("a name that leads out of its folder", received=f"{name} -> {real}",
                        expected=f"a file below {self.path}", remedy=remedy)
            )  # fmt: skip
        return real

    def folders_in(self, folder: str) -> list[str]:
        inside = os.scandir(self.path / folder)
        return sorted(each.name for each in inside if each.is_dir() and not _is_hidden(each.name))

    def read(self, name: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
        self.inside(name)
        return read_file(self.path / name, max_bytes)


def read_file(path: str | os.PathLike[str], max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The bytes of one file that the user has named, packed or not as they are."""
    path = existing_file(path, "the file")
    check_size(path.stat().st_size, max_bytes, path, "the file")
    with reading(path, "the file", packed=False) as stream:
        return read_at_most(stream, max_bytes, path, "the file")


class Archive(FileTree):
    """Files inside a zip archive."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(existing_file(path, ZIP))
        try:
            self.archive = zipfile.ZipFile(self.path)
        except ZIP_ERRORS as error:
            raise self._unreadable(str(self.path), error) from error

    def place(self, name: str) -> str:
        return f"{self.path}, member {name!r}"

    def _all_names(self) -> list[str]:
        return [name for name in self.archive.namelist() if name and not name.endswith("/")]

    def read(self, name: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
        try:
            member = self.archive.getinfo(name)
            check_members([member], max_bytes, self.path, ZIP)
            with self.archive.open(member) as stream:
                return read_at_most(stream, max_bytes, self.place(name), "a member of the zip archive")
        except ZIP_ERRORS as error:
            raise self._unreadable(self.place(name), error) from error
        except KeyError as error:
            raise FileFormatError(explain("no such member of the zip archive", where=self.place(name))) from error

    def _unreadable(self, where: str, error: Exception) -> FileFormatError:
        with open(self.path, "rb") as stream:
            seems = content_of(stream.read(16))
        return FileFormatError(
            explain(
                f"{ZIP} cannot be read",
                received=str(error) + (f" (it seems to be {seems})" if seems else ""),
                where=where,
                remedy="get the file again",
            )
        )


class TarArchive(FileTree):
    """Files inside a tar archive, plain, .gz or .xz: read once from front to back, and kept in memory.

    Only plain files are looked at: links, devices and the like are passed over.
    """

    def __init__(self, path: str | os.PathLike[str], max_bytes: int = GIB) -> None:
        super().__init__(existing_file(path, TAR))
        try:
            with reading(self.path, TAR) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
                self._contents = self._read_all(archive, max_bytes)
        except (tarfile.TarError, ValueError) as error:
            raise FileFormatError(
                explain(f"{TAR} cannot be read", received=error, where=str(self.path), remedy="get the file again")
            ) from error

    def _read_all(self, archive: tarfile.TarFile, max_bytes: int) -> dict[str, bytes]:
        contents, total = {}, 0
        for member in archive:
            stream = archive.extractfile(member) if member.isreg() else None
            if stream is not None:
                total += member.size
                check_size(total, max_bytes, self.path, TAR)
                contents[str(PurePosixPath(member.name))] = stream.read()
        return contents

    def place(self, name: str) -> str:
        return f"{self.path}, member {name!r}"

    def _all_names(self) -> list[str]:
        return list(self._contents)

    def read(self, name: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
        if name not in self._contents:
            raise FileFormatError(explain("no such member of the tar archive", where=self.place(name)))
        check_size(len(self._contents[name]), max_bytes, self.place(name), "a member of the tar archive")
        return self._contents[name]


def open_tree(path: str | os.PathLike[str], what: str) -> FileTree:
    """A folder, a zip or a tar archive; FileFormatError, with close names, for none of them."""
    if Path(path).is_dir():
        return Folder(path)
    return TarArchive(path) if _is_tar(existing_file(path, what)) else Archive(path)


def _is_tar(path: Path) -> bool:
    """Whether a file, once unpacked, begins as tar archives do."""
    try:
        with reading(path, TAR) as stream:
            head = stream.read(TAR_MAGIC_AT + len(TAR_MAGIC))
    except FileFormatError:
        return False
    return head[TAR_MAGIC_AT:] == TAR_MAGIC


def stem(name: str) -> str:
    """The last part of a name without its extension.

    >>> stem("a/b/cell.01.png")
    'cell.01'
    """
    return PurePosixPath(name).stem


def extension(name: str) -> str:
    """The extension in lower case, with its dot."""
    return PurePosixPath(name).suffix.lower()


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
