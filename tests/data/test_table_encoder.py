"""The table encoder: each column by its kind, fitted on the training part alone.

In: tables with gaps, heavy tails, identifiers. Out: a finite float32 matrix, with a name for each column.
"""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import Table, TableEncoder, Transform, infer_task
from thalweg.errors import DataError, StateError

numbers = st.none() | st.floats(-1e9, 1e9) | st.floats(-1e100, 1e100)
words = st.none() | st.sampled_from(["red", "green", "blue"])


@st.composite
def tables(draw):
    rows = draw(st.integers(2, 20))
    x = np.array(draw(st.lists(numbers, min_size=rows, max_size=rows)), dtype=np.float64)
    return Table({"x": x, "colour": draw(st.lists(words, min_size=rows, max_size=rows))})


@given(tables(), tables())
def test_whatever_comes_in_finite_float32_comes_out(training, other):
    encoder = TableEncoder(drop_empty=True, min_count=1)
    if np.isnan(training["x"]).all() and not any(training["colour"]):
        with pytest.raises(DataError, match="no column is left"):
            encoder.fit(training)
        return
    encoder.fit(training)
    encoded = encoder.transform(other)
    assert encoded.dtype == np.float32
    assert encoded.shape == (other.rows, encoder.width) == (other.rows, len(encoder.feature_names_out))
    assert np.isfinite(encoded).all()
    restored = Transform.from_config(json.loads(json.dumps(encoder.to_config())))
    np.testing.assert_array_equal(restored.transform(other), encoded)


def test_statistics_come_from_the_training_part():
    training = Table({"x": [0.0, 2.0], "c": ["a", "a"]})
    encoder = TableEncoder().fit(training)
    before = encoder.transform(training)
    encoder.transform(Table({"x": [1e6], "c": ["z"]}))
    np.testing.assert_array_equal(encoder.transform(training), before)


def test_columns_are_found_by_name_and_others_ignored():
    encoder = TableEncoder().fit(Table({"a": [0.0, 2.0], "b": [0.0, 4.0]}))
    swapped = Table({"more": ["?", "!"], "b": [4.0, 0.0], "a": [2.0, 0.0]})
    assert encoder.transform(swapped).tolist() == [[1.0, 1.0], [-1.0, -1.0]]


def test_a_heavy_tail_takes_the_logarithm_and_a_bell_does_not():
    random = np.random.default_rng(0)
    table = Table({"income": np.exp(random.normal(0, 2, 500)), "height": random.normal(170, 10, 500)})
    columns = TableEncoder().fit(table).columns
    assert "Log1p" in repr(columns["income"])
    assert "Log1p" not in repr(columns["height"])
    assert "Log1p" not in repr(TableEncoder(log_heavy_tails=False).fit(table).columns["income"])


def test_zip_codes_stay_one_number():
    assert TableEncoder().fit(Table({"zip": np.arange(10_000, 10_500)})).width == 1


def test_codes_can_be_declared_categorical_and_texts_numeric():
    table = Table({"code": [1.0, 2.0, 1.0, 2.0], "text": ["1", "2", "3", None]})
    encoder = TableEncoder(categorical=["code"], numeric=["text"]).fit(table)
    assert encoder.feature_names_out == ["code=1", "code=2", "text", "text (missing)"]


def test_an_identifier_is_left_out_with_a_note():
    encoder = TableEncoder().fit(Table({"name": ["ann", "bob", "cid"], "x": [1, 2, 3]}))
    assert encoder.feature_names_out == ["x"]
    assert "column 'name' is left out" in encoder.notes[0]


def test_an_empty_column_is_an_error_or_left_out():
    table = Table({"gone": [np.nan, np.nan], "x": [1, 2]}, source="a.csv")
    with pytest.raises(DataError, match="column 'gone'"):
        TableEncoder().fit(table)
    encoder = TableEncoder(drop_empty=True).fit(table)
    assert encoder.feature_names_out == ["x"]
    assert "'gone' is left out" in encoder.notes[0]


def test_many_categories_are_cut_to_the_most_frequent():
    words = np.array([f"w{i % 100:02}" for i in range(300)], dtype=object)
    assert TableEncoder(max_categories=10).fit(Table({"w": words})).width == 11


def test_text_in_a_numeric_column_names_the_line():
    encoder = TableEncoder().fit(Table({"x": [1.0, 2.0]}))
    later = Table({"x": ["1", "two"]}, source="test.csv", lines=np.array([2, 3]))
    with pytest.raises(DataError, match=r"test\.csv, line 3"):
        encoder.transform(later)
    assert encoder.transform(Table({"x": ["1", None]})).shape == (2, 1)


def test_missing_columns_are_named_with_a_guess():
    encoder = TableEncoder().fit(Table({"income": [1.0, 2.0], "age": [1.0, 2.0]}))
    with pytest.raises(DataError, match="is 'Income' meant to be 'income'"):
        encoder.transform(Table({"Income": [1.0], "age": [1.0]}))


def test_an_encoder_that_was_not_fitted_says_so():
    with pytest.raises(StateError, match="TableEncoder has not been fitted"):
        TableEncoder().transform(Table({"x": [1.0]}))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (np.array(["a", "b"], dtype=object), "classification"),
        (np.array([True, False]), "classification"),
        (np.arange(100) % 10, "classification"),
        ((np.arange(100) % 10).astype(float), "classification"),
        (np.append(np.arange(100) % 2, np.nan), "classification"),
        (np.arange(100), "regression"),
        (np.linspace(0, 1, 100), "regression"),
        (np.array([1, 2, 3]), "regression"),
    ],
)
def test_the_task_follows_from_the_target(target, expected):
    assert infer_task(target) == expected
