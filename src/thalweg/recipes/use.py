"""Using a run: predictions for new inputs, and scores on the test part or on other labelled data.

In: a run folder, files.
Out: a CSV of predictions, pictures with boxes or masks; `Scores`.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from thalweg.data import Table
from thalweg.data.files import atomic_write
from thalweg.errors import ConfigurationError, DataError, explain
from thalweg.recipes.images import ImageReader, is_picture
from thalweg.recipes.picture_use import draw_predictions, labelled_pictures, tables_of_pictures
from thalweg.recipes.predictor import Predictor, load_predictor, settings_of
from thalweg.recipes.preparing import check_unchanged, prepare
from thalweg.recipes.problem import DETECTION, SEGMENTATION, Chunk
from thalweg.recipes.run_folder import RunFolder, unwritable
from thalweg.recipes.scores import Scores
from thalweg.recipes.scoring import score
from thalweg.recipes.sequence_network import SequenceNetwork
from thalweg.recipes.sequence_use import tables_of_sequences
from thalweg.recipes.settings import PERCEPTRON, Settings
from thalweg.recipes.table_reader import TableReader
from thalweg.recipes.translating import Search, searching


def predict(run: str, paths: str | Sequence[str], output: str | None = None, search: Search | None = None) -> str:
    """Predictions for files: a CSV with one for each row or picture, or pictures with boxes or masks drawn.

    A CSV goes to stdout without `output`; pictures go into a folder. A file appears whole or not at all. `search` says
    how translations are searched for: `beam`, `length_penalty`. Returns what was written, in words. Raises
    FileFormatError, DataError for a run or an input that cannot be read.
    """
    paths = [paths] if isinstance(paths, str) else list(paths)
    predictor = searching(load_predictor(RunFolder(run)), search or {}, run)
    if predictor.outputs.task in (SEGMENTATION, DETECTION):
        return draw_predictions(predictor, paths, output or str(Path(run) / "predictions"))
    tables = _tables(predictor, paths)
    first = next(tables, None)  # whatever is wrong with the input comes up before anything is written
    if first is None:
        raise DataError(explain("there is nothing to predict", received="no rows", where=", ".join(paths)))
    if output is None:
        return f"{_write_rows(sys.stdout, first, tables):,} predictions"
    if Path(output).is_dir():
        raise ConfigurationError(explain("the output is a folder", received=output, expected="a file"))
    with _whole_file(output) as stream:
        return f"{_write_rows(stream, first, tables):,} predictions in {output}"


def _tables(predictor: Predictor, paths: list[str]) -> Iterator[Table]:
    if isinstance(predictor.shape, SequenceNetwork):
        return tables_of_sequences(predictor, paths)
    if isinstance(predictor.reader, ImageReader) and is_picture(paths[0]):
        return tables_of_pictures(predictor, paths)
    if len(paths) > 1:
        raise ConfigurationError(
            explain(
                "one file at a time",
                received=f"{len(paths)} files",
                expected="one table or file of arrays, or pictures",
                remedy="predict each file by itself",
            )
        )
    return predictor.predictions(paths[0])


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


def evaluate(run: str, data: str | None, say: Callable[[str], object] = print, search: Search | None = None) -> Scores:
    """Scores on the run's own test part, or on labelled data: a CSV, an .npz, a folder as it was trained on.

    Raises DataError if the run's own data has changed, or is no longer there.
    """
    folder = RunFolder(run)
    config = folder.read_config()
    predictor = searching(load_predictor(folder, config), search or {}, run)
    settings = settings_of(config, str(folder.config))
    if data is not None:
        return score(predictor, _chunks_of(predictor, settings, data, say))
    problem = prepare(settings)
    check_unchanged(config.get("data", {}), problem.data, folder)
    return score(predictor, problem.test())


def _chunks_of(predictor: Predictor, settings: Settings, data: str, say: Callable[[str], object]) -> Iterator[Chunk]:
    reader = predictor.reader
    if isinstance(reader, ImageReader) and (Path(data).is_dir() or settings.network not in (None, PERCEPTRON)):
        yield from labelled_pictures(reader, settings, data)
        return
    yield from reader.labelled(data)
    if isinstance(reader, TableReader):
        for note in dict.fromkeys(reader.notes):
            say(f"note      {note}")
