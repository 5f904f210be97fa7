"""Thalweg: neural networks trained by backpropagation, compiled, and explained.

In: the forward pass you write. Out: gradients by the chain rule, trained weights, and what the gradients are doing.
Start with `tw.Trainer`, or write the step by hand: forward, `loss.backward()`, `optimizer.step()`.
"""

from thalweg import data, nn, optim
from thalweg import tensor as _tensor
from thalweg.dtype import DType, float32, float64, int32, int64, uint8
from thalweg.dtype import bool_ as bool
from thalweg.errors import ThalwegError
from thalweg.report.explain import explain
from thalweg.train import Trainer, callbacks, metrics

float, double, long = float32, float64, int64
_OF_TENSORS = list(_tensor.__all__)
from thalweg.tensor import *  # noqa: E402, F403  (last: `tensor` the function takes the name of the room)

__version__ = "0.1.0"
__all__ = [
    "DType", "ThalwegError", "Trainer", "bool", "callbacks", "data", "double", "explain", "float", "float32",
    "float64", "int32", "int64", "long", "metrics", "nn", "optim", "uint8", *_OF_TENSORS,
]  # fmt: skip
