"""A delimited text file, row by row, with the line number of each.

In: a path (plain or gzip) and a `CSVFormat`. Out: (line, cells) pairs, all of one width, read in constant memory;
anything else is a FileFormatError that names file and line.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, BinaryIO

from thalweg.data.columns import MISSING_VALUES
from thalweg.data.files import GIB, content_of, reading
from thalweg.errors import ArgumentError, FileFormatError, explain

WHAT = "the CSV file"
LONGEST_LINE = 16 << 20
SNIFFED_ROWS = 100
# In order of preference when several split every row equally well: a comma is the likeliest of them inside a cell.
DELIMITERS = ("\t", ";", "|", ",")
Row = tuple[int, list[str]]


@dataclass(frozen=True)
class CSVFormat:
    """How a delimited text file is to be read; see `read_csv` for the meaning of each field."""

    delimiter: str | None = None
    comment: str | None = "|"
    encoding: str = "utf-8"
    quotechar: str | None = '"'
    missing: frozenset[str] = field(default=MISSING_VALUES)
    decimal: str = "."
    max_bytes: int = GIB

    def __post_init__(self) -> None:
        _check_one_character("delimiter", self.delimiter)
        _check_one_character("quotechar", self.quotechar)
        _check_one_character("decimal", self.decimal)
        try:
            in_bytes = "\n".encode(codecs.lookup(self.encoding).name)
        except LookupError:
            in_bytes = b""
        if in_bytes != b"\n":
            raise ArgumentError(
                explain(
                    "this encoding cannot be read line by line",
                    received=repr(self.encoding),
                    expected="utf-8, latin-1, cp1252, ...",
                )
            )


def _check_one_character(name: str, value: str | None) -> None:
    if value is not None and (not isinstance(value, str) or len(value) != 1 or value in "\r\n"):
        raise ArgumentError(explain(f"{name} must be one character", received=repr(value), where="read_csv"))


class _Lines:
    """Decoded lines; `number` is the line last given out. Comment lines are left out where a row begins."""

    def __init__(self, stream: BinaryIO, path: object, style: CSVFormat) -> None:
        self._stream, self._path, self._style = stream, path, style
        self._comment = style.comment if style.comment != style.delimiter else None
        self._bytes = 0
        self.number = 0
        self.at_row_start = True

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._read()
        while self.at_row_start and self._comment and line.startswith(self._comment):
            line = self._read()
        self.at_row_start = False
        return line

    def _read(self) -> str:
        raw = self._stream.readline(LONGEST_LINE + 1)
        if not raw:
            raise StopIteration
        self.number += 1
        self._check(raw)
        if self.number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        try:
            return raw.decode(self._style.encoding)
        except UnicodeDecodeError as error:
            raise self._error(
                f"{WHAT} is not {self._style.encoding} text",
                f"byte 0x{raw[error.start]:02x} at column {error.start + 1}",
                "save it as UTF-8, or name its encoding: encoding='latin-1' accepts every byte",
            ) from error

    def _check(self, raw: bytes) -> None:
        self._bytes += len(raw)
        if b"\0" in raw:
            seems = content_of(raw) or "binary data"
            raise self._error(f"{WHAT} holds no text", seems, "export the table as UTF-8 text with commas")
        if len(raw) > LONGEST_LINE:
            raise self._error(
                "a line is too long", f"over {LONGEST_LINE:,} bytes", "is this a text file with line breaks?"
            )
        if self._bytes > self._style.max_bytes:
            raise self._error(
                f"{WHAT} is larger than is allowed in memory",
                f"over {self._style.max_bytes:,} bytes of text",
                "train from disk with tw.data.StreamedCSV, or pass a larger max_bytes",
            )

    def _error(self, problem: str, received: str, remedy: str) -> FileFormatError:
        return FileFormatError(explain(problem, received=received, where=place(self._path, self.number), remedy=remedy))


def place(path: object, line: int | None = None) -> str:
    """Where something is, for error messages.

    >>> place("a.csv", 3)
    'a.csv, line 3'
    """
    return str(path) if line is None else f"{path}, line {line}"


def read_rows(path: str | os.PathLike[str], style: CSVFormat) -> Iterator[Row]:
    """Yield (line number, stripped cells) of every row that is not blank; all rows have the width of the first.

    >>> import tempfile; from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.csv").write_text("x;y\\n1; 2\\n")
    ...     list(read_rows(Path(folder) / "a.csv", CSVFormat()))
    [(1, ['x', 'y']), (2, ['1', '2'])]
    """
    if style.delimiter is None:
        style = replace(style, delimiter=sniff_delimiter(path, style))
    with reading(path, WHAT) as stream:
        lines = _Lines(stream, path, style)
        width: int | None = None
        for cells in _parsed(lines, path, style):
            if len(cells) != width:
                if not cells or (cells == [""] and width != 1):
                    continue
                if width is not None:
                    raise _ragged(path, lines.number, cells, width)
                width = len(cells)
            yield lines.number, cells


def _dialect(delimiter: str, style: CSVFormat) -> dict[str, Any]:
    quoting = csv.QUOTE_NONE if style.quotechar is None else csv.QUOTE_MINIMAL
    return {"delimiter": delimiter, "quotechar": style.quotechar, "quoting": quoting, "skipinitialspace": True}


def _parsed(lines: _Lines, path: object, style: CSVFormat) -> Iterator[list[str]]:
    reader = csv.reader(lines, strict=True, **_dialect(style.delimiter or ",", style))
    while True:
        lines.at_row_start = True
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise FileFormatError(
                explain(
                    "this row cannot be parsed",
                    received=str(error),
                    where=place(path, lines.number),
                    remedy="is a quotation mark left open? If the file does not quote, pass quotechar=None",
                )
            ) from error
        yield [cell.strip() for cell in cells]


def _ragged(path: object, line: int, cells: list[str], width: int) -> FileFormatError:
    shown = ", ".join(map(repr, cells[:4])) + (", ..." if len(cells) > 4 else "")
    return FileFormatError(
        explain(
            "this row has another number of fields than the first",
            received=f"{len(cells)} fields: {shown}",
            expected=f"{width} fields",
            where=place(path, line),
            remedy="mend the row; a field that contains the delimiter must be quoted",
        )
    )


def sniff_delimiter(path: str | os.PathLike[str], style: CSVFormat) -> str:
    """The delimiter that splits the first hundred rows most evenly; a comma if none does (a single column)."""
    with reading(path, WHAT) as stream:
        lines = list(islice(_Lines(stream, path, replace(style, delimiter="\0")), SNIFFED_ROWS))
    evenness = {delimiter: _evenness(lines, delimiter, style) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=evenness.__getitem__)
    return best if evenness[best] > 0 else ","


def _evenness(lines: list[str], delimiter: str, style: CSVFormat) -> float:
    """The share of rows that have the commonest width; 0 if that width is one field."""
    text = io.StringIO(
        "".join(line for line in lines if not style.comment or not line.startswith(style.comment)), newline=""
    )
    try:
        rows = csv.reader(text, **_dialect(delimiter, style))
        widths = Counter(len(row) for row in rows if row and row != [""])
    except csv.Error:
        return 0.0
    width, rows_of_it = widths.most_common(1)[0] if widths else (1, 0)
    return rows_of_it / widths.total() if width > 1 else 0.0
