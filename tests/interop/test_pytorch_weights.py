"""Weights of PyTorch models in and out: the same names, the same layouts, the same outputs.

In: the networks of `architectures.py`, built by both libraries. Out: failures with the name of the network, and how far
the outputs lie apart.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from tests.interop.architectures import ARCHITECTURES
from thalweg import nn
from thalweg.train import save_weights

TOLERANCE = 2e-6  # of the largest output; both compute in float32, and sum in another order


def ours(name, inputs, model):
    with tw.no_grad():
        return model.eval()(*map(tw.tensor, inputs)).numpy()


def theirs(torch, inputs, model):
    with torch.no_grad():
        return model.eval()(*map(torch.tensor, inputs)).numpy()


def apart(one, other):
    return float(np.abs(one - other).max() / np.abs(other).max())


@pytest.fixture(params=sorted(ARCHITECTURES))
def both(request):
    """(PyTorch, the inputs, our network, theirs), with weights and statistics of their own."""
    torch = pytest.importorskip("torch")
    architecture = ARCHITECTURES[request.param]
    draw = np.random.default_rng(1)
    torch.manual_seed(1)
    tw.manual_seed(2)
    one, other = architecture.build(nn, tw), architecture.build(torch.nn, torch)
    with torch.no_grad():
        for value in other.state_dict().values():  # statistics and scales that are not 0 and 1
            if value.dtype == torch.float32:
                value += 0.1 * torch.rand_like(value)
    return torch, architecture.inputs(draw), one, other


@pytest.mark.peer
def test_weights_from_pytorch_give_the_same_outputs(both, tmp_path):
    torch, inputs, model, peer = both
    from safetensors.torch import save_model

    save_model(peer, str(tmp_path / "w.safetensors"))  # a tensor under two names is there once
    tw.load_state_dict_from(tmp_path / "w.safetensors", model)
    assert list(model.state_dict()) == list(peer.state_dict())
    assert apart(ours("", inputs, model), theirs(torch, inputs, peer)) < TOLERANCE


@pytest.mark.peer
def test_weights_for_pytorch_give_the_same_outputs(both, tmp_path):
    torch, inputs, model, peer = both
    from safetensors.torch import load_file

    save_weights(tmp_path / "w.safetensors", model)
    missing, unexpected = peer.load_state_dict(load_file(tmp_path / "w.safetensors"), strict=True)
    assert not missing
    assert not unexpected
    assert apart(theirs(torch, inputs, peer), ours("", inputs, model)) < TOLERANCE


@pytest.mark.peer
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_dtypes_of_pytorch_become_float32(dtype, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    peer = torch.nn.Linear(5, 3).to(getattr(torch, dtype))
    save_file(peer.state_dict(), tmp_path / "w.safetensors")
    model = nn.Linear(5, 3)
    tw.load_state_dict_from(tmp_path / "w.safetensors", model)
    np.testing.assert_array_equal(model.weight.detach().numpy(), peer.weight.detach().float().numpy())


@pytest.mark.peer
def test_pickles_of_pytorch_are_refused_with_what_to_do(tmp_path):
    torch = pytest.importorskip("torch")
    for name, options in (("new.pt", {}), ("old.pth", {"_use_new_zipfile_serialization": False})):
        torch.save(torch.nn.Linear(2, 1).state_dict(), tmp_path / name, **options)
        with pytest.raises(tw.ThalwegError, match=r"safetensors\.torch\.save_file"):
            tw.load_state_dict_from(tmp_path / name)
