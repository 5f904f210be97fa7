"""How rows of a CSV file become what the network takes: fixed by the training part, kept in the run folder.

In: tables, or paths of CSV files with the columns of the training file, in any order. Out: encoded features, and
targets: class numbers, or values in their own units.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.data import LabelEncoder, StreamedCSV, Table, TableEncoder, read_csv
from thalweg.data.columns import is_missing, parse_numbers
from thalweg.data.files import GZIP_MAGIC, existing_file
from thalweg.errors import DataError, explain
from thalweg.recipes.problem import Chunk

STREAM_ABOVE, STREAM_ABOVE_GZIP = 128 << 20, 24 << 20
CHUNK_ROWS = 16_384


@dataclass
class TableReader:
    """Encodes features and targets; `columns` are all of the training file's, the target among them."""

    encoder: TableEncoder
    labels: LabelEncoder | None
    target: str
    columns: tuple[str, ...]
    no_header: bool = False
    delimiter: str | None = None
    notes: list[str] = field(default_factory=list)
    """What was put right on the way: rows left out, labels taken for others."""

    def inputs(self, path: str) -> Iterator[np.ndarray]:
        for table in self.tables(path):
            yield self.encoder.transform(table)

    def labelled(self, path: str) -> Iterator[Chunk]:
        for table in self.tables(path):
            yield self.encode(with_target(table, self.target, self.notes))

    def encode(self, table: Table) -> Chunk:
        """Features and targets of a table whose target column has no gaps."""
        features, target = table.target(self.target)
        return self.encoder.transform(features), self.encode_target(table, target)

    def encode_target(self, table: Table, target: np.ndarray) -> np.ndarray:
        if self.labels is None:
            return numbers_of(target, table, self.target)
        target = as_labels(target, self.labels.classes)
        if renamed := self.labels.renamed(target):
            pairs = ", ".join(f"{odd!r} as {known!r}" for odd, known in renamed.items())
            self.notes.append(f"labels of {table.source} are taken for known ones: {pairs}")
        return self.labels.transform(target, where=table.place)

    def tables(self, path: str) -> Iterator[Table]:
        """The file in chunks: read whole if it is small, streamed if it is large."""
        path = str(existing_file(path, "the CSV file"))
        if is_large(path):
            names = self._names(StreamedCSV(path, encoder=self.encoder, header=not self.no_header,
                                            delimiter=self.delimiter, sample_rows=1).names)  # fmt: skip
            yield from StreamedCSV(path, encoder=self.encoder, header=not self.no_header, delimiter=self.delimiter,
                                   names=names, sample_rows=1, chunk_rows=CHUNK_ROWS).tables()  # fmt: skip
            return
        whole = read_csv(path, header=not self.no_header, delimiter=self.delimiter)
        names = self._names(whole.names)
        if names is not None:
            whole = Table({new: whole[old] for old, new in zip(whole.names, names, strict=True)},
                          source=whole.source, lines=whole.lines)  # fmt: skip
        for first in range(0, whole.rows, CHUNK_ROWS):
            yield whole.take(np.arange(first, min(first + CHUNK_ROWS, whole.rows)))

    def _names(self, found: tuple[str, ...]) -> list[str] | None:
        """Columns without names count from 0; where the target is left out, those behind it keep their numbers."""
        if self.no_header and len(found) == len(self.columns) - 1:
            return [name for name in self.columns if name != self.target]
        return None

    def to_config(self) -> dict[str, Any]:
        return {
            "kind": "table",
            "target": self.target,
            "columns": list(self.columns),
            "no_header": self.no_header,
            "delimiter": self.delimiter,
            "encoder": self.encoder.to_config(),
            "labels": None if self.labels is None else self.labels.to_config(),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TableReader:
        labels = config["labels"]
        return cls(
            TableEncoder.from_config(config["encoder"]),
            None if labels is None else LabelEncoder.from_config(labels),
            str(config["target"]),
            tuple(map(str, config["columns"])),
            bool(config["no_header"]),
            config["delimiter"],
        )


def is_large(path: str | os.PathLike[str]) -> bool:
    """Whether a file is streamed: over 128 MB of text, or 24 MB of gzip."""
    size = Path(path).stat().st_size
    if size <= STREAM_ABOVE_GZIP:
        return False
    with open(path, "rb") as stream:
        return size > STREAM_ABOVE or stream.read(2) == GZIP_MAGIC


def with_target(table: Table, target: str, notes: list[str]) -> Table:
    """The rows that have a target; a note says how many have none."""
    gaps = int(is_missing(table[target]).sum())
    if not gaps:
        return table
    if gaps == table.rows:
        raise DataError(
            explain(
                "no row has a target",
                received=f"{table.rows} rows, all without a value in {target!r}",
                where=table.source or None,
                remedy="check the target column; predict needs no targets",
            )
        )
    notes.append(f"{gaps:,} of {table.rows:,} rows have no value in {target!r} and are left out")
    return table.drop_missing(target)


def numbers_of(target: np.ndarray, table: Table, name: str) -> np.ndarray:
    """A target column as finite float64. Raises DataError for text, naming the line."""
    cells = target.tolist()
    numbers = target.astype(np.float64) if target.dtype.kind in "biuf" else parse_numbers([str(each) for each in cells])
    if numbers is not None and np.isfinite(numbers).all():
        return numbers
    row = next(row for row, cell in enumerate(cells) if not _is_finite_number(cell))
    raise DataError(
        explain(
            "regression needs finite numbers to predict",
            received=repr(cells[row]),
            where=f"{table.place(row)}, column {name!r}",
            remedy="choose another target, mend the cell, or say --task classification",
        )
    )


def _is_finite_number(cell: object) -> bool:
    numbers = parse_numbers([str(cell)], ())
    return numbers is not None and bool(np.isfinite(numbers).all())


def as_labels(target: np.ndarray, classes: list[Any]) -> np.ndarray:
    """Labels in the type of the classes: "3" and 3 are the same class, whichever way a file was typed."""
    is_text = any(isinstance(each, str) for each in classes)
    if is_text and target.dtype.kind in "biuf":
        texts = [str(int(each)) if float(each).is_integer() else str(each) for each in target.tolist()]
        return np.array(texts, dtype=object)
    if not is_text and target.dtype == object:
        numbers = parse_numbers([str(each) for each in target.tolist()], ())
        return target if numbers is None else numbers
    return target
