"""A table becomes one matrix of numbers that a network can learn from.

In: a `Table` of features. Out: float32 of shape (rows, width), each column encoded by its kind with the statistics of
the training part.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np

from thalweg.data.categories import OneHotEncoder
from thalweg.data.columns import CATEGORICAL, MISSING_VALUES, NUMERIC, is_missing, kind_of, parse_numbers
from thalweg.data.numeric import Impute, Log1p, Standardise
from thalweg.data.table import ColumnReference, Table, abridged
from thalweg.data.transform import Pipeline, Transform, entry
from thalweg.errors import ArgumentError, ConfigurationError, DataError, explain

HEAVY_TAIL_SKEWNESS = 2.0
MOST_NUMERIC_CLASSES = 20
LARGEST_NUMBER = 1e100  # squares and their sums stay finite in float64


class TableEncoder(Transform):
    """Encode each column by its kind, fitted on the training part alone.

    A numeric column: gaps filled with the median and marked in a column of their own; log1p if its tail is heavy
    (skewness over 2, and smaller after the logarithm); standardised. It stays numeric however few or many values it
    has: a zip code is not expanded into thousands of columns. A categorical column: one-hot with a bucket for rare,
    missing and unknown categories. A categorical column in which no text occurs twice (names, identifiers) carries
    nothing to learn and is left out; `notes` says so.

    Args:
        categorical: columns of numbers to encode as categories (codes without an order).
        numeric: columns to encode as numbers even if they were read as text.
        drop: columns to leave out.
        max_categories: the most one-hot columns of one column; rarer categories share "<unknown>".
        min_count: categories seen less often in the training part share "<unknown>".
        log_heavy_tails, missing_indicator: whether to do so.
        drop_empty: leave out columns without any value, with a note, instead of raising.

    Attributes:
        columns: the transform of each column, by name. notes: what a user should know about the choices made.
        feature_names_out: the names of the columns that come out. width: their number.

    Raises:
        DataError: a column without any value in the training part; columns missing in `transform`; text in a numeric
            column.
        StateError: used before `fit`. ArgumentError: a column both categorical and numeric.

    >>> training = Table({"age": [20.0, 40.0, np.nan], "job": ["clerk", "smith", "clerk"]})
    >>> encoder = TableEncoder(min_count=1).fit(training)
    >>> encoder.feature_names_out
    ['age', 'age (missing)', 'job=clerk', 'job=smith']
    >>> encoder.transform(Table({"job": ["smith", "baker"], "age": [30.0, 30.0]}))[:, [0, 2, 3]]
    array([[0., 0., 1.],
           [0., 0., 0.]], dtype=float32)
    """

    def __init__(
        self,
        *,
        categorical: Iterable[ColumnReference] = (),
        numeric: Iterable[ColumnReference] = (),
        drop: Iterable[ColumnReference] = (),
        max_categories: int = 64,
        min_count: int = 2,
        log_heavy_tails: bool = True,
        missing_indicator: bool = True,
        drop_empty: bool = False,
    ) -> None:
        self.categorical, self.numeric, self.drop = tuple(categorical), tuple(numeric), tuple(drop)
        self.max_categories, self.min_count = max_categories, min_count
        self.log_heavy_tails, self.missing_indicator = log_heavy_tails, missing_indicator
        self.drop_empty = drop_empty
        self.columns: dict[str, Transform] = {}
        self.notes: tuple[str, ...] = ()

    @property
    def is_fitted(self) -> bool:
        return bool(self.columns)

    def fit(self, x: Table) -> Self:
        """Choose and fit the transform of every column of the training part."""
        kinds = self._kinds_of(x)
        columns, notes = {}, []
        for name, kind in kinds.items():
            values = _as_kind(x, name, kind)
            if is_missing(values).all():
                notes.append(self._empty(x, name))
            elif transform := self._fitted(values):
                columns[name] = transform
            else:
                notes.append(
                    f"column {name!r} is left out: no text in it occurs {self.min_count} times (an identifier?)"
                )
        if not columns:
            raise DataError(
                explain(
                    "no column is left to learn from",
                    received="; ".join(notes) or "no columns",
                    where=x.source or "TableEncoder.fit",
                )
            )
        self.columns, self.notes = columns, tuple(notes)
        return self

    def transform(self, x: Table) -> np.ndarray:
        """float32 of shape (rows, width), finite: what is beyond float32 becomes its largest number.

        Columns are found by name; others that the table has are ignored.
        """
        self.check_fitted()
        self._check_columns(x)
        with np.errstate(over="ignore"):
            parts = [_apply(transform, _as_kind(x, name, _kind(transform))) for name, transform in self.columns.items()]
        largest = np.finfo(np.float32).max
        return np.concatenate(parts, axis=1).clip(-largest, largest).astype(np.float32)

    @property
    def feature_names_out(self) -> list[str]:
        self.check_fitted()
        return [out for name, transform in self.columns.items() for out in transform.feature_names([name])]

    @property
    def width(self) -> int:
        return len(self.feature_names_out)

    def to_config(self) -> dict[str, Any]:
        """The fitted encoder as a dictionary of numbers, strings and lists."""
        self.check_fitted()
        columns = [{"name": name, "transform": transform.to_config()} for name, transform in self.columns.items()]
        return {"kind": "TableEncoder", "columns": columns}

    @classmethod
    def _rebuilt(cls, config: Mapping[str, Any]) -> Self:
        encoder = cls()
        for column in entry(config, "columns"):
            encoder.columns[str(entry(column, "name"))] = _known_transform(entry(column, "transform"))
        return encoder

    def _kinds_of(self, table: Table) -> dict[str, str]:
        categorical, numeric, dropped = (
            {table.column(c) for c in given} for given in (self.categorical, self.numeric, self.drop)
        )
        if both := categorical & numeric:
            raise ArgumentError(
                explain(
                    "a column is either categorical or numeric",
                    received=f"{sorted(both)} in both",
                    where="TableEncoder",
                )
            )
        kinds = {name: kind for name, kind in table.kinds.items() if name not in dropped}
        return {
            name: CATEGORICAL if name in categorical else NUMERIC if name in numeric else kind
            for name, kind in kinds.items()
        }

    def _empty(self, table: Table, name: str) -> str:
        if self.drop_empty:
            return f"column {name!r} is left out: it has no values"
        raise DataError(
            explain(
                "a column has no values at all",
                received=f"{table.rows} rows, all missing",
                where=f"{table.source or 'the table'}, column {name!r}",
                remedy=f"leave it out: table.drop({name!r}), or TableEncoder(drop_empty=True)",
            )
        )

    def _fitted(self, values: np.ndarray) -> Transform | None:
        if kind_of(values) == CATEGORICAL:
            encoder = OneHotEncoder(self.max_categories, self.min_count).fit(values)
            return encoder if encoder.categories_ else None
        steps: list[Transform] = [Impute(indicator=self.missing_indicator)]
        if self.log_heavy_tails and has_heavy_tail(values):
            steps.append(Log1p())
        return Pipeline([*steps, Standardise()]).fit(values[:, None])

    def _check_columns(self, table: Table) -> None:
        missing = [name for name in self.columns if name not in table]
        if missing:
            close = difflib.get_close_matches(missing[0], table.names, n=1)
            raise DataError(
                explain(
                    "columns of the training part are missing",
                    received=f"a table with {abridged(table.names)}; no {abridged(missing)}",
                    expected=f"the columns {abridged(self.columns)}",
                    where=table.source or None,
                    remedy=f"is {close[0]!r} meant to be {missing[0]!r}?"
                    if close
                    else "check the header line of the file",
                )
            )

    def __repr__(self) -> str:
        return (
            f"TableEncoder({len(self.columns)} columns to {self.width})"
            if self.is_fitted
            else "TableEncoder(not fitted)"
        )


def _known_transform(config: Mapping[str, Any]) -> Transform:
    transform = Transform.from_config(config)
    if not isinstance(transform, (OneHotEncoder, Pipeline)):
        raise ConfigurationError(
            explain("a column is encoded by a OneHotEncoder or a Pipeline", received=type(transform).__name__)
        )
    return transform


def _kind(transform: Transform) -> str:
    return CATEGORICAL if isinstance(transform, OneHotEncoder) else NUMERIC


def _apply(transform: Transform, values: np.ndarray) -> np.ndarray:
    encoded: np.ndarray = transform.transform(values if isinstance(transform, OneHotEncoder) else values[:, None])
    return encoded


def _as_kind(table: Table, name: str, kind: str) -> np.ndarray:
    """The column as float64 for numeric, as an object array of texts for categorical."""
    values = table[name]
    if kind == CATEGORICAL:
        return _as_texts(values)
    if kind_of(values) == NUMERIC:
        return _finite(table, name, values.astype(np.float64))
    return _finite(table, name, _parsed(table, name, values))


def _as_texts(values: np.ndarray) -> np.ndarray:
    """Numbers as the texts that name them ("3" for 3.0), so that a category is one text however it was typed."""
    texts = np.empty(len(values), dtype=object)
    gaps = is_missing(values)
    texts[:] = [None if gap else _text(value) for value, gap in zip(values.tolist(), gaps, strict=True)]
    return texts


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _parsed(table: Table, name: str, values: np.ndarray) -> np.ndarray:
    cells = ["" if value is None else str(value) for value in values.tolist()]
    numbers = parse_numbers(cells)
    if numbers is None:
        row = next(i for i, cell in enumerate(cells) if parse_numbers([cell]) is None)
        raise DataError(
            explain(
                f"column {name!r} holds text where the encoder takes numbers",
                received=repr(cells[row]),
                expected=f"a number, or a missing value ({abridged(sorted(MISSING_VALUES), 4)})",
                where=table.place(row),
                remedy="mend the cell",
            )
        )
    return numbers


def _finite(table: Table, name: str, values: np.ndarray) -> np.ndarray:
    beyond = np.flatnonzero(np.abs(values) > LARGEST_NUMBER)
    if beyond.size:
        raise DataError(
            explain(
                f"column {name!r} holds a number too large to compute with",
                received=values[beyond[0]],
                expected=f"numbers up to {LARGEST_NUMBER:g}, or missing values",
                where=table.place(int(beyond[0])),
                remedy="mend the cell",
            )
        )
    return values


def has_heavy_tail(values: np.ndarray) -> bool:
    """Whether the skewness of a column is over 2 in size, and smaller after the logarithm.

    >>> has_heavy_tail(np.exp(np.arange(20.0))), has_heavy_tail(np.arange(20.0))
    (True, False)
    """
    present = values[~np.isnan(values)]
    before = abs(skewness(present))
    return before > HEAVY_TAIL_SKEWNESS and abs(skewness(Log1p().transform(present))) < before


def skewness(values: np.ndarray) -> float:
    """The third standardised moment; 0 for a constant."""
    centred = values - values.mean(dtype=np.float64)
    deviation = np.sqrt(np.mean(centred**2))
    return float(np.mean((centred / deviation) ** 3)) if deviation > 0 else 0.0


def infer_task(target: np.ndarray) -> str:
    """`"classification"` or `"regression"`, by what a target column holds.

    Text and booleans are classes. Whole numbers are classes if there are at most 20 different ones and each occurs
    twice on average; other numbers are a quantity.

    >>> infer_task(np.array(["a", "b"], dtype=object)), infer_task(np.array([0, 1, 1, 0]))
    ('classification', 'classification')
    >>> infer_task(np.array([0.5, 1.5]))
    'regression'
    """
    if target.dtype.kind not in "iuf":
        return "classification"
    present = target[~is_missing(target)]
    distinct = np.unique(present)
    whole = present.size > 0 and bool(np.all(distinct == np.floor(distinct)))
    few = distinct.size <= MOST_NUMERIC_CLASSES and 2 * distinct.size <= present.size
    return "classification" if whole and few else "regression"
