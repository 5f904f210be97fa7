"""Thalweg: neural networks trained by backpropagation, compiled, and explained.

In: the forward pass you write. Out: gradients by the chain rule, trained weights, and what the gradients are doing.
Start with `tw.Trainer`, or write the step by hand: forward, `loss.backward()`, `optimizer.step()`.
"""

from thalweg import optim
from thalweg import nn
from thalweg.dtype import DType, float32, float64, int32, int64, uint8
from thalweg.dtype import bool_ as bool  # noqa: A004
from thalweg.errors import ThalwegError
from thalweg.tensor import *  # noqa: F403
from thalweg.report.explain import explain
from thalweg import data
from thalweg.train import Trainer, callbacks, metrics

__version__ = "0.1.0"
float = float32  # noqa: A001
double = float64
long = int64
