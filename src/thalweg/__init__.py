"""Thalweg: neural networks trained by backpropagation, compiled, and explained.

In: the forward pass you write. Out: gradients by the chain rule, trained weights, and what the gradients are doing.
Start with `tw.Trainer`, or write the step by hand: forward, `loss.backward()`, `optimizer.step()`.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from thalweg import nn, optim
from thalweg import tensor as _tensor
from thalweg.dtype import DType, float32, float64, int32, int64, uint8
from thalweg.dtype import bool_ as bool
from thalweg.errors import ThalwegError

if TYPE_CHECKING:
    from thalweg import data, diagnose, models
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

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module 'thalweg' has no attribute {name!r}")
        room, attribute = _LATER[name]
        module = _import_module(room)
        value = globals()[name] = getattr(module, attribute) if attribute else module
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


__version__ = "0.1.0"
__all__ = [
    "DType", "ThalwegError", "Trainer", "bool", "callbacks", "data", "diagnose", "double", "explain", "float",
    "float32", "float64", "get_num_threads", "int32", "int64", "load_state_dict_from", "load_trainer", "long",
    "metrics", "models", "nn", "optim", "set_num_threads", "uint8", *_OF_TENSORS,
]  # fmt: skip
