"""What the recipes for tables share, whether the table lies in memory or is streamed.

In: tables, settings.
Out: the target's column, encoders fitted on the training part, checks, a description of the data.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.data import LabelEncoder, Standardise, Table, TableEncoder
from thalweg.data.table import abridged
from thalweg.errors import ConfigurationError, DataError, explain
from thalweg.recipes.problem import Outputs, fingerprint
from thalweg.recipes.settings import Settings

MOST_CLASSES = 1000


def column_of(table: Table, reference: str, settings: Settings) -> str:
    """The column; numbers count from 0. Without a header line there are nothing but numbers."""
    if settings.no_header and not reference.lstrip("-").isdigit() and reference not in table:
        raise ConfigurationError(
            explain(
                "with --no-header columns have numbers, not names",
                received=repr(reference),
                expected=f"0 to {len(table.names) - 1}, or -1 for the last",
                where="--target",
                remedy="leave --no-header out if the first line holds the names",
            )
        )
    return table.column(reference)


def fitted_encoder(features: Table, settings: Settings, all_names: tuple[str, ...]) -> TableEncoder:
    """The encoder, fitted on the features of the training part; columns are named, or numbered as in the whole file."""
    whole = Table({name: [] for name in all_names}, source=features.source)
    chosen = {
        option: [whole.column(each) for each in columns]
        for option, columns in (("categorical", settings.categorical), ("drop", settings.drop))
    }
    absent = set(all_names) - set(features.names)
    if target_named := [each for columns in chosen.values() for each in columns if each in absent]:
        raise ConfigurationError(
            explain(
                "the target is no feature",
                received=repr(target_named[0]),
                where="--categorical, --drop",
                remedy="name other columns, or say --task classification for a target of numbers",
            )
        )
    return TableEncoder(categorical=chosen["categorical"], drop=chosen["drop"], drop_empty=True).fit(features)


def outputs_of(labels: LabelEncoder | None, training_targets: np.ndarray) -> tuple[Outputs, Any]:
    """How outputs are read, and the function that makes targets of training out of targets in their own units."""
    if labels is not None:
        return Outputs(classes=labels.classes), lambda targets: targets
    scale = Standardise().fit(training_targets)
    return Outputs(scale=scale), lambda targets: scale.transform(targets).astype(np.float32)[:, None]


def described(path: str, settings: Settings, target: str, task: str) -> dict[str, Any]:
    """Where the data came from, for config.json."""
    files = {"training": fingerprint(path)}
    if settings.test is not None:
        files["test"] = fingerprint(settings.test)
    return {"files": files, "target": target, "task": task}


def check_classes(labels: LabelEncoder, rows: int, target: str, path: str) -> None:
    """Refuse a column of identifiers as target."""
    count = len(labels.classes)
    if count > MOST_CLASSES or 2 * count > max(rows, 4):
        raise DataError(
            explain(
                "too many classes for the rows",
                received=f"{count:,} different values in {rows:,} rows: {abridged(map(repr, labels.classes), 4)}",
                expected=f"at most {MOST_CLASSES:,}, and at least two rows for each on average",
                where=f"{path}, column {target!r}",
                remedy="choose another target column; for a target of numbers say --task regression",
            )
        )
