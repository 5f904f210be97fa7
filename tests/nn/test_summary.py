"""`Module.summary`: a tree of the layers from shapes alone.

In: networks of several kinds. Out: text with the right figures; no value computed, nothing of the network changed.
"""

import copy

import numpy as np
import pytest

import thalweg as tw
from thalweg import nn
from thalweg.errors import ArgumentError, ShapeError
from thalweg.tensor import lazy
from thalweg.tensor.random import default_generator


def lines(summary):
    return [line.split() for line in str(summary).splitlines() if "---" not in line]


def test_figures_and_alignment():
    net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Dropout(0.2), nn.BatchNorm1d(128), nn.Linear(128, 10))
    net[0].requires_grad_(False)
    summary = net.summary((64, 784))
    rows = lines(summary)
    assert rows[0] == ["layer", "output", "shape", "parameters", "trainable", "share"]
    assert rows[1] == ["Sequential", "(64,", "10)", "102,026", "1,546", "100.0%"]
    assert rows[2] == ["0:", "Linear", "(64,", "128)", "100,480", "0", "98.5%"]
    assert rows[3] == ["1:", "ReLU", "(64,", "128)", "-", "-", "-"]
    assert rows[5] == ["3:", "BatchNorm1d", "(64,", "128)", "256", "256", "0.3%"]
    assert rows[-4:] == [
        ["total", "parameters", "102,026"], ["trainable", "parameters", "1,546"],
        ["non-trainable", "parameters", "100,480"],
        ["bytes", f"{102026 * 4 + 128 * 2 * 4 + 8:,}"],
    ]  # fmt: skip
    table = str(summary).splitlines()[:8]
    assert len({len(line) for line in table}) == 1  # right-aligned numbers end in one column
    assert repr(summary) == str(summary)


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(tw.ones(3))
        self.blocks = nn.ModuleList([nn.Linear(3, 3), nn.Tanh()])
        self.again = self.blocks[0]
        self.unused = nn.Linear(1, 1)
        self.tied = nn.Linear(1, 1)
        self.tied.weight = self.unused.weight

    def forward(self, x, y):
        for block in self.blocks:
            x = block(x)
        return {"out": self.again(x) * self.scale, "pair": (x, y)}


def test_nested_networks_shared_layers_and_own_parameters():
    rows = [line.rstrip() for line in str(Nested().summary((2, 3), (5,))).splitlines()]
    assert rows[2].split() == ["Nested", *["out:", "(2,", "3),", "pair:", "(2,", "3),", "(5,)", "18", "18", "100.0%"]]
    assert rows[3].split() == ["scale:", "Parameter", "(3,)", "3", "3", "16.7%"]
    cells = [line.split() for line in rows]
    assert [row[:2] for row in cells[4:10]] == [
        ["blocks:", "ModuleList"], ["0:", "Linear"], ["1:", "Tanh"], ["again:", "Linear"], ["unused:", "Linear"],
        ["tied:", "Linear"],
    ]  # fmt: skip
    assert cells[7][2:] == ["as", "blocks.0", "-", "-", "-"]
    assert cells[8][2:4] == ["-", "2"]
    assert cells[9][2:4] == ["-", "1"]  # its weight counts where it came first
    assert rows[5].startswith("    0: Linear ")


def test_depth_leaves_out_what_lies_deeper_and_still_counts_it():
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), nn.Linear(1, 1))
    rows = lines(net.summary((4, 2), depth=1))
    assert [row[:2] for row in rows[2:4]] == [["0:", "Sequential"], ["1:", "Linear"]]
    assert rows[2][4] == "13"
    assert len(lines(net.summary((4, 2), depth=0))) == 5


@pytest.mark.parametrize("width", [70, 80, 120])
def test_lines_fit_the_width_and_numbers_are_whole(width):
    name = "a_rather_long_name_for_a_layer_of_this_kind_that_nobody_would_choose"
    net = nn.ModuleDict({name: nn.MultiheadAttention(8, 2)})
    net.forward = lambda x: net[name](x, x, x)
    text = str(net.summary((5, 3, 8), width=width))
    assert max(map(len, text.splitlines())) <= width
    assert lines(text)[1][-3:] == ["288", "288", "100.0%"]
    assert "..." in text


@pytest.mark.parametrize("name", ["depth", "width"])
def test_a_depth_or_width_that_is_no_whole_number_is_refused(name):
    with pytest.raises(ArgumentError, match=name):
        nn.Linear(1, 1).summary((1, 1), **{name: -1})


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
    assert "(3, 8)" in nn.Sequential(nn.Embedding(5, 2), nn.Flatten()).summary((3, 4), dtype="int64")
    assert "(3, 1)" in nn.Linear(2, 1, dtype="float64").summary((3, 2))
    assert lines(nn.Linear(2, 1, dtype="float64").summary((3, 2)))[-1] == ["bytes", "24"]
    assert "(3, 2)" in nn.Tanh().summary(3, 2)


def test_errors_name_the_layer_and_modes_are_put_back():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(2, 3))
    with pytest.raises(ShapeError, match=r"layer:    1 \(Linear"):
        net.summary((4, 2))
    assert net.training
    assert tw.is_grad_enabled()
