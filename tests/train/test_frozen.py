"""Which numbers beside the tensors are seen, and when one of them is another than it was."""

from __future__ import annotations

import math

import pytest

import thalweg as tw
from thalweg import nn, optim
from thalweg.train.frozen import first_change, plain_values

SCALE = 3


class Held:
    def __init__(self):
        self.number, self.name, self.seen, self.table = 1.5, "a", [1, 2], {"x": 1, 2: 3, "list": []}

    def method(self):
        return SCALE


def around(number):
    def function():
        return number + SCALE + len(math.__name__)

    return function


def test_attributes_of_objects_are_seen():
    expected = {"Held.number": 1.5, "Held.name": "a", "the length of Held.seen": 2, "Held.table['x']": 1}
    assert plain_values([Held()]) == {(0, name): value for name, value in expected.items()}


def test_what_functions_and_methods_read_is_seen():
    assert plain_values([around(2)]) == {(0, "number"): 2, (0, "SCALE"): 3}
    found = plain_values([Held().method])
    assert found[0, "Held.number"] == 1.5
    assert found[0, "SCALE"] == 3


@pytest.mark.parametrize("thing", ["mse", None, nn.MSELoss(), len, tw.tensor([1.0])])
def test_what_holds_no_numbers_of_its_own_is_passed_over(thing):
    assert plain_values([thing]) == {}


def test_an_optimizer_of_the_library_holds_nothing_that_changes():
    model = nn.Linear(2, 1)
    optimizer = optim.Adam(model.parameters())
    before = plain_values([optimizer])
    model(tw.ones(3, 2)).sum().backward()
    optimizer.step()
    assert first_change(before, plain_values([optimizer])) is None


@pytest.mark.parametrize(("one", "other", "name"), [
    ({}, {}, None),
    ({"a": 1}, {"a": 1}, None),
    ({"a": 1}, {"a": 2}, "a"),
    ({}, {"a": None}, "a"),
    ({"a": 1}, {"a": 1.0}, "a"),
    ({"a": 1}, {"a": True}, "a"),
    ({"a": math.nan}, {"a": math.nan}, None),
    ({"a": 1, "b": 1}, {"a": 1}, None),
])  # fmt: skip
def test_a_value_that_is_new_or_another(one, other, name):
    def keyed(values):
        return {(0, key): value for key, value in values.items()}

    assert first_change(keyed(one), keyed(other)) == name
