"""What programs take from `torch.autograd`: operations with a gradient of their own, gradients by name, modes.

In: tensors and functions of tensors. Out: gradients. `function` has operations whose gradient the user writes,
`functional` the Jacobian, the Hessian and their products with vectors.
"""

from thalweg.autograd import functional
from thalweg.autograd.function import Function, FunctionCtx
from thalweg.autograd.several import backward
from thalweg.tensor.backward import grad
from thalweg.tensor.check import gradcheck
from thalweg.tensor.modes import detect_anomaly, enable_grad, no_grad, set_grad_enabled

__all__ = [
    "Function", "FunctionCtx", "backward", "detect_anomaly", "enable_grad", "functional", "grad", "gradcheck",
    "no_grad", "set_grad_enabled",
]  # fmt: skip
