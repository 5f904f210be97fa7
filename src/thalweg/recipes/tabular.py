"""The recipe for tables: a CSV file and the column to predict.

In: settings. Out: a `Problem` whose columns are encoded by kind, fitted on the training part alone; a classification
or a regression by what the target holds.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from thalweg.data import LabelEncoder, Table, infer_task, read_csv, split_indices
from thalweg.data.files import existing_file
from thalweg.data.table import abridged
from thalweg.errors import ConfigurationError, DataError, explain
from thalweg.recipes.problem import CLASSIFICATION, REGRESSION, Chunk, Problem
from thalweg.recipes.settings import NAMED, Settings
from thalweg.recipes.table_parts import check_classes, column_of, described, fitted_encoder, outputs_of
from thalweg.recipes.table_reader import CHUNK_ROWS, TableReader, is_large, numbers_of, with_target
from thalweg.recipes.table_stream import prepare_stream

FEWEST_ROWS = 10


def prepare(settings: Settings) -> Problem:
    """The problem of a CSV file: test part, validation part, encoders, in this order.

    Raises ConfigurationError without a target, DataError and FileFormatError for data that cannot be trained on.
    """
    path = _checked_path(settings)
    if settings.target is None:
        raise _no_target(path, settings)
    if settings.test is not None:
        existing_file(settings.test, "the test file")
    if settings.stream or is_large(path):
        return prepare_stream(path, settings)
    return _prepare(path, settings, settings.target)


def _prepare(path: str, settings: Settings, target: str) -> Problem:
    notes: list[str] = []
    table = _read(path, settings)
    notes += table.notes
    name = column_of(table, target, settings)
    table = with_target(table, name, notes)
    task = settings.task or infer_task(table[name])
    rest, test = _test_part(table, name, task, settings, notes)
    _check_rows(rest, path)
    labels = _fitted_labels(rest, name, task)
    training, validation = _split(rest, name, task, settings.validation, settings.seed + 1)
    encoder = fitted_encoder(training.target(name)[0], settings, rest.names)
    reader = TableReader(encoder, labels, name, table.names, settings.no_header, settings.delimiter)
    x, y = reader.encode(training)
    validation_x, validation_y = reader.encode(validation)
    test_y = reader.encode_target(test, test[name])
    notes += [*encoder.notes, *reader.notes]
    reader.notes.clear()
    outputs, scaled = outputs_of(labels, y)
    return Problem(
        name=Path(path).name.split(".")[0] or "table",
        outputs=outputs,
        reader=reader,
        input_shape=(x.shape[1],),
        training=(x, scaled(y)),
        validation=(validation_x, scaled(validation_y)),
        test=lambda: _chunks(reader, test, test_y),
        counts={"training": training.rows, "validation": validation.rows, "test": test.rows},
        data=described(path, settings, name, task),
        notes=notes,
    )


def _chunks(reader: TableReader, table: Table, targets: np.ndarray) -> Iterator[Chunk]:
    for first in range(0, table.rows, CHUNK_ROWS):
        rows = np.arange(first, min(first + CHUNK_ROWS, table.rows))
        yield reader.encoder.transform(table.take(rows)), targets[rows]


# --- the file and its columns ----------------------------------------------------------------------------------------


def _checked_path(settings: Settings) -> str:
    path = settings.data
    assert path is not None
    close = difflib.get_close_matches(path.replace("-", "_").lower(), NAMED, n=1)
    if not Path(path).exists() and close and not Path(path).suffix:
        raise ConfigurationError(
            explain(
                "this is neither a recipe nor a file",
                received=repr(path),
                expected=f"{', '.join(NAMED)}, or the path of a CSV file or a folder of pictures",
                remedy=f"did you mean {close[0]}?",
            )
        )
    return str(existing_file(path, "the CSV file"))


def _read(path: str, settings: Settings) -> Table:
    return read_csv(path, header=not settings.no_header, delimiter=settings.delimiter)


def _no_target(path: str, settings: Settings) -> ConfigurationError:
    names = _read(path, settings).names if not is_large(path) else ()
    return ConfigurationError(
        explain(
            "which column shall be predicted?",
            received="no --target",
            expected=f"one of {abridged(names)}" if names else "the name of a column",
            where=path,
            remedy=f"add --target {quoted(names[-1]) if names else 'COLUMN'}",
        )
    )


def quoted(name: str) -> str:
    """A name as it is typed into a shell."""
    return name if name.replace("_", "").replace("-", "").isalnum() else "'" + name.replace("'", "'\\''") + "'"


# --- the parts -------------------------------------------------------------------------------------------------------


def _test_part(table: Table, target: str, task: str, settings: Settings, notes: list[str]) -> tuple[Table, Table]:
    """What may be learned from, and the test part, which nothing is chosen on."""
    if settings.test is None:
        _check_rows(table, table.source)
        return _split(table, target, task, settings.test_fraction, settings.seed)
    test = _read(settings.test, settings)
    if target not in test:
        raise DataError(
            explain(
                "the test file lacks the target",
                received=f"columns {abridged(test.names)}",
                expected=repr(target),
                where=test.source,
                remedy="its columns must be those of the training file"
                if not settings.no_header
                else "its columns must be those of the training file; both files are read without a header line",
            )
        )
    return table, with_target(test, target, notes)


def _split(table: Table, target: str, task: str, fraction: float, seed: int) -> tuple[Table, Table]:
    """Two parts; every class in its share, where there are classes to share out."""
    labels = table[target] if task == CLASSIFICATION else None
    codes = None
    if labels is not None:
        codes = np.unique(labels.astype(str), return_inverse=True)[1]
        codes = codes if (np.bincount(codes) > 1).any() else None
    first, second = split_indices(table.rows, fraction, codes, seed)
    return table.take(first), table.take(second)


def _check_rows(table: Table, path: str) -> None:
    if table.rows < FEWEST_ROWS:
        raise DataError(
            explain(
                "too few rows to train, validate and test",
                received=f"{table.rows} rows with a target",
                expected=f"at least {FEWEST_ROWS}",
                where=path,
            )
        )


def _fitted_labels(table: Table, target: str, task: str) -> LabelEncoder | None:
    if task == REGRESSION:
        numbers_of(table[target], table, target)
        return None
    labels = LabelEncoder().fit(table[target], where=table.place)
    check_classes(labels, table.rows, target, table.source)
    return labels
