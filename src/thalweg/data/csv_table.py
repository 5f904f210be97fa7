"""CSV files to tables and back.

In: a path, plain or gzip, with or without a header line.
Out: a `Table` whose columns are typed by what they hold.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from thalweg.data.columns import CATEGORICAL, KINDS, MISSING_VALUES, NUMERIC, as_categories, odd_cells, parse_numbers
from thalweg.data.csv_rows import CSVFormat, Row, place, read_rows
from thalweg.data.files import GIB, atomic_write
from thalweg.data.progress import Progress
from thalweg.data.table import Table, abridged
from thalweg.errors import ArgumentError, DataError, FileFormatError, explain


def read_csv(
    path: str | os.PathLike[str],
    *,
    header: bool = True,
    names: Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    missing: Collection[str] = MISSING_VALUES,
    comment: str | None = "|",
    encoding: str = "utf-8",
    quotechar: str | None = '"',
    decimal: str = ".",
    max_bytes: int = GIB,
) -> Table:
    """Read a delimited text file, plain or gzip, into memory.

    Spaces around cells are stripped (also within quotes), blank lines skipped, a byte order mark removed.

    Args:
        path: the file.
        header: whether the first row holds the column names; without it they are `column_0`, `column_1`, ...
        names: names to use instead.
        kinds: "numeric" or "categorical" for columns whose kind shall not be inferred. A column is inferred to be
            numeric if every present cell is a number.
        delimiter: one character; None finds out among comma, semicolon, tab and bar.
        missing: the texts that mean "no value" (exact, after stripping).
        comment: rows that begin with this character are skipped (UCI's files use "|"); None for none.
        encoding: one in which a line break is one byte. quotechar: None if the file does not quote. decimal: "," for
            1,5.
        max_bytes: the most text to read into memory, uncompressed. Larger files: `StreamedCSV`.

    Raises:
        FileFormatError: no such file, empty, truncated, binary, undecodable, ragged rows; each names file and line.
        DataError: duplicate column names, a header without rows.

    >>> import tempfile; from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.csv").write_text("age, job\\n39, clerk\\n?, smith\\n")
    ...     table = read_csv(Path(folder) / "a.csv")
    >>> table
    Table(2 rows; age: numeric, job: categorical)
    """
    style = CSVFormat(delimiter, comment, encoding, quotechar, frozenset(missing), decimal, max_bytes)
    with Progress(f"reading {path}", "rows") as progress:
        rows = list(progress.counted(read_rows(path, style)))
    columns, rows = header_and_rows(path, rows, header, names)
    return table_of_rows(path, columns, rows, style, kinds or {}, first_is_data=header and names is None)


def header_and_rows(
    path: object, rows: list[Row], header: bool, names: Sequence[str] | None
) -> tuple[list[str], list[Row]]:
    """The column names, and the rows below them."""
    if not rows:
        raise FileFormatError(
            explain("the CSV file holds no rows", where=str(path), expected="a header line and rows of data")
        )
    columns = column_names(path, rows[0], header, names)
    rows = rows[1:] if header else rows
    if not rows:
        raise DataError(
            explain(
                "the CSV file has a header line and no rows",
                received=abridged(columns),
                where=str(path),
                remedy="if its only line is data, say so: header=False (--no-header)",
            )
        )
    return columns, rows


def column_names(path: object, first: Row, header: bool, names: Sequence[str] | None) -> list[str]:
    """Names from the caller, the header line, or made up; checked to be distinct."""
    line, cells = first
    made_up = [f"column_{i}" for i in range(len(cells))]
    columns = list(names) if names is not None else made_up
    if names is None and header:
        columns = [cell or substitute for cell, substitute in zip(cells, made_up, strict=True)]
    if len(columns) != len(cells):
        raise DataError(
            explain(
                "a name for each column is needed",
                received=f"{len(columns)} names",
                expected=f"{len(cells)}",
                where=place(path, line),
            )
        )
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise DataError(
            explain(
                "duplicate column names",
                received=abridged(map(repr, repeated)),
                where=place(path, line),
                remedy="rename them, pass names=[...], or header=False (--no-header) if the first line is data",
            )
        )
    return columns


def table_of_rows(
    path: object,
    columns: Sequence[str],
    rows: list[Row],
    style: CSVFormat,
    kinds: Mapping[str, str],
    first_is_data: bool = False,
) -> Table:
    """Type the cells column by column."""
    lines = np.array([line for line, _ in rows], dtype=np.int64)
    arrays, notes = {}, []
    for name, cells in zip(columns, zip(*(cells for _, cells in rows), strict=True), strict=True):
        arrays[name] = _typed(name, cells, style, kinds.get(name), path, lines)
        if name not in kinds and arrays[name].dtype == object:
            notes += _odd_note(name, cells, style, lines)
    if first_is_data:
        notes += _header_note(columns, rows)
    return Table(arrays, source=str(path), lines=lines, notes=notes)


def _typed(
    name: str, cells: Sequence[str], style: CSVFormat, kind: str | None, path: object, lines: np.ndarray
) -> np.ndarray:
    if kind not in (None, *KINDS):
        raise ArgumentError(
            explain(
                "unknown kind of column", received=repr(kind), expected=" or ".join(KINDS), where=f"column {name!r}"
            )
        )
    if kind == CATEGORICAL:
        return as_categories(cells, style.missing)
    numbers = parse_numbers(cells, style.missing, style.decimal)
    if numbers is not None:
        return numbers
    if kind == NUMERIC:
        raise _not_numeric(name, cells, style, path, lines)
    return as_categories(cells, style.missing)


def _not_numeric(name: str, cells: Sequence[str], style: CSVFormat, path: object, lines: np.ndarray) -> FileFormatError:
    row = next(i for i, cell in enumerate(cells) if parse_numbers([cell], style.missing, style.decimal) is None)
    return FileFormatError(
        explain(
            f"column {name!r} holds text where numbers are expected",
            received=repr(cells[row]),
            expected="a number, or one of the missing values",
            where=place(path, int(lines[row])),
            remedy=f"mend the cell, or pass missing=[..., {cells[row]!r}] if it means that there is no value",
        )
    )


def _odd_note(name: str, cells: Sequence[str], style: CSVFormat, lines: np.ndarray) -> list[str]:
    odd = odd_cells(cells, style.missing, style.decimal)
    if not odd:
        return []
    row = next(i for i, cell in enumerate(cells) if cell == odd[0])
    return [
        f"column {name!r} is read as categorical because of {abridged(map(repr, odd), 3)} (line {lines[row]}); "
        f"every other value is a number: pass missing=[...] if these mean that there is no value"
    ]


def _header_note(columns: Sequence[str], rows: list[Row]) -> list[str]:
    """A first line whose cells are values of their own columns is data, not names."""
    seen = [
        name in set(cells) for name, cells in zip(columns, zip(*(cells for _, cells in rows), strict=True), strict=True)
    ]
    if 2 * sum(seen) <= len(seen):
        return []
    return [f"the first line looks like data ({abridged(columns, 4)}), not like names: pass header=False (--no-header)"]


def write_csv(path: str | os.PathLike[str], table: Table | Mapping[str, Iterable[object]]) -> None:
    """Write a table as UTF-8 text with a header line, atomically; missing values become empty cells, text is quoted.

    `read_csv` gives the same table back, as long as no text is itself a missing value, a number or padded with spaces.
    """
    names = list(table)
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*(_cells(table[name]) for name in names), strict=True))
    with atomic_write(path) as stream:
        stream.write(text.getvalue().encode("utf-8"))


def _cells(values: Iterable[object]) -> list[object]:
    listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
    return ["" if value is None or value != value else value for value in listed]
