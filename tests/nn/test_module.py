"""`Module`: attributes, registration, walking, modes, conversion, and what a compiled step may not do.

In: small modules. Out: PyTorch's rules for names and order, and Thalweg's for versions and traces.
"""

import copy
import gc
import threading
import weakref

import numpy as np
import pytest

import thalweg as tw
from thalweg import nn
from thalweg.errors import ThalwegError, TraceError
from thalweg.tensor.holding import Version


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.scale = nn.Parameter(tw.ones(1))
        self.second = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))
        self.register_buffer("offset", tw.zeros(2))
        self.register_buffer("cache", tw.zeros(1), persistent=False)

    def forward(self, x):
        return self.second(self.norm(self.first(x))) * self.scale + self.offset


# --- attributes ------------------------------------------------------------------------------------------------------


def test_parameters_come_in_order_own_first():
    assert [name for name, _ in Net().named_parameters()] == [
        "scale", "first.weight", "first.bias", "norm.weight", "norm.bias", "second.1.weight", "second.1.bias",
    ]  # fmt: skip


def test_buffers_and_modules_are_found():
    net = Net()
    names = ["offset", "cache", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]
    assert [name for name, _ in net.named_buffers()] == names
    assert [name for name, _ in net.named_modules()] == ["", "first", "norm", "second", "second.0", "second.1"]
    assert [name for name, _ in net.named_children()] == ["first", "norm", "second"]
    assert [name for name, _ in net.named_parameters(recurse=False)] == ["scale"]
    assert len(list(net.modules())) == 6
    assert {"first", "scale", "offset"} <= set(dir(net))


def test_a_state_has_no_transient_buffers():
    assert "cache" not in Net().state_dict()
    assert "offset" in Net().state_dict()


def test_shared_parameters_and_modules_come_once_but_stand_twice_in_the_state():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    layer = nn.Linear(2, 2)
    twice = nn.Sequential(layer, layer)
    assert [name for name, _ in twice.named_modules()] == ["", "0"]
    assert [name for name, _ in twice.named_modules(remove_duplicate=False)] == ["", "0", "1"]
    copied = copy.deepcopy(net)
    assert copied[0].weight is copied[1].weight


def test_a_shared_parameter_collects_both_gradients():
    layer = nn.Linear(2, 2, bias=False)
    nn.Sequential(layer, layer)(tw.ones(1, 2)).sum().backward()
    w = layer.weight.detach().numpy()
    expected = np.outer(np.ones(2), w.sum(1)) + np.outer(w.sum(0), np.ones(2))
    np.testing.assert_allclose(layer.weight.grad.numpy(), expected, rtol=1e-5)


def test_rebinding_moves_a_name_between_kinds():
    net = Net()
    net.first = nn.Parameter(tw.ones(2))
    assert "first" in net._parameters
    assert "first" not in net._modules
    net.first = None
    assert net.first is None
    del net.first
    net.first = "text"
    assert net.first == "text"
    assert "first" not in dict(net.named_modules())


def test_deleting():
    net = Net()
    del net.norm, net.scale, net.cache
    assert not {"norm", "scale", "cache"} & set(dir(net))
    with pytest.raises(AttributeError):
        del net.norm


def test_optional_parts_may_be_none():
    layer = nn.Linear(2, 3, bias=False)
    assert layer.bias is None
    assert list(layer.state_dict()) == ["weight"]
    net = nn.Module()
    net.register_module("later", None)
    net.register_buffer("memory", None)
    assert net.later is None
    assert net.memory is None
    assert list(net.modules()) == [net]
    net.memory = tw.ones(2)
    assert list(net.state_dict()) == ["memory"]


def test_a_missing_attribute_is_an_attribute_error_with_a_suggestion():
    net = Net()
    assert not hasattr(net, "third")
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'frist'") as caught:
        net.frist
    assert (caught.value.name, caught.value.obj) == ("frist", net)
    assert isinstance(caught.value, ThalwegError)


def test_an_error_inside_a_property_is_shown():
    class Broken(nn.Module):
        @property
        def width(self):
            return self.missing

    with pytest.raises(AttributeError, match="missing"):
        Broken().width


def test_modules_in_plain_lists_are_warned_of():
    net = nn.Module()
    for value in ([nn.ReLU()], (nn.Linear(1, 1),), {"a": nn.ReLU()}):
        with pytest.warns(UserWarning, match="ModuleList or nn.ModuleDict"):
            net.layers = value
    with pytest.warns(UserWarning, match="one attribute for each"):
        net.weights = [nn.Parameter(tw.ones(1))]
    net.sizes = [1, 2, 3]


def test_paths_lead_to_modules_parameters_and_buffers():
    net = Net()
    assert net.get_submodule("second.1") is net.second[1]
    assert net.get_submodule("") is net
    assert net.get_parameter("second.1.bias") is net.second[1].bias
    assert net.get_buffer("norm.running_mean") is net.norm.running_mean


def test_apply_visits_children_first():
    visited = []
    net = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU()))
    assert net.apply(visited.append) is net
    assert visited == [net[0], net[1][0], net[1], net]


# --- parameters ------------------------------------------------------------------------------------------------------


def test_a_parameter_is_a_leaf_with_its_own_copy():
    array = np.ones(3)
    parameter = nn.Parameter(array)
    array[0] = 7
    assert isinstance(parameter, tw.Tensor)
    assert parameter.requires_grad
    assert parameter.is_leaf
    assert parameter.dtype == "float64"
    assert parameter.tolist() == [1, 1, 1]
    assert nn.Parameter([1.0, 2.0]).dtype == "float32"
    assert not nn.Parameter(tw.ones(2), requires_grad=False).requires_grad
    assert nn.Parameter(tw.ones(2, requires_grad=True) * 2).is_leaf


def test_a_copied_parameter_stays_one_with_its_notes_and_gradient():
    parameter = nn.Parameter(tw.ones(2))
    parameter.note = "first layer"
    (parameter * 3).sum().backward()
    twin = copy.deepcopy(parameter)
    assert type(twin) is nn.Parameter
    assert twin.note == "first layer"
    assert twin.grad.tolist() == [3, 3]
    assert twin.grad is not parameter.grad


def test_results_are_plain_tensors():
    parameter = nn.Parameter(tw.ones(2))
    assert type(parameter * 2) is tw.Tensor
    assert type(parameter.detach()) is tw.Tensor
    assert repr(parameter) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"


def test_modules_are_freed_when_nothing_refers_to_them():
    net = Net()
    net(tw.ones(2, 3))
    reference = weakref.ref(net)
    del net
    gc.collect()
    assert reference() is None


# --- modes, gradients, dtypes ----------------------------------------------------------------------------------------


def test_freezing():
    net = Net().requires_grad_(False)
    assert not any(each.requires_grad for each in net.parameters())
    assert not net(tw.ones(2, 3)).requires_grad


def test_zero_grad():
    net = Net()
    net(tw.ones(2, 3)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert all((each.grad == 0).all() for each in net.parameters())
    net.zero_grad()
    assert all(each.grad is None for each in net.parameters())


def test_conversion_takes_gradients_along_and_keeps_identity():
    net = Net()
    net(tw.ones(2, 3)).sum().backward()
    before = {name: each.grad.numpy() for name, each in net.named_parameters()}
    weight = net.first.weight
    net.to("cpu", tw.float64)
    assert net.first.weight is weight
    for name, each in net.named_parameters():
        assert each.grad.dtype == "float64"
        np.testing.assert_array_equal(each.grad.numpy(), before[name].astype("float64"))
    assert net(tw.ones(2, 3, dtype="float64")).dtype == "float64"
    assert net.to(tw.ones(1)).first.weight.dtype == "float32"
    assert net.cpu() is net


def test_an_optimizer_keeps_its_hold_through_a_conversion():
    net = nn.Linear(2, 1)
    held = list(net.parameters())
    net.double()
    net(tw.ones(1, 2, dtype="float64")).sum().backward()
    with tw.no_grad():
        held[0] -= held[0].grad
    assert net.weight is held[0]
    assert net.weight.dtype == "float64"


def test_a_buffer_that_is_a_view_is_converted():
    net = nn.Module()
    net.register_buffer("table", tw.arange(6.0).reshape(2, 3).transpose(0, 1))
    net.double()
    net.load_state_dict({"table": net.table + 1})
    np.testing.assert_array_equal(net.table[:2].numpy(), [[1.0, 4.0], [2.0, 5.0]])


def changes(action):
    before = Version.number
    action()
    return Version.number > before


def test_what_a_compiled_step_depends_on_raises_the_version():
    net = Net()
    assert changes(net.eval)
    assert not changes(net.eval)  # nothing changed
    assert changes(net.train)
    assert changes(lambda: setattr(net, "factor", 2.0))
    assert changes(lambda: setattr(net, "first", nn.Linear(3, 4)))
    assert changes(lambda: setattr(net, "scale", nn.Parameter(tw.ones(1))))
    assert changes(lambda: setattr(net, "offset", tw.ones(2)))
    assert changes(net.double)
    assert changes(lambda: net.requires_grad_(False))
    assert changes(lambda: delattr(net, "factor"))
    assert not changes(lambda: net(tw.ones(2, 3, dtype="float64")).detach().numpy())


# --- inside a compiled step ------------------------------------------------------------------------------------------


def traced(module, *arguments):
    return tw.compile(lambda *each: module(*each))(*arguments)


def make(forward):
    kind = type("Traced", (nn.Module,), {"forward": forward})
    module = kind()
    module.register_buffer("memory", tw.zeros(2))
    module.calls = 0
    return module


def test_counting_calls_in_an_attribute_raises():
    def forward(self, x):
        self.calls += 1
        return x * 1

    with pytest.raises(TraceError, match=r"Traced\.calls was set inside a step"):
        traced(make(forward), tw.ones(2))


def test_keeping_a_traced_tensor_raises():
    def forward(self, x):
        self.last = x * 2
        return self.last

    with pytest.raises(TraceError, match="register a buffer"):
        traced(make(forward), tw.ones(2))


def test_switching_the_mode_raises_unless_it_is_on():
    def forward(self, x):
        self.train()
        return x * 1

    module = make(forward)
    assert traced(module, tw.ones(2)).tolist() == [1, 1]
    with pytest.raises(TraceError, match="training"):
        traced(module.eval(), tw.ones(2))


def test_deleting_and_registering_raise():
    def delete(self, x):
        del self.calls
        return x

    def register(self, x):
        self.register_buffer("other", x)
        return x

    for forward in (delete, register):
        with pytest.raises(TraceError):
            traced(make(forward), tw.ones(2))


def test_a_buffer_that_is_rebound_is_written_in_place():
    def forward(self, x):
        self.memory = self.memory * 0.5 + x.detach()
        return self.memory * 1

    module = make(forward)
    cell, step = module.memory, tw.compile(module)
    for expected in (1.0, 1.5, 1.75):
        assert step(tw.ones(2)).tolist() == [expected] * 2
    assert module.memory is cell
    assert cell.tolist() == [1.75] * 2


def test_a_buffer_does_not_take_what_would_be_differentiated_through():
    def forward(self, x):
        self.memory = self.memory + x
        return self.memory * 1

    with pytest.raises(TraceError):
        traced(make(forward), tw.ones(2, requires_grad=True))


def test_modules_made_by_the_step_itself_are_free():
    @tw.compile
    def step(x, y):
        return nn.CrossEntropyLoss(label_smoothing=0.1)(nn.LeakyReLU(0.1)(x), y)

    x, y = tw.randn(4, 3), tw.tensor([0, 1, 2, 1])
    expected = nn.functional.cross_entropy(nn.functional.leaky_relu(x, 0.1), y, label_smoothing=0.1).item()
    assert step(x, y).item() == pytest.approx(expected, rel=1e-6)


def test_train_and_eval_switch_a_compiled_network():
    tw.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    step, x = tw.compile(net), tw.randn(8, 3)
    first, second = step(x).detach().numpy(), step(x).detach().numpy()
    assert (first != second).any()  # another mask
    assert net[1].num_batches_tracked.item() == 2
    net.eval()
    quiet = step(x).detach().numpy()
    np.testing.assert_allclose(quiet, net(x).detach().numpy(), rtol=1e-6)
    assert net[1].num_batches_tracked.item() == 2
    net.train()
    assert (step(x).detach().numpy() != quiet).any()


def test_threads_have_paths_of_their_own():
    net, found = nn.Sequential(nn.Linear(2, 2), nn.Tanh()), []

    def run():
        for _ in range(20):
            found.append(net(tw.ones(1, 2)).node.origin)

    threads = [threading.Thread(target=run) for _ in range(3)]
    [each.start() for each in threads], [each.join() for each in threads]
    assert set(found) == {"1"}
