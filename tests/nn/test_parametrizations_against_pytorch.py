"""Weight normalisation, spectral normalisation and orthogonal weights against PyTorch, both forms of each.

In: layers with the same state in both libraries. Out: the same names, outputs, gradients, three steps of training and
the state after them, in float64, evaluated on NumPy and compiled.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import thalweg as tw
from tests.nn.peers import assert_close, share_state
from tests.support.sweep import sweep
from thalweg import nn

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]
torch = pytest.importorskip("torch")

LAYERS = {
    "tall": ("Linear", (3, 5), (4, 3)),
    "wide": ("Linear", (5, 3), (4, 5)),
    "square": ("Linear", (4, 4), (4, 4)),
    "conv": ("Conv2d", (2, 3, 2), (2, 2, 4, 4)),
    "transposed": ("ConvTranspose1d", (2, 3, 2), (2, 2, 4)),
}


def new(name, options):
    return lambda utils, layer: getattr(utils.parametrizations, name)(layer, **options)


def older(name, options):
    return lambda utils, layer: getattr(utils, name)(layer, **options)


FORMS = {
    "weight": new("weight_norm", {}),
    "weight, dim 1": new("weight_norm", {"dim": 1}),
    "weight, whole": new("weight_norm", {"dim": None}),
    "spectral": new("spectral_norm", {}),
    "spectral, dim 1, three": new("spectral_norm", {"dim": 1, "n_power_iterations": 3}),
    "older weight": older("weight_norm", {}),
    "older weight, whole": older("weight_norm", {"dim": None}),
    "older spectral": older("spectral_norm", {}),
    "older spectral, two": older("spectral_norm", {"n_power_iterations": 2}),
}
MAPS = {
    f"{name}, {trivial}": new("orthogonal", {"orthogonal_map": name, "use_trivialization": trivial})
    for name in ("matrix_exp", "cayley", "householder") for trivial in (True, False)
}  # fmt: skip


def pair(layer, form):
    kind, arguments, _ = LAYERS[layer]
    torch.manual_seed(0)
    theirs = form(torch.nn.utils, getattr(torch.nn, kind)(*arguments, dtype=torch.float64))
    ours = form(nn.utils, getattr(nn, kind)(*arguments, dtype="float64"))
    share_state(ours, theirs)
    return ours, theirs


def compare_training(ours, theirs, shape, is_compiled):
    x = np.random.default_rng(0).normal(size=shape)
    a, b = tw.optim.SGD(ours.parameters(), lr=0.05), torch.optim.SGD(theirs.parameters(), lr=0.05)

    def step(x):
        a.zero_grad()
        y = ours(x)
        loss = (y * y.sin()).mean()
        loss.backward()
        a.step()
        return y.detach()

    run = tw.compile(step, keep_gradients=True) if is_compiled else step
    for _ in range(3):
        b.zero_grad()
        expected = theirs(torch.tensor(x))
        (expected * expected.sin()).mean().backward()
        b.step()
        assert_close("output", run(tw.tensor(x)).numpy(), expected.detach().numpy(), "float64")
        for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            assert_close(f"gradient of {name}", mine.grad.numpy(), other.grad.numpy(), "float64")
    for name, value in theirs.state_dict().items():
        assert_close(name, ours.state_dict()[name].numpy(), value.detach().numpy(), "float64")


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize(
    ("layer", "form"), sweep(itertools.product(LAYERS, FORMS), fraction=0.4, seed=3)
)  # fmt: skip
def test_normalised_weights(layer, form, is_compiled):
    compare_training(*pair(layer, FORMS[form]), LAYERS[layer][2], is_compiled)


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize(
    ("layer", "form"), sweep(itertools.product(("tall", "wide", "square"), MAPS), fraction=0.4, seed=4)
)  # fmt: skip
def test_orthogonal_weights(layer, form, is_compiled):
    compare_training(*pair(layer, MAPS[form]), LAYERS[layer][2], is_compiled)


@pytest.mark.parametrize("form", ["weight", "spectral", "older weight", "older spectral"])
def test_our_state_loads_into_pytorch(form):
    ours, theirs = pair("conv", FORMS[form])
    with tw.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.5)
    theirs.load_state_dict({name: torch.tensor(value.numpy()) for name, value in ours.state_dict().items()})
    x = np.random.default_rng(0).normal(size=LAYERS["conv"][2])
    expected = theirs.eval()(torch.tensor(x)).detach().numpy()
    assert_close("output", ours.eval()(tw.tensor(x)).detach().numpy(), expected, "float64")


@pytest.mark.parametrize("form", ["weight", "spectral"])
def test_what_is_left_after_removal(form):
    ours, theirs = pair("tall", FORMS[form])
    nn.utils.parametrize.remove_parametrizations(ours.eval(), "weight")
    torch.nn.utils.parametrize.remove_parametrizations(theirs.eval(), "weight")
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert_close("weight", ours.weight.detach().numpy(), theirs.weight.detach().numpy(), "float64")


@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_recurrent_layer_with_a_normalised_weight(is_compiled):
    torch.manual_seed(0)
    theirs = torch.nn.utils.parametrizations.weight_norm(torch.nn.LSTM(3, 4, dtype=torch.float64), "weight_hh_l0")
    ours = nn.utils.parametrizations.weight_norm(nn.LSTM(3, 4, dtype="float64"), "weight_hh_l0")
    share_state(ours, theirs)
    x = np.random.default_rng(0).normal(size=(5, 2, 3))
    found = (tw.compile(lambda x: ours(x)[0]) if is_compiled else lambda x: ours(x)[0])(tw.tensor(x))
    assert_close("output", found.detach().numpy(), theirs(torch.tensor(x))[0].detach().numpy(), "float64")
