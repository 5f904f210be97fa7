"""Categories become numbers: one-hot columns, ordinal codes, class labels.

In: one column of text, integers or booleans, with None or NaN where a value is missing. Out: indicator columns or
integer codes, by the categories of the training part.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from thalweg.data.columns import is_missing
from thalweg.data.table import abridged
from thalweg.data.transform import Transform
from thalweg.errors import ArgumentError, ConfigurationError, DataError, explain

UNKNOWN = "<unknown>"
Category = str | int | float | bool


class _Categories(Transform):
    """What the encoders of one column share: the categories of the training part, in order, and their codes."""

    learned: ClassVar[tuple[str, ...]] = ("categories_",)
    categories_: list[Category]

    def _codes(self, x: ArrayLike) -> np.ndarray:
        """int64 codes of shape (samples,); -1 for missing values and categories that are not known."""
        self.check_fitted()
        code = {category: number for number, category in enumerate(self.categories_)}
        return np.array([code.get(value, -1) for value in _values(x, type(self).__name__)], dtype=np.int64)

    def restored(self, name: str, value: Any) -> Any:
        if name != "categories_":
            return super().restored(name, value)
        if not isinstance(value, list) or not all(isinstance(item, (str, int, float)) for item in value):
            raise ConfigurationError(
                explain(
                    "categories are a list of texts or numbers", received=f"{value!r:.60}", where=type(self).__name__
                )
            )
        return value


class OneHotEncoder(_Categories):
    """A column of categories becomes one indicator column for each category, and one for all others.

    Args:
        max_categories: keep this many of the most frequent ones; None keeps all.
        min_count: keep those that occur at least this often in the training part.

    Categories that are not kept, missing values and categories first seen later share the column "<unknown>". That
    column exists only if
    the training part fills it: a weight that was never trained would be noise. Without it they are all zeros (as
    scikit-learn's `handle_unknown="infrequent_if_exist"`).

    Takes shape (samples,), gives float32 (samples, width). Learns `categories_`, sorted, and `has_unknown_`.

    >>> encoder = OneHotEncoder().fit(["b", "a", None])
    >>> encoder.transform(["a", "c"]), encoder.feature_names(["job"])
    (array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32), ['job=a', 'job=b', 'job=<unknown>'])
    """

    learned = ("categories_", "has_unknown_")
    options = ("max_categories", "min_count")
    has_unknown_: bool

    def __init__(self, max_categories: int | None = None, min_count: int = 1) -> None:
        if max_categories is not None and max_categories < 1:
            raise ArgumentError(
                explain("max_categories must be at least 1", received=max_categories, where="OneHotEncoder")
            )
        self.max_categories, self.min_count = max_categories, min_count

    def fit(self, x: ArrayLike) -> Self:
        values = _values(x, "OneHotEncoder.fit")
        counts = Counter(value for value in values if value is not None)
        frequent = [value for value, count in _by_frequency(counts) if count >= self.min_count]
        self.categories_ = _ordered(frequent[: self.max_categories])
        self.has_unknown_ = sum(counts[value] for value in self.categories_) < len(values)
        return self

    @property
    def width(self) -> int:
        """The number of columns that come out."""
        self.check_fitted()
        return len(self.categories_) + self.has_unknown_

    def transform(self, x: ArrayLike) -> np.ndarray:
        codes = self._codes(x)
        encoded = np.zeros((len(codes), self.width), dtype=np.float32)
        known = codes >= 0
        encoded[known, codes[known]] = 1.0
        if self.has_unknown_:
            encoded[~known, -1] = 1.0
        return encoded

    def inverse_transform(self, x: ArrayLike) -> np.ndarray:
        """The category of the largest entry of each row, None for unknown: an object array of shape (samples,)."""
        self.check_fitted()
        rows = np.asarray(x)
        names = np.array([*self.categories_, None], dtype=object)
        return names[np.where(rows.any(axis=1), rows.argmax(axis=1), len(self.categories_))]

    def feature_names(self, names: Sequence[str]) -> list[str]:
        self.check_fitted()
        values = [*self.categories_, *([UNKNOWN] if self.has_unknown_ else [])]
        return [f"{names[0]}={value}" for value in values]

    def restored(self, name: str, value: Any) -> Any:
        return bool(value) if name == "has_unknown_" else super().restored(name, value)


class OrdinalEncoder(_Categories):
    """A column of categories becomes codes 0 .. k-1, for an `nn.Embedding(k + 1, ...)`; k is for unknown and missing
    values.

    Takes shape (samples,), gives int64 (samples,). Learns `categories_`, sorted.

    >>> encoder = OrdinalEncoder().fit(["low", "high"])
    >>> encoder.transform(["low", "high", "new"])
    array([1, 0, 2])
    """

    def fit(self, x: ArrayLike) -> Self:
        self.categories_ = _ordered({value for value in _values(x, "OrdinalEncoder.fit") if value is not None})
        return self

    def transform(self, x: ArrayLike) -> np.ndarray:
        codes = self._codes(x)
        return np.where(codes < 0, len(self.categories_), codes)

    def inverse_transform(self, x: ArrayLike) -> np.ndarray:
        """The categories of codes, None for k: an object array of shape (samples,)."""
        self.check_fitted()
        return np.array([*self.categories_, None], dtype=object).take(np.asarray(x, dtype=np.int64))


class LabelEncoder(_Categories):
    """The classes of a target become 0 .. k-1, in sorted order. Unlike a feature, a label that is not known is an
    error.

    One slip is forgiven, because UCI's Adult makes it: a label unseen in training that equals a known one once a
    trailing period is taken off ("<=50K." in adult.test) counts as that one. `renamed(labels)` says which were.

    Takes shape (samples,), gives int64 (samples,). `classes` holds the labels by number.

    Raises: DataError for missing or unknown labels (naming the line, if `where` can), and for a single class in `fit`.

    >>> encoder = LabelEncoder().fit(["<=50K", ">50K"])
    >>> encoder.transform([">50K.", "<=50K"]), encoder.renamed([">50K."])
    (array([1, 0]), {'>50K.': '>50K'})
    >>> encoder.inverse_transform([1]).tolist()
    ['>50K']
    """

    @property
    def classes(self) -> list[Category]:
        self.check_fitted()
        return list(self.categories_)

    def fit(self, x: ArrayLike, where: Callable[[int], str] | None = None) -> Self:
        values = _values(x, "LabelEncoder.fit")
        _check_present(values, where)
        classes = _ordered(set(values))
        if len(classes) < 2:
            raise DataError(
                explain(
                    "a single class: there is nothing to tell apart",
                    received=f"{len(values)} labels, all {classes[0]!r}",
                    expected="at least two classes",
                    remedy="check the target column",
                )
            )
        self.categories_ = classes
        return self

    def transform(self, x: ArrayLike, where: Callable[[int], str] | None = None) -> np.ndarray:
        """Codes of labels; `where(row)` names a place for error messages (`Table.place`)."""
        self.check_fitted()
        values = _values(x, "LabelEncoder.transform")
        _check_present(values, where)
        renamed = self.renamed(values)
        codes = self._codes([renamed.get(value, value) for value in values])
        unknown = np.flatnonzero(codes < 0)
        if unknown.size:
            raise self._unknown(values[int(unknown[0])], int(unknown[0]), where)
        return codes

    def renamed(self, labels: ArrayLike) -> dict[Category, Category]:
        """The labels that are taken for known ones after a trailing period, with the label they are taken for."""
        known = set(self.classes)
        odd = {value for value in _values(labels, "LabelEncoder") if value not in known and isinstance(value, str)}
        return {
            value: value[:-1].rstrip() for value in sorted(odd) if value.endswith(".") and value[:-1].rstrip() in known
        }

    def inverse_transform(self, x: ArrayLike) -> np.ndarray:
        """The labels of codes 0 .. k-1: an object array of shape (samples,)."""
        self.check_fitted()
        return np.array(self.categories_, dtype=object).take(np.asarray(x, dtype=np.int64))

    def _unknown(self, label: Category, row: int, where: Callable[[int], str] | None) -> DataError:
        close = difflib.get_close_matches(str(label), list(map(str, self.categories_)), n=1)
        return DataError(
            explain(
                "a class that the training part does not have",
                received=repr(label),
                expected=f"one of {abridged(map(repr, self.categories_))}",
                where=where(row) if where else f"row {row}",
                remedy=f"did you mean {close[0]!r}?" if close else "train on data that has every class",
            )
        )


def _values(x: ArrayLike, where: str) -> list[Any]:
    """A column as Python values, None where missing; whole numbers become int: 1.0 and 1 are one category."""
    array = np.asarray(x)
    if array.dtype.kind not in "biuf":
        array = np.asarray(x, dtype=object)
    if array.ndim != 1 or array.size == 0:
        raise DataError(
            explain(
                "an encoder takes one column with at least one row",
                received=f"shape {array.shape}",
                expected="shape (samples,)",
                where=where,
                remedy="encode several columns with tw.data.TableEncoder",
            )
        )
    values: list[Any] = array.tolist()
    if array.dtype.kind == "f" and all(value.is_integer() for value in array[~np.isnan(array)].tolist()):
        values = [None if value != value else int(value) for value in values]
    elif array.dtype.kind in "fO":
        values = [None if gap else value for value, gap in zip(values, is_missing(array), strict=True)]
    return values


def _by_frequency(counts: Counter[Any]) -> list[tuple[Any, int]]:
    order = {value: number for number, value in enumerate(_ordered(counts))}
    return sorted(counts.items(), key=lambda item: (-item[1], order[item[0]]))


def _ordered(values: Any) -> list[Any]:
    """Numbers by size, then texts by code point: the same order on every machine."""
    return sorted(values, key=lambda value: (isinstance(value, str), value))


def _check_present(values: list[Any], where: Callable[[int], str] | None) -> None:
    if None in values:
        row = values.index(None)
        raise DataError(
            explain(
                "labels are missing",
                received=f"{values.count(None)} of {len(values)} rows have none",
                where=where(row) if where else f"row {row}",
                remedy="leave these rows out: table.drop_missing(target)",
            )
        )
