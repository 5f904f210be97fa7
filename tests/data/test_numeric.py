"""Transforms of numbers: statistics of the training part, inverses, JSON and back.

In: arrays from hypothesis, memory-mapped files, constants. Out: what scikit-learn and NumPy would say.
"""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from thalweg.data import Impute, Log1p, MinMaxScale, OneHotEncoder, Pipeline, Standardise, Transform
from thalweg.errors import ArgumentError, ConfigurationError, DataError, StateError

tables = arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.floats(-1e6, 1e6))
FITTED = {
    "Standardise": lambda x: Standardise().fit(x),
    "Standardise over everything": lambda x: Standardise(per_feature=False).fit(x),
    "MinMaxScale": lambda x: MinMaxScale(-1, 1).fit(x),
    "Log1p": lambda x: Log1p().fit(x),
    "Pipeline": lambda x: Pipeline([Log1p(), Standardise()]).fit(x),
}


@pytest.mark.parametrize("name", FITTED)
@given(x=tables)
def test_the_inverse_gives_the_values_back(name, x):
    transform = FITTED[name](x)
    scale = np.abs(x).max() + 1
    np.testing.assert_allclose(transform.inverse_transform(transform.transform(x)), x, atol=1e-8 * scale)


@pytest.mark.parametrize("name", [*FITTED, "Impute"])
@given(x=tables)
def test_a_transform_survives_json(name, x):
    transform = Impute(indicator=True).fit(x) if name == "Impute" else FITTED[name](x)
    restored = Transform.from_config(json.loads(json.dumps(transform.to_config())))
    assert type(restored) is type(transform)
    np.testing.assert_array_equal(restored.transform(x), transform.transform(x))
    assert restored.to_config() == transform.to_config()


@given(x=tables)
def test_standardising_gives_mean_zero_and_deviation_one_or_zero(x):
    z = Standardise().fit_transform(x)
    constant = x.std(axis=0) <= 1e-7 * np.abs(x).max(initial=1.0)
    np.testing.assert_allclose(z.mean(axis=0)[~constant], 0, atol=1e-6)
    np.testing.assert_allclose(z.std(axis=0)[~constant], 1, atol=1e-6)


def test_a_constant_feature_becomes_zero_however_large():
    x = np.full((7, 2), [0.1, 1e9 + 0.1])
    assert not np.abs(Standardise().fit_transform(x)).max() > 1e-6
    assert Standardise().fit(x).scale_.tolist() == [1.0, 1.0]
    assert MinMaxScale().fit_transform(x).tolist() == [[0.0, 0.0]] * 7


def test_statistics_merged_over_blocks_equal_those_of_the_whole(monkeypatch):
    x = np.random.default_rng(0).normal(5, 3, (1000, 3))
    monkeypatch.setattr("thalweg.data.numeric.BLOCK_BYTES", 8 * 3 * 70)
    for per_feature, axis in ((True, 0), (False, None)):
        scaler = Standardise(per_feature).fit(x)
        np.testing.assert_allclose(scaler.mean_, x.mean(axis=axis), rtol=1e-12)
        np.testing.assert_allclose(scaler.scale_, x.std(axis=axis), rtol=1e-12)


def test_statistics_belong_to_the_training_part():
    scaler = Standardise().fit(np.array([[0.0], [2.0]]))
    assert scaler.transform(np.array([[100.0]])).tolist() == [[99.0]]


def test_fitting_a_memory_mapped_array_takes_little_memory(tmp_path):
    mapped = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(200_000, 100))
    mapped[:100] = 1.0
    tracemalloc.start()
    Standardise().fit(mapped)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80e6, "the array has 80 MB, in float64 160 MB"


def test_images_have_one_mean_and_keep_their_shape():
    x = np.random.default_rng(0).integers(0, 255, (10, 4, 4)).astype(np.uint8)
    z = Standardise(per_feature=False).fit_transform(x)
    assert z.shape == x.shape
    assert z.dtype == np.float32
    assert abs(z.mean()) < 1e-6


def test_dtypes_float64_stays_and_the_rest_becomes_float32():
    for dtype, expected in (
        (np.float64, np.float64),
        (np.float32, np.float32),
        (np.int64, np.float32),
        (bool, np.float32),
    ):
        x = np.array([[0], [1]], dtype=dtype)
        for transform in (Standardise(), MinMaxScale(), Log1p(), Impute()):
            assert transform.fit_transform(x).dtype == expected


def test_a_target_has_one_axis():
    scaler = Standardise().fit(np.array([1.0, 3.0]))
    assert scaler.transform(np.array([5.0])).tolist() == [3.0]


def test_imputing_takes_the_median_and_marks_gaps():
    x = np.array([[1.0, np.nan], [np.nan, 5.0], [3.0, 7.0], [100.0, 6.0]])
    impute = Impute(indicator=True).fit(x)
    assert impute.fill_.tolist() == [3.0, 6.0]
    assert impute.transform(np.array([[np.nan, 1.0]])).tolist() == [[3.0, 1.0, 1.0, 0.0]]
    assert impute.feature_names(["a", "b"]) == ["a", "b", "a (missing)", "b (missing)"]
    assert Impute("mean").fit(x).fill_[1] == 6.0


def test_gaps_that_training_did_not_have_are_filled_without_a_new_column():
    impute = Impute(indicator=True).fit(np.array([[1.0], [3.0]]))
    assert impute.transform(np.array([[np.nan]])).tolist() == [[2.0]]


def test_values_beyond_the_training_part_leave_the_range():
    assert MinMaxScale().fit(np.array([[0.0], [1.0]])).transform(np.array([[3.0]])).tolist() == [[3.0]]


UNFITTED = [Standardise(), MinMaxScale(), Impute(), OneHotEncoder(), Pipeline([Log1p(), Standardise()])]


@pytest.mark.parametrize("transform", UNFITTED, ids=repr)
def test_a_transform_that_was_not_fitted_says_so(transform):
    x = ["a"] if isinstance(transform, OneHotEncoder) else np.zeros((2, 1))
    with pytest.raises(StateError, match="has not been fitted"):
        transform.transform(x)
    with pytest.raises(StateError, match="has not been fitted"):
        transform.to_config()


@pytest.mark.parametrize(
    ("config", "fragment"),
    [
        ({}, "an entry 'kind'"),
        ([], "incomplete"),
        ({"kind": "os.system"}, "unknown kind of transform"),
        ({"kind": "Standardise", "per_feature": True, "mean_": [0]}, "an entry 'scale_'"),
        ({"kind": "Standardise", "per_feature": True, "mean_": ["x"], "scale_": [1]}, "finite numbers"),
        ({"kind": "Standardise", "per_feature": True, "mean_": [float("nan")], "scale_": [1]}, "finite numbers"),
        ({"kind": "Standardise", "per_feature": True, "mean_": [0, 0], "scale_": [1]}, "different shapes"),
        (
            {"kind": "OneHotEncoder", "max_categories": None, "min_count": 1, "categories_": [[]], "has_unknown_": 1},
            "texts",
        ),
    ],
)
def test_a_damaged_configuration_is_refused(config, fragment):
    with pytest.raises(ConfigurationError, match=fragment):
        Transform.from_config(config)


def test_a_configuration_of_another_kind_is_refused():
    with pytest.raises(ConfigurationError, match="unknown kind"):
        MinMaxScale.from_config(Standardise().fit(np.zeros((2, 1))).to_config())


def test_a_pipeline_without_an_inverse_says_which_step():
    pipeline = Pipeline([Impute(), Standardise()]).fit(np.array([[1.0], [2.0]]))
    with pytest.raises(ArgumentError, match="no inverse"):
        pipeline.inverse_transform(np.zeros((1, 1)))


def test_the_first_nan_is_located():
    with pytest.raises(DataError, match="nan in sample 1, feature 0"):
        Standardise().fit(np.array([[0.0], [np.nan]]))
