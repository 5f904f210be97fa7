"""`device` and `dtype` of every layer that has weights: found by their signatures.

In: the table of module classes. Out: the dtype of all floating-point state; an error for devices that are not there and
for dtypes that are no floating-point numbers.
"""

from __future__ import annotations

import inspect

import pytest

import thalweg as tw
from thalweg import nn
from thalweg.errors import ArgumentError, DTypeError

ARGUMENTS = {
    "AdaptiveLogSoftmaxWithLoss": (4, 6, [2, 4]), "Bilinear": (2, 3, 2), "Embedding": (5, 2), "EmbeddingBag": (5, 2),
    "GroupNorm": (2, 4), "LayerNorm": (3,), "RMSNorm": (3,), "Linear": (3, 2), "LinearCrossEntropyLoss": (3, 2),
    "MultiheadAttention": (4, 2), "PReLU": (), "Transformer": (4, 2, 1, 1, 4),
    "TransformerDecoderLayer": (4, 2, 4), "TransformerEncoderLayer": (4, 2, 4), "SinusoidalPositionalEncoding": (4,),
    "LearnedPositionalEncoding": (4, 3), "RotaryPositionalEmbedding": (4,),
    **dict.fromkeys(("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"), (3, 2)),
    **{f"{kind}{axes}d": (2, 3, 1) for kind in ("Conv", "ConvTranspose") for axes in (1, 2, 3)},
    **{f"{kind}Norm{axes}d": (2,) for kind in ("Batch", "Instance") for axes in (1, 2, 3)},
}  # fmt: skip


def with_factory_arguments():
    kinds = ((name, getattr(nn, name)) for name in nn.__all__)
    return {
        name for name, kind in kinds
        if inspect.isclass(kind) and "dtype" in inspect.signature(kind.__init__).parameters
    }  # fmt: skip


def test_every_layer_that_has_a_dtype_is_in_the_table():
    assert with_factory_arguments() == set(ARGUMENTS)


@pytest.mark.parametrize("device", [None, "cpu", "cpu:0", tw.device("cpu")])
@pytest.mark.parametrize("dtype", ["float64", tw.float32, None])
def test_the_state_of_a_layer_has_the_dtype(dtype, device):
    layer = nn.BatchNorm1d(3, device=device, dtype=dtype)
    kinds = {each.dtype for each in [*layer.parameters(), *layer.buffers()]}
    assert kinds == {tw.int64, tw.float64 if dtype == "float64" else tw.float32}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_every_layer_takes_a_dtype_and_the_one_device(name):
    layer = getattr(nn, name)(*ARGUMENTS[name], device="cpu", dtype="float64")
    state = [each for each in [*layer.parameters(), *layer.buffers()] if each.is_floating_point()]
    assert all(each.dtype == "float64" for each in state)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_another_device_is_refused(name):
    with pytest.raises(ArgumentError, match="cuda"):
        getattr(nn, name)(*ARGUMENTS[name], device="cuda")


@pytest.mark.parametrize("name", ARGUMENTS)
def test_weights_are_floating_point_numbers(name):
    with pytest.raises(DTypeError, match="int64"):
        getattr(nn, name)(*ARGUMENTS[name], dtype="int64")
