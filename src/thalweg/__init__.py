"""Thalweg: neural networks trained by backpropagation, compiled, and explained.

In: the forward pass you write. Out: gradients by the chain rule, trained weights, and what the gradients are doing.
Start with `tw.Trainer`, or write the step by hand: forward, `loss.backward()`, `optimizer.step()`.
"""

from math import e, inf, nan, pi
from typing import TYPE_CHECKING

from thalweg import nn, optim
from thalweg import tensor as _tensor
from thalweg.dtype import DType, finfo, float32, float64, iinfo, int32, int64, uint8
from thalweg.dtype import bool_ as bool
from thalweg.errors import ThalwegError
from thalweg.later import later as _later

if TYPE_CHECKING:
    from thalweg import autograd, data, diagnose, models
    from thalweg import report as report
    from thalweg import train as train
    from thalweg.compile.cores import get_num_threads, set_num_threads
    from thalweg.interop.state_files import load_state_dict_from
    from thalweg.report.explain import explain
    from thalweg.train import Trainer, callbacks, load_trainer, metrics

float, double, long = float32, float64, int64
_OF_TENSORS = list(_tensor.__all__)
from thalweg.tensor import *  # noqa: E402, F403  (last: `tensor` the function takes the name of the room)
from thalweg.tensor.functions import *  # noqa: E402, F403  (the same once more: type checkers find them in a stub)

# Rooms that a step written by hand does not need are imported when somebody first names something of theirs: they are
# two fifths of the house, and `import thalweg` waits for none of them. Name -> module, and the attribute if it is one.
_LATER = {
    "Trainer": ("thalweg.train", "Trainer"),
    "autograd": ("thalweg.autograd", ""),
    "callbacks": ("thalweg.train.callbacks", ""),
    "data": ("thalweg.data", ""),
    "diagnose": ("thalweg.diagnose", ""),
    "explain": ("thalweg.report.explain", "explain"),
    "get_num_threads": ("thalweg.compile.cores", "get_num_threads"),
    "load_state_dict_from": ("thalweg.interop.state_files", "load_state_dict_from"),
    "load_trainer": ("thalweg.train", "load_trainer"),
    "metrics": ("thalweg.train.metrics", ""),
    "models": ("thalweg.models", ""),
    "report": ("thalweg.report", ""),
    "set_num_threads": ("thalweg.compile.cores", "set_num_threads"),
    "train": ("thalweg.train", ""),
}

if not TYPE_CHECKING:  # a type checker reads the imports above, and so still finds misspelt names
    __getattr__, __dir__ = _later(__name__, _LATER)


__version__ = "0.1.0"
__all__ = [
    "DType", "ThalwegError", "Trainer", "autograd", "bool", "callbacks", "data", "diagnose", "double", "e", "explain",
    "finfo", "float", "float32", "float64", "get_num_threads", "iinfo", "inf", "int32", "int64", "load_state_dict_from",
    "load_trainer", "long", "metrics", "models", "nan", "nn", "optim", "pi", "set_num_threads", "uint8", *_OF_TENSORS,
]  # fmt: skip
