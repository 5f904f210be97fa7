"""Categories: codes by the training part, a bucket for the rest, labels that must be known.

In: columns of text and numbers. Out: indicators, codes, errors that name the label.
"""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.data import LabelEncoder, OneHotEncoder, OrdinalEncoder, Transform
from thalweg.errors import DataError

columns = st.lists(st.sampled_from(["a", "b", "c", "dd", None]), min_size=1, max_size=40)


@given(columns, columns)
def test_one_hot_rows_have_at_most_a_single_one(training, other):
    encoder = OneHotEncoder().fit(training)
    encoded = encoder.transform(other)
    assert encoded.shape == (len(other), encoder.width)
    known = [value in encoder.categories_ or encoder.has_unknown_ for value in other]
    assert encoded.sum(axis=1).tolist() == list(map(float, known))
    restored = Transform.from_config(json.loads(json.dumps(encoder.to_config())))
    np.testing.assert_array_equal(restored.transform(other), encoded)


@given(columns)
def test_inverses_give_the_categories_back(values):
    for encoder in (OneHotEncoder().fit(values), OrdinalEncoder().fit(values)):
        assert encoder.inverse_transform(encoder.transform(values)).tolist() == values


def test_rare_categories_share_the_unknown_bucket():
    encoder = OneHotEncoder(min_count=2).fit(["a", "a", "b", "b", "once"])
    assert encoder.feature_names(["x"]) == ["x=a", "x=b", "x=<unknown>"]
    assert encoder.transform(["once", "never", None]).tolist() == [[0, 0, 1]] * 3


def test_the_most_frequent_categories_are_kept_and_ties_go_to_the_first_name():
    assert OneHotEncoder(max_categories=2).fit(list("ccbbad")).categories_ == ["b", "c"]
    assert OneHotEncoder(max_categories=1).fit(list("ba")).categories_ == ["a"]


def test_an_unseen_category_is_all_zeros_where_no_bucket_was_trained():
    assert OneHotEncoder().fit(["a", "b"]).transform(["z"]).tolist() == [[0.0, 0.0]]


def test_ordinal_codes_leave_the_last_for_the_unknown():
    assert OrdinalEncoder().fit([3, 1, 2]).transform([1, 2, 3, 9]).tolist() == [0, 1, 2, 3]


def test_whole_numbers_are_one_category_in_either_dtype():
    encoder = LabelEncoder().fit(np.array([0.0, 1.0, 2.0]))
    assert encoder.classes == [0, 1, 2]
    assert encoder.transform(np.array([2, 0])).tolist() == [2, 0]


def test_booleans_and_strings_are_labels():
    assert LabelEncoder().fit(np.array([True, False])).transform(np.array([True])).tolist() == [1]
    assert LabelEncoder().fit(np.array(["x", "y"])).transform(["y"]).tolist() == [1]


def test_a_trailing_period_is_forgiven_only_where_it_gives_a_known_label():
    encoder = LabelEncoder().fit(["<=50K", ">50K"])
    assert encoder.transform(["<=50K.", ">50K"]).tolist() == [0, 1]
    assert encoder.renamed(["<=50K.", ">50K", "x."]) == {"<=50K.": "<=50K"}
    with pytest.raises(DataError, match="a class that the training part does not have"):
        encoder.transform([">60K."])
    both = LabelEncoder().fit(["a", "a."])
    assert both.transform(["a", "a."]).tolist() == [0, 1]
    assert both.renamed(["a."]) == {}


def test_an_unknown_label_names_the_place_and_a_close_label():
    encoder = LabelEncoder().fit(["setosa", "virginica"])
    with pytest.raises(DataError, match="did you mean 'setosa'") as caught:
        encoder.transform(["setosa", "Setosa"], where=lambda row: f"iris.csv, line {row + 2}")
    assert "iris.csv, line 3" in str(caught.value)


def test_labels_survive_json():
    encoder = LabelEncoder().fit(["<=50K", ">50K"])
    restored = LabelEncoder.from_config(json.loads(json.dumps(encoder.to_config())))
    assert restored.inverse_transform([0, 1, 0]).tolist() == ["<=50K", ">50K", "<=50K"]
