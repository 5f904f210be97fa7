"""The cells of a text column become an array.

In: strings, and which of them mean "missing". Out: float64 with NaN for missing (numeric), or an object array of str
with None for missing (categorical).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

NUMERIC, CATEGORICAL = "numeric", "categorical"
KINDS = (NUMERIC, CATEGORICAL)
# pandas' list without "None", which names a category more often than a gap, and with UCI's "?".
MISSING_VALUES = frozenset(
    {
        "",
        "?",
        "NA",
        "N/A",
        "n/a",
        "na",
        "#N/A",
        "<NA>",
        "nan",
        "NaN",
        "NAN",
        "-nan",
        "-NaN",
        "NULL",
        "null",
        "Null",
        "#NA",
    }
)


def parse_numbers(
    cells: Sequence[str], missing: Collection[str] = MISSING_VALUES, decimal: str = "."
) -> np.ndarray | None:
    """The cells as float64 with NaN for missing ones; None if one of them is no number.

    >>> parse_numbers(["1", "?", "2.5"])
    array([1. , nan, 2.5])
    >>> parse_numbers(["1", "one"]) is None
    True
    """
    try:
        return np.array([parse_number(cell, missing, decimal) for cell in cells], dtype=np.float64)
    except ValueError:
        return None


def parse_number(cell: str, missing: Collection[str], decimal: str = ".") -> float:
    """One cell as a number, NaN if missing. Raises ValueError otherwise. `1_000` is no number, whatever Python says."""
    if cell in missing:
        return np.nan
    if "_" in cell:
        raise ValueError(cell)
    return float(cell if decimal == "." else cell.replace(decimal, "."))


def as_categories(cells: Sequence[str], missing: Collection[str] = MISSING_VALUES) -> np.ndarray:
    """The cells as an object array of str, None where missing."""
    values = np.empty(len(cells), dtype=object)
    values[:] = [None if cell in missing else cell for cell in cells]
    return values


def kind_of(values: np.ndarray) -> str:
    """`"numeric"` or `"categorical"`, by the dtype."""
    return NUMERIC if values.dtype.kind in "biuf" else CATEGORICAL


def is_missing(values: np.ndarray) -> np.ndarray:
    """Where a column has no value: NaN, or None. Shape and order as `values`.

    >>> is_missing(np.array(["a", None], dtype=object))
    array([False,  True])
    """
    if values.dtype.kind == "f":
        return np.asarray(np.isnan(values))
    if values.dtype == object:
        return np.array([value is None or value != value for value in values], dtype=bool)
    return np.zeros(len(values), dtype=bool)


def odd_cells(cells: Sequence[str], missing: Collection[str], decimal: str) -> list[str]:
    """The distinct texts that keep a nearly numeric column from being numeric, if they are few among many."""
    distinct = set(cells) - set(missing)
    odd = [cell for cell in distinct if not _is_number(cell, decimal)]
    return sorted(odd) if len(distinct) >= 10 and len(odd) <= len(distinct) // 10 else []


def _is_number(cell: str, decimal: str) -> bool:
    try:
        parse_number(cell, (), decimal)
    except ValueError:
        return False
    return True
