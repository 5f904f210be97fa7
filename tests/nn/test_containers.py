"""`Sequential`, `ModuleList` and `ModuleDict` behave as the list and the dict that they look like.

In: changes in place. Out: children numbered without gaps, names that state dictionaries rely on.
"""

from collections import OrderedDict

import pytest

import thalweg as tw
from thalweg import nn


def names(module):
    return [name for name, _ in module.named_children()]


def kinds(module):
    return [type(each).__name__ for each in module]


@pytest.fixture(params=[lambda *each: nn.Sequential(*each), nn.ModuleList], ids=["Sequential", "ModuleList"])
def make(request):
    def build(*modules):
        return request.param(modules) if request.param is nn.ModuleList else request.param(*modules)

    return build


def test_indexing_and_iteration(make):
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Sigmoid()
    held = make(a, b, c)
    assert len(held) == 3
    assert list(held) == [a, b, c]
    assert held[0] is a
    assert held[-1] is c
    assert b in held
    assert list(held[1:]) == [b, c]
    assert type(held[1:]) is type(held)
    assert list(held[::-1]) == [c, b, a]


def test_changes_in_place(make):
    held = make(nn.ReLU(), nn.Tanh())
    assert held.append(nn.Sigmoid()) is held
    held.extend([nn.ELU(), nn.SELU()])
    assert kinds(held) == ["ReLU", "Tanh", "Sigmoid", "ELU", "SELU"]
    held.insert(1, nn.GELU())
    assert kinds(held) == ["ReLU", "GELU", "Tanh", "Sigmoid", "ELU", "SELU"]
    held[-1] = nn.SiLU()
    del held[0]
    del held[1:3]
    assert kinds(held) == ["GELU", "ELU", "SiLU"]
    assert names(held) == ["0", "1", "2"]
    assert type(held.pop()).__name__ == "SiLU"
    assert len(held) == 2


def test_a_change_that_fails_changes_nothing(make):
    held = make(nn.ReLU(), nn.Tanh())
    with pytest.raises(TypeError):
        held.insert(0, "layer")
    with pytest.raises(IndexError):
        held[2]
    with pytest.raises(IndexError):
        del held[5]
    assert kinds(held) == ["ReLU", "Tanh"]


def test_adding_joins():
    a = nn.ModuleList([nn.ReLU()])
    a += [nn.Tanh()]
    assert kinds(a) == ["ReLU", "Tanh"]
    assert kinds(a + nn.ModuleList([nn.ELU()])) == ["ReLU", "Tanh", "ELU"]
    assert kinds(nn.Sequential(nn.ReLU()) + nn.Sequential(nn.Tanh())) == ["ReLU", "Tanh"]


def test_named_layers_of_a_sequential():
    model = nn.Sequential(OrderedDict(hidden=nn.Linear(2, 3), output=nn.Linear(3, 1)))
    assert list(model.state_dict()) == ["hidden.weight", "hidden.bias", "output.weight", "output.bias"]
    assert names(model[1:]) == ["output"]
    assert model[1:](tw.ones(1, 3)).shape == (1, 1)
    assert model.hidden is model[0]


def test_slices_share_the_layers():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    assert model[:1][0] is model[0]


def test_module_dict():
    held = nn.ModuleDict({"a": nn.ReLU()})
    held["b"] = nn.Tanh()
    held.update([("c", nn.ELU())])
    assert list(held) == list(held.keys()) == ["a", "b", "c"]
    assert "b" in held
    assert len(held) == 3
    assert [type(each).__name__ for each in held.values()] == ["ReLU", "Tanh", "ELU"]
    assert dict(held.items())["a"] is held["a"]
    assert type(held.pop("b")).__name__ == "Tanh"
    del held["a"]
    assert list(held) == ["c"]
    held.clear()
    assert not len(held)
    with pytest.raises(KeyError, match="it is empty"):
        held["c"]


def test_empty_containers_read_well():
    assert repr(nn.Sequential()) == "Sequential()"
    assert repr(nn.ModuleList()) == "ModuleList()"
    assert repr(nn.ModuleDict()) == "ModuleDict()"
    assert nn.Sequential()(tw.ones(2)).tolist() == [1, 1]
