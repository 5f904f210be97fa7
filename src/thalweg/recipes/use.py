"""Using a run: predictions for new inputs, and scores on the test part or on other labelled data.

In: a run folder, files.
Out: a CSV of predictions; `Scores`.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from thalweg.data import Table
from thalweg.data.files import atomic_write
from thalweg.errors import ConfigurationError, DataError, explain
from thalweg.recipes import images, tabular
from thalweg.recipes.predictor import Predictor, load_predictor, settings_of
from thalweg.recipes.problem import Chunk
from thalweg.recipes.run_folder import RunFolder, unwritable
from thalweg.recipes.scores import Scores, score
from thalweg.recipes.settings import TABLE, Settings
from thalweg.recipes.table_reader import TableReader


def predict(run: str, path: str, output: str | None = None) -> int:
    """Write a CSV with a prediction for each row of a file (to stdout without `output`); returns how many.

    A file appears whole or not at all. Raises FileFormatError, DataError for a run or an input that cannot be read.
    """
    predictor = load_predictor(RunFolder(run))
    tables = predictor.predictions(path)
    first = next(tables, None)  # whatever is wrong with the input comes up before anything is written
    if first is None:
        raise DataError(explain("there is nothing to predict", received="no rows", where=path))
    if output is None:
        return _write_rows(sys.stdout, first, tables)
    if Path(output).is_dir():
        raise ConfigurationError(explain("the output is a folder", received=output, expected="a file"))
    with _whole_file(output) as stream:
        return _write_rows(stream, first, tables)


@contextmanager
def _whole_file(path: str) -> Iterator[TextIO]:
    try:
        with atomic_write(path) as raw:
            yield _Utf8(raw)  # type: ignore[misc]
    except OSError as error:
        raise unwritable(path, error) from None


class _Utf8:
    """Just enough of a text stream for csv.writer."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def write(self, text: str) -> int:
        return int(self.raw.write(text.encode("utf-8")))


def _write_rows(stream: TextIO, first: Table, rest: Iterator[Table]) -> int:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(first.names)
    count = 0
    for table in chain([first], rest):
        columns = [[_cell(value) for value in table[name].tolist()] for name in table.names]
        writer.writerows(zip(*columns, strict=True))
        count += table.rows
    return count


def _cell(value: Any) -> Any:
    return f"{value:.7g}" if isinstance(value, float) else value


# --- scores ----------------------------------------------------------------------------------------------------------


def evaluate(run: str, data: str | None, say: Callable[[str], object] = print) -> Scores:
    """Scores on the run's own test part, or on labelled data: a CSV, an .npz, a folder of IDX files.

    Raises DataError if the run's own data has changed, or is no longer there.
    """
    folder = RunFolder(run)
    config = folder.read_config()
    predictor = load_predictor(folder, config)
    settings = settings_of(config, str(folder.config))
    if data is not None:
        return score(predictor, _chunks_of(predictor, settings, data, say))
    problem = tabular.prepare(settings) if settings.recipe == TABLE else images.prepare(settings)
    _check_unchanged(config.get("data", {}), problem.data, folder)
    return score(predictor, problem.test())


def _chunks_of(predictor: Predictor, settings: Settings, data: str, say: Callable[[str], object]) -> Iterator[Chunk]:
    if Path(data).is_dir():
        if settings.recipe not in images.FROM_FOLDER:
            raise ConfigurationError(explain("the data is a folder", received=data, expected="a file", where="--data"))
        yield from images.in_chunks(images.load_folder(settings.recipe, data).test)
        return
    yield from predictor.reader.labelled(data)
    if isinstance(predictor.reader, TableReader):
        for note in dict.fromkeys(predictor.reader.notes):
            say(f"note      {note}")


def _check_unchanged(recorded: dict[str, Any], found: dict[str, Any], folder: RunFolder) -> None:
    if _fingerprints(recorded) != _fingerprints(found):
        raise DataError(
            explain(
                "the data is not what the run was trained on: its test part may hold rows that were trained on",
                received="another fingerprint (SHA-256)",
                where=f"{folder.config}, key 'data'",
                remedy="bring the old file back, or name a file of rows that are new: --data FILE",
            )
        )


def _fingerprints(data: dict[str, Any]) -> list[Any]:
    files = data.get("files", {})
    return [data.get("sha256"), *(files.get(name, {}).get("sha256") for name in ("training", "test"))]
