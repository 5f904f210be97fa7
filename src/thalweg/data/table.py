"""A table in memory: named columns of equal length, each numeric or categorical.

In: arrays by name.
Out: selections of columns and rows, the target apart from the features, counts of what is missing.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from thalweg.data.columns import is_missing, kind_of
from thalweg.errors import DataError, explain

ColumnReference = str | int


class Table:
    """Named columns of equal length: float64 with NaN for missing (numeric), object arrays of str and None
    (categorical).

    Args:
        columns: arrays or lists by name, each of shape (rows,).
        source: where they came from, for error messages.
        lines: the line of `source` that each row was read from, shape (rows,).
        notes: remarks of the reader that a user should see.

    Attributes:
        names: the column names in order. kinds: "numeric" or "categorical" by name. rows: the number of rows.

    Raises:
        DataError: no columns, columns of different lengths or with more than one axis.

    >>> table = Table({"age": [39.0, np.nan], "job": ["clerk", None]})
    >>> table.kinds, table.rows, table.missing()
    ({'age': 'numeric', 'job': 'categorical'}, 2, {'age': 1, 'job': 1})
    >>> features, target = table.target("job")
    >>> features.names, target.tolist()
    (('age',), ['clerk', None])
    """

    def __init__(
        self,
        columns: Mapping[str, ArrayLike],
        *,
        source: str = "",
        lines: np.ndarray | None = None,
        notes: Iterable[str] = (),
    ) -> None:
        self._columns = {str(name): _as_column(values, name) for name, values in columns.items()}
        self.source, self.lines, self.notes = source, lines, tuple(notes)
        lengths = {name: len(values) for name, values in self._columns.items()}
        if len(set(lengths.values())) != 1:
            raise DataError(
                explain(
                    "a table needs columns of one length",
                    received=lengths or "no columns",
                    expected="at least one column",
                )
            )
        self.rows = next(iter(lengths.values()))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._columns)

    @property
    def kinds(self) -> dict[str, str]:
        return {name: kind_of(values) for name, values in self._columns.items()}

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, len(self._columns)

    def __len__(self) -> int:
        return self.rows

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __getitem__(self, column: ColumnReference) -> np.ndarray:
        return self._columns[self.column(column)]

    def column(self, reference: ColumnReference) -> str:
        """The name of a column that is given by name or by number (0 is the first, -1 the last; "14" works too).

        Raises DataError, with the closest names, if there is none.

        >>> Table({"x": [1], "y": [2]}).column(-1)
        'y'
        """
        if isinstance(reference, str) and reference in self._columns:
            return reference
        try:
            return self.names[int(reference) if isinstance(reference, str) else operator.index(reference)]
        except (ValueError, IndexError, TypeError):
            raise self._no_column(reference) from None

    def _no_column(self, reference: object) -> DataError:
        close = difflib.get_close_matches(str(reference), self.names, n=3)
        by_case = [name for name in self.names if name.lower() == str(reference).lower()]
        guess = " or ".join(map(repr, by_case or close))
        numbers = f"a name, or a number from 0 to {len(self.names) - 1}"
        return DataError(
            explain(
                "there is no such column",
                received=repr(reference),
                expected=f"one of {abridged(self.names)} ({numbers})",
                where=self.source or None,
                remedy=f"did you mean {guess}?" if guess else "check the name, and whether the file has a header line",
            )
        )

    def select(self, columns: Iterable[ColumnReference]) -> Table:
        """A table of these columns, in this order; the arrays are shared."""
        return self._with({name: self._columns[name] for name in map(self.column, _listed(columns))})

    def drop(self, columns: ColumnReference | Iterable[ColumnReference]) -> Table:
        """A table without these columns; the arrays are shared."""
        dropped = {self.column(reference) for reference in _listed(columns)}
        return self._with({name: values for name, values in self._columns.items() if name not in dropped})

    def target(self, column: ColumnReference) -> tuple[Table, np.ndarray]:
        """(features, target): the table without the column, and the column."""
        name = self.column(column)
        if len(self.names) == 1:
            raise DataError(
                explain(
                    "the target is the only column",
                    received=repr(name),
                    expected="at least one more",
                    where=self.source or None,
                )
            )
        return self.drop([name]), self._columns[name]

    def take(self, indices: ArrayLike) -> Table:
        """A table of the rows with these numbers, in this order."""
        numbers = np.asarray(indices)
        lines = None if self.lines is None else self.lines[numbers]
        return Table({name: values[numbers] for name, values in self._columns.items()}, source=self.source, lines=lines)

    def missing(self) -> dict[str, int]:
        """How many values are missing, by column."""
        return {name: int(is_missing(values).sum()) for name, values in self._columns.items()}

    def missing_rows(self, columns: Iterable[ColumnReference] | None = None) -> np.ndarray:
        """Which rows lack a value in any of the columns (all by default): bool, shape (rows,)."""
        names = self.names if columns is None else [self.column(reference) for reference in _listed(columns)]
        return np.asarray(np.logical_or.reduce([is_missing(self._columns[name]) for name in names]))

    def drop_missing(self, columns: Iterable[ColumnReference] | None = None) -> Table:
        """A table without the rows that lack a value in any of the columns (all by default)."""
        return self.take(np.flatnonzero(~self.missing_rows(columns)))

    def place(self, row: int) -> str:
        """Where a row stands, for error messages: file and line if they are known."""
        if self.lines is not None:
            return f"{self.source}, line {self.lines[row]}"
        return f"{self.source or 'the table'}, row {row}"

    def _with(self, columns: dict[str, np.ndarray]) -> Table:
        return Table(columns, source=self.source, lines=self.lines, notes=self.notes)

    def __repr__(self) -> str:
        kinds = ", ".join(f"{name}: {kind}" for name, kind in self.kinds.items())
        return f"Table({self.rows} rows; {kinds})"


def _as_column(values: Any, name: object) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        array = np.asarray(values, dtype=object)
    if array.ndim != 1:
        raise DataError(explain("a column has one axis", received=f"shape {array.shape}", where=f"column {name!r}"))
    return array


def _listed(columns: ColumnReference | Iterable[ColumnReference]) -> list[ColumnReference]:
    return [columns] if isinstance(columns, (str, int)) else list(columns)


def abridged(names: Iterable[object], most: int = 12) -> str:
    """The first names of a list, for error messages.

    >>> abridged("abc", 2)
    'a, b, ... (3 in all)'
    """
    listed = list(map(str, names))
    return ", ".join(listed) if len(listed) <= most else f"{', '.join(listed[:most])}, ... ({len(listed)} in all)"
