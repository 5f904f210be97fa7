"""Every node carries the path of the module that made it, and every error names the layer, once.

In: nested, shared and foreign modules. Out: origins of nodes and the `layer:` line of messages.
"""

import copy

import pytest

import thalweg as tw
from thalweg import nn
from thalweg.errors import IndexRangeError, ShapeError
from thalweg.graph import scope, toposort
from thalweg.nn.calls import calls


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x).tanh() + x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x) * 2


def origins(tensor, kind=None):
    return {node.origin for node in toposort([tensor.node]) if node.inputs and kind in (None, node.op.name)}


def test_nodes_carry_the_path_from_the_outermost_module():
    net = Net()
    found = origins(net(tw.ones(1, 4)), "matmul")
    assert found == {"blocks.0.linear", "blocks.1.linear", "head"}
    assert {"blocks.0", "Net"} <= origins(net(tw.ones(1, 4)))


def test_a_module_called_alone_has_the_name_of_its_class():
    net = Net()
    assert origins(net.head(tw.ones(1, 4)), "matmul") == {"Linear"}
    assert origins(net.blocks[0](tw.ones(1, 4)), "matmul") == {"linear"}


def test_a_shared_module_has_its_first_path():
    layer = nn.Linear(2, 2)
    assert origins(nn.Sequential(nn.Tanh(), layer, layer)(tw.ones(1, 2)), "matmul") == {"1"}


def test_a_module_that_the_outermost_one_does_not_own_starts_from_where_it_is_called():
    teacher = nn.Sequential(nn.Linear(2, 2))

    class Distilled(nn.Module):
        def __init__(self):
            super().__init__()
            self.student = nn.Linear(2, 2)

        def forward(self, x):
            return nn.MSELoss()(self.student(x), teacher(x))

    loss = Distilled()(tw.ones(1, 2))
    assert origins(loss, "matmul") == {"student", "Distilled.Sequential.0"}
    assert "Distilled.MSELoss" in origins(loss)


def test_losses_outside_modules_carry_their_own_name():
    assert origins(nn.functional.mse_loss(tw.ones(2), tw.zeros(2))) == {"mse_loss"}
    assert origins(nn.MSELoss()(tw.ones(2), tw.zeros(2))) == {"MSELoss"}


def test_paths_follow_changes_of_the_structure():
    net = nn.Sequential(nn.Linear(2, 2))
    assert origins(net(tw.ones(1, 2)), "matmul") == {"0"}
    net.insert(0, nn.Tanh())
    assert origins(net(tw.ones(1, 2)), "matmul") == {"1"}
    twin = copy.deepcopy(net)
    assert origins(twin(tw.ones(1, 2)), "matmul") == {"1"}


def test_paths_are_put_back_after_an_error():
    with pytest.raises(ShapeError):
        Net()(tw.ones(1, 5))
    assert (scope.path, calls.root, calls.prefix) == ("", None, "")


def message(net, x, error=ShapeError):
    with pytest.raises(error) as caught:
        net(x).sum().item()
    return str(caught.value)


def test_an_error_names_the_innermost_layer_once():
    net = Net()
    net.blocks[1].linear = nn.Linear(3, 4)
    text = message(net, tw.ones(2, 4))
    assert text.endswith("\n  layer:    blocks.1.linear (Linear(in_features=3, out_features=4, bias=True))")
    assert text.count("layer:") == 1
    assert "in_features is 3" in text


def test_an_error_of_a_module_called_alone_shows_the_module():
    assert message(nn.Linear(3, 4), tw.ones(2, 5)).endswith(
        "layer:    Linear(in_features=3, out_features=4, bias=True)"
    )


def test_an_error_in_a_forward_with_children_names_its_class():
    class Bad(Block):
        def forward(self, x):
            return self.linear(x) + tw.ones(3)

    text = message(nn.Sequential(nn.Tanh(), Bad()), tw.ones(2, 4))
    assert text.endswith("\n  layer:    1 (Bad)")
    assert message(Bad(), tw.ones(2, 4)).endswith("\n  layer:    Bad")


def test_an_error_found_when_values_are_computed_names_the_layer_too():
    net = nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 1))
    text = message(net, tw.tensor([1, 7]), IndexRangeError)
    assert "received: 7 at position (1,)" in text
    assert "0 <= embedding row < 5" in text
    assert "num_embeddings" in text
    assert text.endswith("\n  layer:    0")


def test_the_class_of_the_error_is_kept():
    with pytest.raises(ValueError, match="layer:"):
        Net()(tw.ones(1, 5))
    with pytest.raises(TypeError, match="layer:"):
        Net()(tw.ones(1, 4).long())
