"""`state_dict` and `load_state_dict`: PyTorch's names, arrays and tensors alike, and all or nothing.

In: states that fit and states that do not. Out: written values, or a `StateError` that lists everything that is wrong.
"""

import copy
from collections import OrderedDict

import numpy as np
import pytest

import thalweg as tw
from thalweg import nn
from thalweg.errors import StateError


def build(width=3):
    return nn.Sequential(OrderedDict(first=nn.Linear(2, width), norm=nn.BatchNorm1d(width), last=nn.Linear(width, 1)))


def arrays(module):
    return {name: value.numpy() for name, value in module.state_dict().items()}


def test_names_and_order():
    assert list(build().state_dict()) == [
        "first.weight", "first.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var",
        "norm.num_batches_tracked", "last.weight", "last.bias",
    ]  # fmt: skip
    assert next(iter(build().state_dict(prefix="net."))) == "net.first.weight"


@pytest.mark.peer
def test_a_state_goes_to_pytorch_and_back():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))
    ours = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    theirs.load_state_dict({name: torch.tensor(value) for name, value in arrays(ours).items()})
    x = np.random.default_rng(0).normal(size=(5, 2)).astype("float32")
    np.testing.assert_allclose(ours(x).detach().numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-4, atol=1e-6)
    ours.load_state_dict(theirs.state_dict())  # PyTorch's own tensors, running statistics moved
    np.testing.assert_array_equal(ours[1].running_mean.numpy(), theirs[1].running_mean.numpy())


def test_the_state_shows_the_live_values_and_a_copy_keeps_them():
    net = build()
    live, kept = net.state_dict(), copy.deepcopy(net.state_dict())
    before = live["last.bias"].numpy()
    with tw.no_grad():
        net.last.bias.add_(1.0)
    np.testing.assert_array_equal(live["last.bias"].numpy(), before + 1)
    np.testing.assert_array_equal(kept["last.bias"].numpy(), before)
    live["last.bias"].fill_(5.0)
    assert net.last.bias.item() == 5
    assert not live["last.bias"].requires_grad
    assert net.state_dict(keep_vars=True)["last.bias"] is net.last.bias


def test_loading_writes_in_place_and_converts():
    net, given = build(), {name: value.astype("float64") + 1 for name, value in arrays(build()).items()}
    weight = net.first.weight
    assert repr(net.load_state_dict(given)) == "<All keys matched successfully>"
    assert net.first.weight is weight
    assert weight.requires_grad
    assert weight.dtype == "float32"
    assert net.norm.num_batches_tracked.dtype == "int64"
    np.testing.assert_allclose(arrays(net)["last.weight"], given["last.weight"], rtol=1e-6)


def test_loaded_values_are_copies():
    net, given = build(), arrays(build())
    net.load_state_dict(given)
    given["last.bias"][...] = 99
    assert net.last.bias.item() != 99
    other = build()
    other.load_state_dict(net.state_dict())
    with tw.no_grad():
        net.last.bias.fill_(7.0)
    assert other.last.bias.item() != 7


def test_a_model_can_load_its_own_state_and_trains_on():
    net = build()
    net.load_state_dict(net.state_dict())
    net(tw.randn(4, 2)).sum().backward()
    assert net.first.weight.grad is not None


def refused(net, given, **options):
    before = arrays(net)
    with pytest.raises(StateError) as caught:
        net.load_state_dict(given, **options)
    for name, value in arrays(net).items():
        np.testing.assert_array_equal(value, before[name])
    assert isinstance(caught.value, KeyError)
    return str(caught.value)


def test_everything_that_is_wrong_is_listed_and_nothing_is_changed():
    given = {name: value + 1 for name, value in arrays(build()).items()}
    given["first.weight"] = np.ones((4, 2))
    given["last.bias"] = np.array(["text"])
    given["last.weight"] = 3.0
    given["extra"] = np.ones(1)
    del given["norm.bias"]
    text = refused(build(), given)
    for part in (
        "does not fit Sequential; nothing was changed", "missing:    norm.bias", "unexpected: extra",
        "first.weight has shape (4, 2) in the state, (3, 2) in the model", "last.bias has dtype <U4",
        "last.weight is a float",
    ):  # fmt: skip
        assert part in text


def test_without_strict_names_may_differ_but_shapes_may_not():
    net, given = build(), arrays(build())
    del given["norm.bias"]
    given["extra"] = np.ones(1)
    result = net.load_state_dict(given, strict=False)
    assert result.missing_keys == ["norm.bias"]
    assert result.unexpected_keys == ["extra"]
    np.testing.assert_array_equal(arrays(net)["first.weight"], given["first.weight"])
    given["first.weight"] = np.ones((2, 3))
    text = refused(net, given, strict=False)
    assert "missing" not in text
    assert "(2, 3)" in text


def test_a_prefix_is_recognised():
    given = {f"module.{name}": value for name, value in arrays(build()).items()}
    assert "removeprefix('module.')" in refused(build(), given)


def test_long_lists_are_cut():
    net = nn.ModuleList(nn.Linear(1, 1) for _ in range(30))
    text = refused(net, {})
    assert "and 40 more" in text


def test_the_model_itself_is_no_state():
    assert "state_dict()" in refused(build(), build())


def test_a_compiled_step_sees_loaded_values():
    net = nn.Linear(2, 1)
    step, x = tw.compile(net), tw.ones(1, 2)
    step(x)
    net.load_state_dict({"weight": np.full((1, 2), 3.0), "bias": np.zeros(1)})
    assert step(x).item() == 6
