"""`Module.summary`: a table of the layers from shapes alone.

In: networks of several kinds. Out: text with the right figures; no value computed, nothing of the network changed.
"""

import copy

import numpy as np
import pytest

import thalweg as tw
from thalweg import nn
from thalweg.errors import ShapeError
from thalweg.tensor import lazy
from thalweg.tensor.random import default_generator


def lines(summary):
    return [line.split() for line in str(summary).splitlines() if "---" not in line]


def test_figures_and_alignment():
    net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Dropout(0.2), nn.BatchNorm1d(128), nn.Linear(128, 10))
    net[0].requires_grad_(False)
    summary = net.summary((64, 784))
    rows = lines(summary)
    assert rows[1] == ["Linear", "0", "(64,", "128)", "100,480"]
    assert rows[4] == ["BatchNorm1d", "3", "(64,", "128)", "256"]
    assert rows[-4:] == [
        ["total", "parameters", "102,026"], ["trainable", "parameters", "1,546"],
        ["non-trainable", "parameters", "100,480"],
        ["bytes", f"{102026 * 4 + 128 * 2 * 4 + 8:,}"],
    ]  # fmt: skip
    table = str(summary).splitlines()[:7]
    assert len({len(line) for line in table}) == 1  # right-aligned numbers end in one column
    assert repr(summary) == str(summary)


def test_nested_networks_shared_layers_and_own_parameters():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(tw.ones(3))
            self.blocks = nn.ModuleList([nn.Linear(3, 3), nn.Tanh()])
            self.again = self.blocks[0]
            self.unused = nn.Linear(1, 1)

        def forward(self, x, y):
            for block in self.blocks:
                x = block(x)
            return {"out": self.again(x) * self.scale, "pair": (x, y)}

    rows = lines(Net().summary((2, 3), (5,)))
    assert rows[1] == ["Net", "out:", "(2,", "3),", "pair:", "(2,", "3),", "(5,)", "3"]
    assert [row[:2] for row in rows[2:5]] == [["Linear", "blocks.0"], ["Tanh", "blocks.1"], ["Linear", "unused"]]
    assert rows[4][2:] == ["-", "2"]
    assert rows[5][-1] == "17"


def test_nothing_is_computed_and_nothing_changes(monkeypatch):
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 1))
    before = copy.deepcopy(net.state_dict())
    state = default_generator.get_state()
    computed = []
    monkeypatch.setattr(lazy, "compute", lambda wanted: computed.append(wanted))
    net.summary((1, 2))  # a batch of one, which training mode would refuse
    assert not computed
    monkeypatch.undo()
    assert net.training
    assert net[2].training
    assert default_generator.get_state() == state
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name].numpy())


def test_dtypes():
    assert lines(nn.Sequential(nn.Embedding(5, 2), nn.Flatten()).summary((3, 4), dtype="int64"))[2][2:4] == [
        "(3,",
        "8)",
    ]
    assert "(3, 1)" in nn.Linear(2, 1, dtype="float64").summary((3, 2))
    assert lines(nn.Linear(2, 1, dtype="float64").summary((3, 2)))[-1] == ["bytes", "24"]
    assert "(3, 2)" in nn.Tanh().summary(3, 2)


def test_errors_name_the_layer_and_modes_are_put_back():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(2, 3))
    with pytest.raises(ShapeError, match=r"layer:    1 \(Linear"):
        net.summary((4, 2))
    assert net.training
    assert tw.is_grad_enabled()
