"""Nested state goes into arrays and JSON and comes back as it was, to the bit; what cannot is named."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.errors import DTypeError
from thalweg.train.packing import pack, unpack

NUMBERS = st.floats() | st.integers(-(2**70), 2**70) | st.none() | st.booleans() | st.text(max_size=3)
LONG = st.lists(st.floats() | st.none(), min_size=40, max_size=60) | st.lists(st.integers(), min_size=40, max_size=60)
STATES = st.recursive(
    NUMBERS | LONG, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
)


def there_and_back(state):
    packed, arrays = pack(state)
    return unpack(json.loads(json.dumps(packed)), arrays)


@given(STATES)
@settings(max_examples=30, deadline=None)
def test_a_state_comes_back_as_it_was(state):
    assert repr(there_and_back(state)) == repr(state)  # NaN is NaN, -0.0 is -0.0, 1 is not 1.0


def test_arrays_keep_their_bits_dtypes_and_shapes():
    arrays = {"a": np.float32([[math.nan, -0.0]]).T, "b": np.zeros((0, 3), np.int64), "c": np.array(True)}
    found = there_and_back({"deep": [arrays]})["deep"][0]
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


def test_long_lists_of_numbers_are_arrays_and_short_ones_are_not():
    packed, arrays = pack({"loss": [0.5] * 1000, "epoch": [1, 2]})
    assert [each.shape for each in arrays.values()] == [(1000,)]
    assert packed["epoch"] == [1, 2]


@pytest.mark.parametrize("wrong", [object(), {1: 2}, {"a": {1, 2}}, np.array(["a"]), 1j, {"$array": 1}])
def test_what_cannot_be_saved_is_named(wrong):
    with pytest.raises(DTypeError, match=r"cannot be saved(.|\n)*best"):
        pack({"best": wrong})
