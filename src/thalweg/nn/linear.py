"""`Linear`: every output is a weighted sum of all inputs.

In: (*, in_features).
Out: (*, out_features). The weight has PyTorch's layout, one row an output.
"""

from __future__ import annotations

import math

from thalweg.nn import init
from thalweg.nn.functional import linear
from thalweg.nn.module import Module
from thalweg.nn.parameter import Parameter
from thalweg.nn.settings import new_parameter, weight_dtype, whole_number
from thalweg.tensor.core import Tensor


class Linear(Module):
    """x W^T + b.

    State: `weight` (out_features, in_features), uniform in ±1/sqrt(in_features) (He's bound with a = sqrt(5), as
    PyTorch initialises); `bias` (out_features,), uniform in the same range, or None with `bias=False`.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.Linear(20, 30)(tw.ones(128, 20)).shape
    (128, 30)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, device: object = None, dtype: object = None
    ) -> None:
        super().__init__()
        self.in_features = whole_number("Linear: in_features", in_features)
        self.out_features = whole_number("Linear: out_features", out_features)
        kind = weight_dtype(device, dtype)
        self.weight = new_parameter((out_features, in_features), kind)
        self.register_parameter("bias", new_parameter((out_features,), kind) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
