"""What the user holds: tensors with lazy values, their operators, backpropagation on them, and tracing.

In: numbers, arrays, other tensors. Out: tensors whose shape, dtype and errors are known at once and whose values are
computed when someone needs them. Operators are sugar over `thalweg.ops`; this room adds no mathematics of its own.
"""

from thalweg.tensor import functions as _functions
from thalweg.tensor.check import gradcheck
from thalweg.tensor.core import Tensor
from thalweg.tensor.creation import (
    arange,
    empty,
    eye,
    from_numpy,
    full,
    full_like,
    is_tensor,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)  # fmt: skip
from thalweg.tensor.devices import accelerator, cuda, device
from thalweg.tensor.functions import *  # noqa: F403
from thalweg.tensor.lifting import as_tensor
from thalweg.tensor.loop import scan
from thalweg.tensor.modes import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from thalweg.tensor.random import (
    Generator,
    bernoulli,
    manual_seed,
    multinomial,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
)  # fmt: skip
from thalweg.tensor.trace import compile

__all__ = [
    "Generator", "Tensor", "accelerator", "arange", "as_tensor", "bernoulli", "compile", "cuda", "detect_anomaly",
    "device", "empty", "enable_grad", "eye", "from_numpy", "full", "full_like", "gradcheck", "inference_mode",
    "is_grad_enabled", "is_tensor", "linspace",
    "manual_seed", "multinomial", "no_grad", "ones", "ones_like", "rand", "rand_like", "randint", "randn", "randn_like",
    "randperm", "scan", "set_grad_enabled", "tensor", "zeros", "zeros_like",
]  # fmt: skip
__all__ += _functions.__all__
