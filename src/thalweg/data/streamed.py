"""Training on a CSV file that is larger than memory.

In: a path; the file is read once to count rows, type columns and sample, then once an epoch, in chunks. Out: chunks of
encoded arrays for a `DataLoader`, or tables; memory does not grow with the file.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from thalweg.data.categories import LabelEncoder
from thalweg.data.checks import checked_count
from thalweg.data.columns import CATEGORICAL, MISSING_VALUES, NUMERIC, is_missing
from thalweg.data.csv_rows import CSVFormat, Row, read_rows, sniff_delimiter
from thalweg.data.csv_table import header_and_rows, table_of_rows
from thalweg.data.dataset import IterableDataset
from thalweg.data.progress import Progress
from thalweg.data.seeding import bit_generator, checked_seed, permutation
from thalweg.data.table import ColumnReference, Table
from thalweg.data.table_encoder import TableEncoder, infer_task
from thalweg.errors import DataError, explain

MOST_CLASSES = 10_000


class StreamedCSV(IterableDataset):
    """A CSV file as a stream of (features, target) rows in constant memory.

    Construction reads the file once: it counts the rows, finds the kind of every column over the whole file, collects
    the classes of the target and keeps a uniform sample of rows, on which the encoder is fitted. Each epoch then reads
    the file again. With `DataLoader(stream, shuffle=True)` rows are shuffled within chunks: shuffle a sorted file once
    on disk.

    Args:
        path, header, names, delimiter, missing, comment, encoding, quotechar, decimal: as in `read_csv`.
        target: name or number of the target column; None streams features alone.
        chunk_rows: rows in memory at a time.
        sample_rows: rows to fit the encoder on.
        encoder: a fitted `TableEncoder` (of a training file, for example); None fits one on the sample.
        label_encoder: a fitted `LabelEncoder`; None fits one if the target is categorical or looks like classes.
        seed: decides the sample.

    Attributes:
        rows, names, kinds: of the whole file. sample: the `Table` of sampled rows. encoder, label_encoder: fitted.
        task: "classification", "regression", or None without a target.

    Raises:
        FileFormatError, DataError: as `read_csv`, for any line of the file, at construction.

    >>> import tempfile; from pathlib import Path
    >>> from thalweg.data import DataLoader
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "big.csv"
    ...     _ = path.write_text("x,y\\n" + "".join(f"{i},{i / 2}\\n" for i in range(10)))
    ...     stream = StreamedCSV(path, target="y", chunk_rows=4)
    ...     [x.shape for x, y in DataLoader(stream, batch_size=5)]
    [(5, 1), (5, 1)]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        target: ColumnReference | None = None,
        chunk_rows: int = 8192,
        sample_rows: int = 50_000,
        encoder: TableEncoder | None = None,
        label_encoder: LabelEncoder | None = None,
        header: bool = True,
        names: Sequence[str] | None = None,
        delimiter: str | None = None,
        missing: Collection[str] = MISSING_VALUES,
        comment: str | None = "|",
        encoding: str = "utf-8",
        quotechar: str | None = '"',
        decimal: str = ".",
        seed: int = 0,
    ) -> None:
        style = CSVFormat(delimiter, comment, encoding, quotechar, frozenset(missing), decimal, max_bytes=1 << 62)
        self._style = replace(style, delimiter=delimiter or sniff_delimiter(path, style))
        self.path, self._header, self._names = path, header, names
        self.chunk_rows, self.rows = checked_count("chunk_rows", chunk_rows, 1, "StreamedCSV"), 0
        self.kinds: dict[str, str] = {}
        sample_rows = checked_count("sample_rows", sample_rows, 1, "StreamedCSV")
        self.sample = self._scan(target, sample_rows, checked_seed(seed, "StreamedCSV"))
        self.target = None if target is None else self.sample.column(target)
        self.encoder = encoder or TableEncoder().fit(self._features(self.sample))
        self.label_encoder = label_encoder or self._fitted_labels()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.kinds)

    @property
    def task(self) -> str | None:
        if self.target is None:
            return None
        return "regression" if self.label_encoder is None else "classification"

    def __len__(self) -> int:
        return self.rows

    def tables(self) -> Iterator[Table]:
        """The file as tables of at most `chunk_rows` rows."""
        for columns, rows in self._row_chunks():
            yield table_of_rows(self.path, columns, rows, self._style, self.kinds)

    def chunks(self, epoch: int = 0, seed: int = 0, shuffle: bool = False) -> Iterator[tuple[np.ndarray, ...]]:
        """(features, target) of each chunk: float32 (rows, width); int64 classes or float32 values, shape (rows,)."""
        for number, table in enumerate(self.tables()):
            if shuffle:
                table = table.take(permutation(table.rows, seed, epoch, number))
            yield self.encode(table)

    def encode(self, table: Table) -> tuple[np.ndarray, ...]:
        """A table of this file's columns as the arrays that `chunks` yields."""
        features = self.encoder.transform(self._features(table))
        if self.target is None:
            return (features,)
        return features, self._encoded_target(table, table[self.target])

    def __iter__(self) -> Iterator[Any]:
        for chunk in self.chunks():
            yield from zip(*chunk, strict=True)

    def _encoded_target(self, table: Table, values: np.ndarray) -> np.ndarray:
        if self.label_encoder is not None:
            return self.label_encoder.transform(values, where=table.place)
        gaps = np.flatnonzero(is_missing(values))
        if gaps.size:
            raise DataError(
                explain(
                    "the target is missing",
                    received="no value",
                    where=table.place(int(gaps[0])),
                    remedy="remove such rows",
                )
            )
        return values.astype(np.float32)

    def _features(self, table: Table) -> Table:
        return table if self.target is None else table.target(self.target)[0]

    def _row_chunks(self) -> Iterator[tuple[list[str], list[Row]]]:
        rows = read_rows(self.path, self._style)
        first = list(islice(rows, self.chunk_rows + self._header))
        columns, below = header_and_rows(self.path, first, self._header, self._names)
        while below:
            yield columns, below
            below = list(islice(rows, self.chunk_rows))

    def _scan(self, target: ColumnReference | None, sample_rows: int, seed: int) -> Table:
        sample = _Reservoir(sample_rows, seed)
        self._target_cells: set[str] = set()
        with Progress(f"scanning {self.path}", "rows") as progress:
            for columns, rows in self._row_chunks():
                table = table_of_rows(self.path, columns, rows, self._style, {})
                self.rows += table.rows
                self._note_kinds(table.kinds)
                if target is not None:
                    self._note_target(rows, columns.index(table.column(target)))
                sample.add(rows)
                progress.update(self.rows)
        return table_of_rows(self.path, columns, sorted(sample.rows), self._style, self.kinds)

    def _note_kinds(self, kinds: dict[str, str]) -> None:
        for name, kind in kinds.items():
            self.kinds[name] = CATEGORICAL if CATEGORICAL in (kind, self.kinds.get(name)) else NUMERIC

    def _note_target(self, rows: list[Row], at: int) -> None:
        if len(self._target_cells) <= MOST_CLASSES:
            self._target_cells.update(cells[at] for _, cells in rows)

    def _fitted_labels(self) -> LabelEncoder | None:
        if self.target is None or infer_task(self.sample[self.target]) == "regression":
            return None
        if len(self._target_cells) > MOST_CLASSES:
            raise DataError(
                explain(
                    "the target has too many classes to learn",
                    received=f"over {MOST_CLASSES:,} different texts",
                    where=f"{self.path}, column {self.target!r}",
                    remedy="choose another target column",
                )
            )
        rows = [(0, [cell]) for cell in sorted(self._target_cells - self._style.missing)]
        classes = table_of_rows(self.path, [self.target], rows, self._style, {self.target: self.kinds[self.target]})
        return LabelEncoder().fit(classes[self.target])


class _Reservoir:
    """A uniform sample of rows of a stream of unknown length (Vitter's algorithm R, 1985)."""

    def __init__(self, size: int, seed: int) -> None:
        self.rows: list[Row] = []
        self._size, self._seen = size, 0
        self._draw = np.random.Generator(bit_generator(seed))

    def add(self, rows: list[Row]) -> None:
        free = self._size - len(self.rows)
        self.rows += rows[:free]
        self._seen += len(rows[:free])
        rest = rows[free:]
        slots = self._draw.integers(0, self._seen + np.arange(len(rest)) + 1)
        for at in np.flatnonzero(slots < self._size).tolist():
            self.rows[int(slots[at])] = rest[at]
        self._seen += len(rest)
