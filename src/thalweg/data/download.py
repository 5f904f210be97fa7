"""One file over the network, whole and checked, or not at all.

In: a URL, where to put the file, and how to recognise good content. Out: the file. A good file is never replaced by a
bad one, and half a download is never left behind.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from pathlib import Path
from typing import Any

from thalweg.data.files import BLOCK, GZIP_MAGIC, atomic_write
from thalweg.data.progress import Progress
from thalweg.errors import ArgumentError, DataError, explain

TIMEOUT_SECONDS = 30.0
LARGEST_CONTENT = 1 << 30


def download_checked(
    url: str,
    path: str | os.PathLike[str],
    md5: str | None,
    max_bytes: int,
    timeout: float = TIMEOUT_SECONDS,
) -> Path:
    """Download `url` to `path`, if its content is the right one.

    Args:
        url: http or https.
        path: where the file goes; its folder is made. A name that does not end in .gz gets the unpacked content.
        md5: of the right content, unpacked; None takes everything.
        max_bytes: the most to download.

    Raises:
        ArgumentError: another kind of URL. DataError: no network, an HTTP error, a truncated, too large or wrong file;
            nothing is written then.
    """
    if url.partition("://")[0].lower() not in ("http", "https"):
        raise ArgumentError(explain("a download takes an http or https URL", received=repr(url), where="url"))
    packed = _fetch(url, max_bytes, timeout)
    content = _unpacked(url, packed)
    if md5 is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise _failed(
            url,
            "its checksum is not the published one",
            "the server has another file: try another url, or get it by hand",
        )
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as stream:
            stream.write(packed if path.suffix == ".gz" else content)
    except OSError as error:
        raise DataError(
            explain(
                "a download cannot be stored",
                received=error.strerror or str(error),
                where=str(path),
                remedy="name a folder that can be written",
            )
        ) from error
    return path


def _fetch(url: str, max_bytes: int, timeout: float) -> bytes:
    import http.client
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            return _read_body(response, url, max_bytes)
    except urllib.error.HTTPError as error:
        error.close()
        raise _failed(url, f"the server says {error.code} {error.reason}", "check the url") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise _failed(
            url,
            str(reason) or type(error).__name__,
            "is there a network? You can also put the file into the folder by hand",
        ) from error


def _read_body(response: Any, url: str, max_bytes: int) -> bytes:
    declared = response.headers.get("Content-Length")
    expected = int(declared) if declared and declared.isdigit() else None
    body = bytearray()
    with Progress(f"downloading {url}", "bytes", expected) as progress:
        while block := response.read(BLOCK):
            body += block
            progress.update(len(body))
            if len(body) > max_bytes:
                raise _failed(url, f"over {max_bytes:,} bytes, more than this file can have", "check the url")
    if expected is not None and len(body) != expected:
        raise _failed(url, f"{len(body):,} of {expected:,} bytes came: truncated", "try again")
    return bytes(body)


def _unpacked(url: str, packed: bytes) -> bytes:
    if not packed.startswith(GZIP_MAGIC):
        return packed
    try:
        content = gzip.GzipFile(fileobj=io.BytesIO(packed)).read(LARGEST_CONTENT + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _failed(url, f"the compressed data is damaged ({error})", "try again") from error
    if len(content) > LARGEST_CONTENT:
        raise _failed(url, f"it unpacks to over {LARGEST_CONTENT:,} bytes", "check the url")
    return content


def _failed(url: str, reason: str, remedy: str) -> DataError:
    return DataError(explain("the download failed", received=reason, where=url, remedy=remedy))
