"""The recipe for tables that are larger than memory: the file is read again for every epoch.

In: settings, the path of a CSV file. Out: a `Problem` that holds the validation part (at most 10,000 rows) and one
chunk in memory; the parts are a function of the seed and of the line on which a row stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.data import IterableDataset, LabelEncoder, StreamedCSV, Table, TableEncoder
from thalweg.data.columns import is_missing
from thalweg.data.seeding import permutation
from thalweg.errors import DataError, explain
from thalweg.recipes.problem import REGRESSION, Chunk, Problem
from thalweg.recipes.settings import Settings
from thalweg.recipes.table_parts import check_classes, column_of, described, fitted_encoder, outputs_of
from thalweg.recipes.table_reader import CHUNK_ROWS, TableReader, as_labels, with_target

MOST_VALIDATION_ROWS = 10_000
Chooses = Callable[[np.ndarray], np.ndarray]
"""From the lines of rows to which of them are meant."""


def prepare_stream(path: str, settings: Settings) -> Problem:
    """The problem of a streamed file: one pass counts, samples and collects the classes; then one pass an epoch."""
    assert settings.target is not None
    notes: list[str] = []
    stream = StreamedCSV(path, target=settings.target, encoder=TableEncoder(), header=not settings.no_header,
                         delimiter=settings.delimiter, chunk_rows=CHUNK_ROWS, seed=settings.seed)  # fmt: skip
    name = column_of(stream.sample, settings.target, settings)
    task = settings.task or stream.task or REGRESSION
    labels = None if task == REGRESSION else _labels(stream, name)
    is_test = partial(_is_test, share=0.0 if settings.test else settings.test_fraction, seed=settings.seed)
    sample = with_target(stream.sample, name, notes)
    training, validation = _sampled_parts(sample, is_test, settings)
    encoder = fitted_encoder(training.target(name)[0], settings, stream.names)
    reader = TableReader(encoder, labels, name, stream.names, settings.no_header, settings.delimiter)
    outputs, scaled = outputs_of(labels, reader.encode(training)[1])
    validation_x, validation_y = reader.encode(validation)
    held_out = np.sort(_lines(validation))
    rows = StreamedRows(stream, reader, lambda lines: ~is_test(lines) & ~np.isin(lines, held_out), scaled)
    test_rows = round(stream.rows * settings.test_fraction)
    rows.length = stream.rows - len(held_out) - (0 if settings.test else test_rows)
    test = partial(reader.labelled, settings.test) if settings.test else StreamedRows(stream, reader, is_test).chunks
    notes += [*encoder.notes, f"the file is streamed: {stream.rows:,} rows, read again for every epoch"]
    return Problem(
        name=Path(path).name.split(".")[0] or "table",
        outputs=outputs,
        reader=reader,
        input_shape=(encoder.width,),
        training=rows,
        validation=(validation_x, scaled(validation_y)),
        test=test,
        counts={"training": rows.length, "validation": len(held_out)} | ({} if settings.test else {"test": test_rows}),
        data=described(path, settings, name, task) | {"streamed": True},
        notes=notes,
    )


class StreamedRows(IterableDataset):
    """The chosen rows of a streamed file that have a target, encoded, in chunks; shuffled within each chunk."""

    def __init__(self, stream: StreamedCSV, reader: TableReader, chooses: Chooses,
                 scaled: Callable[[np.ndarray], np.ndarray] = lambda targets: targets) -> None:  # fmt: skip
        self.stream, self.reader, self.chooses, self.scaled = stream, reader, chooses, scaled
        self.length = 0

    def __len__(self) -> int:
        return self.length

    def chunks(self, epoch: int = 0, seed: int = 0, shuffle: bool = False) -> Iterator[Chunk]:
        for number, table in enumerate(self.stream.tables()):
            chosen = np.flatnonzero(self.chooses(_lines(table)) & ~is_missing(table[self.reader.target]))
            if not len(chosen):
                continue
            if shuffle:
                chosen = chosen[permutation(len(chosen), seed, epoch, number)]
            features, targets = self.reader.encode(table.take(chosen))
            yield features, self.scaled(targets)


def _lines(table: Table) -> np.ndarray:
    assert table.lines is not None
    return table.lines


def _is_test(lines: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Whether a row is in the test part: a share of the values of a mixing function (splitmix64) of its line."""
    start = np.uint64((seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) % 2**64)
    mixed = (lines.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + start
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((mixed ^ (mixed >> np.uint64(31))) < np.uint64(int(share * (2**64 - 1))))


def _sampled_parts(sample: Table, is_test: Chooses, settings: Settings) -> tuple[Table, Table]:
    """The sampled rows that statistics are learned from, and the validation part: both without test rows."""
    rows = np.flatnonzero(~is_test(_lines(sample)))
    rows = rows[permutation(len(rows), settings.seed)]
    count = min(round(len(rows) * settings.validation), MOST_VALIDATION_ROWS)
    if count == 0 or count == len(rows):
        raise DataError(
            explain(
                "too few rows to train, validate and test",
                received=f"{len(rows)} rows that are not in the test part",
                where=sample.source,
            )
        )
    return sample.take(np.sort(rows[count:])), sample.take(np.sort(rows[:count]))


def _labels(stream: StreamedCSV, target: str) -> LabelEncoder:
    """The classes of the whole file; numbers that were not taken for classes are collected in a pass of their own."""
    labels = stream.label_encoder
    if labels is None:
        distinct: set[Any] = set()
        for table in stream.tables():
            values = table[target]
            distinct.update(values[~is_missing(values)].tolist())
            if len(distinct) > MOST_VALIDATION_ROWS:
                break
        labels = LabelEncoder().fit(as_labels(np.array(sorted(distinct), dtype=object), [0]))
    check_classes(labels, stream.rows, target, str(stream.path))
    return labels
