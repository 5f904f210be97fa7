"""Predictions of a network for sequences: for each truck, sentence or recording a row.

In: a predictor, paths or sentences.
Out: tables with what was given in front.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from thalweg.data import Table
from thalweg.recipes.predictor import Predictor
from thalweg.recipes.problem import TRANSLATION


def tables_of_sequences(predictor: Predictor, given: list[str]) -> Iterator[Table]:
    """What is predicted for files or sentences, batch by batch."""
    reader: Any = predictor.reader
    for shown, x in reader.named_inputs(given):
        if predictor.outputs.task == TRANSLATION:
            found = Table({"prediction": predictor.translations(x)})
        else:
            found = predictor.table_of(predictor.raw(x))
        yield Table({name: table[name] for table in (shown, found) for name in table.names})
