"""Texts with a class each: what they are, how they come from a CSV file, and how they are cut into parts.

In: a CSV file with a column of text, or texts and labels.
Out: `LabelledTexts`: the texts, int64 labels, class names.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thalweg.data.categories import LabelEncoder
from thalweg.data.columns import CATEGORICAL, is_missing
from thalweg.data.csv_table import read_csv
from thalweg.data.folds import k_fold
from thalweg.data.table import ColumnReference, Table, abridged
from thalweg.errors import DataError, explain


@dataclass(frozen=True)
class LabelledTexts:
    """Texts and the class of each.

    Attributes:
        name: of the data set, or of the file.
        texts: as they were read. labels: int64 (n,), in 0 .. len(class_names) - 1.
        class_names: by label. origin: who made it, and its licence.

    >>> reviews = LabelledTexts("reviews", ["good", "bad"], np.array([1, 0]), ("negative", "positive"))
    >>> reviews.take([0]).texts
    ['good']
    """

    name: str
    texts: list[str]
    labels: np.ndarray
    class_names: tuple[str, ...]
    origin: str = ""

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.labels):
            raise DataError(
                explain("every text needs a label", received=f"{len(self.texts)} texts, {len(self.labels)} labels")
            )

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Sequence[int] | np.ndarray) -> LabelledTexts:
        """The texts with these numbers, in this order."""
        numbers = np.asarray(indices, dtype=np.int64)
        texts = [self.texts[number] for number in numbers.tolist()]
        return LabelledTexts(self.name, texts, self.labels[numbers], self.class_names, self.origin)

    def folds(self, count: int = 10, seed: int | None = 0) -> list[tuple[LabelledTexts, LabelledTexts]]:
        """(training, test) for each fold of cross-validation, every class spread evenly: see `k_fold`."""
        parts = k_fold(len(self), count, self.labels, seed)
        return [(self.take(training), self.take(test)) for training, test in parts]

    def __repr__(self) -> str:
        return f"LabelledTexts({self.name}: {len(self)} texts, {len(self.class_names)} classes)"


def read_labelled_texts(
    path: str | os.PathLike[str],
    text: ColumnReference | None = None,
    label: ColumnReference | None = None,
    **options: Any,
) -> LabelledTexts:
    """A CSV file with a column of text and a column of classes.

    Args:
        path: the file, plain, .gz or .xz.
        text: name or number of the column of text; None takes the one whose cells are the longest.
        label: name or number of the column of classes; None takes the only other one, or one that is named "label",
            "class", "category", "sentiment", "target" or "y".
        options: as for `read_csv` (delimiter, header, encoding, ...). Cells such as "NA" and "null" are text here: only
            an empty one is missing. Lines that begin with "|" are data, too.

    Returns:
        `LabelledTexts`; classes in sorted order.

    Raises:
        FileFormatError: as `read_csv`. DataError: no such column, several that may be the classes, an empty text or
            label (with its line), a single class.

    >>> import tempfile; from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.csv").write_text('review,stars\\n"good, really",5\\nbad,1\\n')
    ...     reviews = read_labelled_texts(Path(folder) / "a.csv")
    >>> reviews.texts, reviews.labels, reviews.class_names
    (['good, really', 'bad'], array([1, 0]), ('1', '5'))
    """
    table = read_csv(path, **{"missing": ("",), "comment": None, **options})
    texts = table.column(text) if text is not None else _longest(table)
    labels = table.column(label) if label is not None else _classes(table, texts)
    for name in (texts, labels):
        _check_complete(table, name)
    encoder = LabelEncoder().fit(table[labels], where=table.place)
    return LabelledTexts(
        str(path),
        [str(cell) for cell in table[texts]],
        encoder.transform(table[labels], where=table.place),
        tuple(_class_name(each) for each in encoder.classes),
        str(path),
    )


def _class_name(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _longest(table: Table) -> str:
    """The column of text: the categorical one whose cells are the longest in the mean."""
    columns = [name for name, kind in table.kinds.items() if kind == CATEGORICAL]
    if not columns:
        raise DataError(explain("no column holds text", received=f"{table.kinds}", where=table.source))
    return max(columns, key=lambda name: np.mean([len(cell or "") for cell in table[name]]))


USUAL_LABELS = ("label", "class", "category", "sentiment", "target", "y")


def _classes(table: Table, texts: str) -> str:
    others = [name for name in table.names if name != texts]
    usual = [name for name in others if name.lower() in USUAL_LABELS]
    if len(others) != 1 and len(usual) != 1:
        raise DataError(
            explain(
                "which column holds the classes?",
                received=abridged(others) or "a single column",
                expected="one column besides the text, or one named " + ", ".join(USUAL_LABELS),
                where=table.source,
                remedy="name it: label=...",
            )
        )
    return others[0] if len(others) == 1 else usual[0]


def _check_complete(table: Table, name: str) -> None:
    rows = np.flatnonzero(is_missing(table[name]))
    if rows.size:
        raise DataError(
            explain(
                "an empty cell where a text and its class are needed",
                received=f"{rows.size} empty cells in column {name!r}",
                where=table.place(int(rows[0])),
                remedy="fill or delete these rows",
            )
        )
