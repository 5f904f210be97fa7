"""Compiled kernels on disk, so that the next process does not compile them again: one file each, in the user's folder.

In: a key, the hash of all that decides about the code (`key_of`), and machine code. Out: the same bytes, in this
process or a later one, or None. A file is believed only if nobody else can have written it and its checksum is right;
and nothing that happens to the folder stops training.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import sys
import time
from collections.abc import Iterator

from thalweg.compile.notices import notice
from thalweg.errors import ConfigurationError, explain

MIB = 1 << 20
DEFAULT_MIB = 256
FORMAT = 1
MAGIC = b"thalweg" + bytes([FORMAT])
HEADER_BYTES = len(MAGIC) + 32  # and a SHA-256
SUFFIX, UNFINISHED = ".code", ".part"

# Looking through a full folder costs 30 ms, compiling one kernel 10: so it is done for one name in 64, chosen by the
# name itself. That needs no counter, and holds for many short processes as it does for a long one.
SCAN_EVERY = 64
KEPT_SHARE = 7 / 8  # of the limit, after the oldest have gone: the next few entries need no room made for them
HOUR = 3600.0

_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def key_of(text: str, target: str, *versions: str) -> str:
    """The key of a kernel's code: of its LLVM text, of the processor it is for, and of what else makes the code.

    Args:
        text: the kernel.
        target: name and features of the processor.
        versions: of Thalweg, llvmlite and LLVM, and the passes that are run.

    >>> key_of("define void @k()", "skylake", "0.1") == key_of("define void @k()", "skylake", "0.1")
    True
    >>> key_of("ab", "c") == key_of("a", "bc")
    False
    """
    parts = [each.encode() for each in (str(FORMAT), text, target, *versions)]
    return _sha256(*(b"%d:%b" % (len(part), part) for part in parts)).hex()


def cache() -> CodeCache | None:
    """The cache of this process, or None if it is off, or if its folder is not safe to use.

    THALWEG_CACHE names the folder, or is ``off``; otherwise it is thalweg/code in the user's folder for caches.
    THALWEG_CACHE_SIZE says how many MiB may lie in it: 256, unless it is set.
    """
    chosen = os.environ.get("THALWEG_CACHE", "")
    if chosen.lower() in ("off", "0"):
        return None
    limit = _mebibytes(os.environ.get("THALWEG_CACHE_SIZE", "")) * MIB
    return _opened(chosen or os.path.join(user_folder(), "thalweg", "code"), limit)


def user_folder() -> str:
    """Where programs of this user keep what they can make again: XDG_CACHE_HOME, or what the system has for it."""
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(chosen):  # the XDG specification: a relative one is to be ignored
        return chosen
    if sys.platform == "win32":
        return os.environ.get("LOCALAPPDATA") or os.path.expanduser(os.path.join("~", "AppData", "Local"))
    return os.path.expanduser("~/Library/Caches" if sys.platform == "darwin" else "~/.cache")


class CodeCache:
    """Machine code by key. `get` and `put` may be called by any threads and processes at once, and never raise.

    An entry is written beside its place and renamed: whoever reads finds a whole one or none. Nothing is forced to the
    disk, which would take longer than compiling; what a power failure leaves is found by its checksum.
    """

    def __init__(self, folder: str, limit: int = DEFAULT_MIB * MIB) -> None:
        self.folder = folder
        self.limit = limit
        self._written = 0  # bytes since the last look through the folder
        self._has_complained = False

    def get(self, key: str | bytes) -> bytes | None:
        """The machine code of this key, if it is there. What is damaged, or not the user's own, is removed."""
        name = _name(key)
        path = os.path.join(self.folder, name)
        try:
            content = self._read(path)
        except OSError:
            return None
        image = content[HEADER_BYTES:]
        if content[:HEADER_BYTES] == _header(name, image):
            return image
        _remove(path)
        return None

    def put(self, key: str | bytes, image: bytes) -> None:
        """Keep the machine code, if there is a way to."""
        name = _name(key)
        content = _header(name, image) + image
        if len(content) > self.limit:
            return
        try:
            self._write(os.path.join(self.folder, name), content)
        except OSError as error:
            self._complain(error)
            return
        self._written += len(content)
        if int(name[:8], 16) % SCAN_EVERY == 0 or self._written > self.limit // 16:
            self._written = 0
            self._make_room()

    def _read(self, path: str) -> bytes:
        """The content of an entry, or nothing if it is not to be believed."""
        descriptor = os.open(path, _READ)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > self.limit or _who_else(status):
                return b""
            content = os.read(descriptor, status.st_size)
        finally:
            os.close(descriptor)
        if abs(time.time() - status.st_mtime) > HOUR:  # the time of last use, which the order of eviction goes by
            with contextlib.suppress(OSError):
                os.utime(path)
        return content

    def _write(self, path: str, content: bytes) -> None:
        try:
            _write_and_rename(path, content)
        except FileNotFoundError:  # somebody has emptied the user's caches
            _prepare(self.folder)
            _write_and_rename(path, content)

    def _complain(self, error: OSError) -> None:
        if not self._has_complained:
            self._has_complained = True
            _warn(self.folder, error.strerror or str(error))

    def _make_room(self) -> None:
        """Remove what was not used for longest, until the entries are within the limit, and what was never finished."""
        entries, total = [], 0
        for path, status in _files(self.folder):
            if path.endswith(UNFINISHED) and time.time() - status.st_mtime > HOUR:
                _remove(path)  # whoever wrote it is gone
            elif path.endswith(SUFFIX):
                entries.append((status.st_mtime, status.st_size, path))
                total += status.st_size
        if total <= self.limit:
            return
        for _, size, path in sorted(entries):
            if total <= self.limit * KEPT_SHARE:
                break
            _remove(path)
            total -= size


def _sha256(*parts: bytes) -> bytes:
    import hashlib

    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def _name(key: str | bytes) -> str:
    """The file of a key, whatever characters are in it."""
    return _sha256(key.encode() if isinstance(key, str) else key).hex() + SUFFIX


def _header(name: str, image: bytes) -> bytes:
    """The checksum covers the name, too: a whole entry under another's name is a wrong one."""
    return MAGIC + _sha256(name.encode(), image)


def _write_and_rename(path: str, content: bytes) -> None:
    unfinished = f"{path}.{os.urandom(8).hex()}{UNFINISHED}"
    try:
        with open(os.open(unfinished, _CREATE, 0o600), "wb") as stream:
            stream.write(content)
        os.replace(unfinished, path)
    except BaseException:
        _remove(unfinished)
        raise


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """The files of ours in the folder, which may hold other files: those are never touched."""
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for each in found:
            stem = each.name.partition(".")[0]
            if len(stem) == 64 and each.name.endswith((SUFFIX, UNFINISHED)):
                with contextlib.suppress(OSError):  # another process has removed it
                    yield each.path, each.stat(follow_symlinks=False)


@functools.cache
def _opened(chosen: str, limit: int) -> CodeCache | None:
    """The cache in a folder, which is made if need be; if it must not be used, that is said, once."""
    folder = os.path.expanduser(chosen)
    try:
        if folder.startswith("~"):
            raise FileNotFoundError(f"{chosen} has no meaning, as this user has no home folder")
        folder = os.path.abspath(folder)
        _prepare(folder)
    except (OSError, ValueError) as error:
        _warn(folder, getattr(error, "strerror", None) or str(error))
        return None
    return CodeCache(folder, limit)


def _prepare(folder: str) -> None:
    """Make the folder, or see that it is safe to use: code from it will run, so nobody else may put some there."""
    os.makedirs(folder, 0o700, exist_ok=True)
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode):
        raise PermissionError("it is a symbolic link, and the code in it would be run")
    if who := _who_else(status):
        raise PermissionError(f"{who}, and the code in it would be run")


def _who_else(status: os.stat_result) -> str:
    """Who but this user could have written a file or a folder, in words; nothing, if nobody."""
    if not hasattr(os, "geteuid"):  # Windows keeps each user's folders apart by itself
        return ""
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}, not to user {os.geteuid()}"
    mode = stat.S_IMODE(status.st_mode)
    return f"others may write to it (mode {mode:o})" if mode & 0o022 else ""


def _warn(folder: str, reason: str) -> None:
    """It is no error: training goes on without the cache."""
    remedy = "set THALWEG_CACHE to another folder, which only you can write to, or to off"
    notice(f"compiled kernels are not kept in {folder}: {reason}", "they are compiled anew in each process", remedy)


def _mebibytes(text: str) -> int:
    """The number that a value of THALWEG_CACHE_SIZE means."""
    digits = text.strip()
    if not digits:
        return DEFAULT_MIB
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 9 and int(digits) >= 1):
        raise ConfigurationError(
            explain(
                "not a size of the code cache",
                received=repr(text),
                expected="MiB: a whole number of at least 1",
                where="THALWEG_CACHE_SIZE",
                remedy="THALWEG_CACHE=off turns the cache off",
            )
        )
    return int(digits)
