"""Layers are found in the order of the forward pass, with what follows them, what leads around them, and their line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import thalweg as tw
import thalweg.nn.functional as F
from tests.diagnose.watching import Residual
from thalweg import nn
from thalweg.diagnose.layers import Layer, Passage, Sight
from thalweg.nn.utils.rnn import pack_padded_sequence


def sights(model: nn.Module, *shape: int, is_compiled: bool = False) -> list[Sight]:
    found: list[Sight] = []
    passage = Passage(model)

    def step(x: tw.Tensor) -> tw.Tensor:
        prediction = model(x)
        found.extend(passage.sights(prediction))
        return prediction

    (tw.compile(step) if is_compiled else step)(tw.ones(*shape))
    passage.close()
    return found


class Backwards(nn.Module):
    """Uses its layers in another order than it makes them, one twice and one never."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.first, self.unused = nn.Linear(4, 2), nn.Linear(3, 4), nn.Linear(5, 5)
        self.shared = nn.Linear(4, 4)

    def forward(self, x: tw.Tensor) -> tw.Tensor:
        return self.last(self.shared(self.shared(self.first(x))))


@pytest.mark.parametrize("is_compiled", [False, True])
def test_the_order_is_that_of_the_forward_pass(is_compiled):
    found = [sight.layer for sight in sights(Backwards(), 2, 3, is_compiled=is_compiled)]
    assert [layer.path for layer in found] == ["first", "shared", "last"]
    assert [layer.depth for layer in found] == [0, 1, 2]
    assert found[0].parameters == (("first.weight", (4, 3)), ("first.bias", (4,)))


@pytest.mark.parametrize("is_compiled", [False, True])
def test_what_something_leads_around_is_a_branch(is_compiled):
    found = {each.layer.path: each.layer for each in sights(Residual(), 2, 6, is_compiled=is_compiled)}
    assert {path for path, layer in found.items() if layer.is_branch} == {"branch.0", "branch.2"}


@pytest.mark.parametrize("is_compiled", [False, True])
def test_what_hands_its_input_on_is_passed_over(is_compiled):
    """It follows upon itself, for ever."""
    found = sights(nn.Sequential(nn.Linear(3, 4), nn.Identity(), nn.ReLU(), nn.Linear(4, 2), nn.Identity()), 2, 3,
                   is_compiled=is_compiled)  # fmt: skip
    assert [each.layer.activation for each in found] == ["ReLU", None]


FUNCTIONS = {
    "ReLU": F.relu, "Tanh": F.tanh, "Sigmoid": F.sigmoid, "LeakyReLU": F.leaky_relu, "none": lambda x: x * 2.0,
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_activation_is_known_also_where_it_is_a_function(name):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 1)

        def forward(self, x: tw.Tensor) -> tw.Tensor:
            return self.b(FUNCTIONS[name](self.a(x)))

    (first, second) = sights(Net(), 5, 3)
    assert first.layer.activation == (None if name == "none" else name)
    assert second.layer.activation is None
    expected = first.output if name == "none" else FUNCTIONS[name]
    assert first.output.shape == (5, 4)
    assert callable(expected) or expected is first.output


def test_a_gate_is_no_sigmoid_layer():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 4)

        def forward(self, x: tw.Tensor) -> tw.Tensor:
            return F.silu(self.a(x))

    assert sights(Net(), 2, 3)[0].layer.activation is None


def test_the_activation_is_found_behind_normalisation_and_dropout():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)
    )
    found = sights(model, 2, 1, 4, 4)
    assert [(each.layer.kind, each.layer.activation) for each in found] == [
        ("Conv2d", "ReLU"), ("BatchNorm2d", "ReLU"), ("Linear", None),
    ]  # fmt: skip
    assert found[0].output.shape[found[0].layer.unit_axis] == 2
    assert found[2].output.shape[found[2].layer.unit_axis] == 2


def test_the_line_is_the_one_that_made_the_layer():
    (first, *_, last) = sights(Residual(), 2, 6)
    file, _, line = first.layer.line.rpartition(":")
    text = Path(file).read_text(encoding="utf-8").splitlines()
    assert text[int(line) - 1].strip() == "self.first = nn.Linear(6, 16)"
    assert text[int(last.layer.line.rpartition(":")[2]) - 1].strip() == "self.last = nn.Linear(16, 3)"


def test_a_single_layer_is_a_network():
    (only,) = sights(nn.Linear(3, 2), 4, 3)
    assert only.layer.path == "Linear"
    assert not only.layer.is_branch


def test_evaluation_is_not_listened_to():
    model = nn.Sequential(nn.Linear(3, 2))
    passage = Passage(model)
    model.eval()
    prediction = model(tw.ones(1, 3))
    assert passage.sights(prediction) == []
    passage.close()


def test_json_and_back_gives_the_same_layer():
    layer = sights(Residual(), 2, 6)[1].layer
    assert Layer.from_json(json.loads(json.dumps(layer.to_json()))) == layer


def test_a_recurrent_layer_that_was_given_a_packed_batch_shows_examples_first() -> None:
    model = nn.LSTM(3, 4, batch_first=True)
    passage = Passage(model)
    output, _ = model(pack_padded_sequence(tw.ones(2, 5, 3), [5, 2], batch_first=True))
    (sight,) = passage.sights(output.padded)
    assert tuple(sight.output.shape) == (2, 5, 4)
    assert sight.steps_axis == 0  # of what was given, which is packed
