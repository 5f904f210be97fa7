"""The activation functions as modules, with PyTorch's names, arguments and defaults.

In: a tensor of any shape.
Out: one of the same shape. Formulas and sources are in `functional.activations`.
"""

from __future__ import annotations

from thalweg.errors import ArgumentError, explain
from thalweg.nn import functional
from thalweg.nn.module import Module
from thalweg.tensor.core import Tensor, refuse_unknown


class _InPlace(Module):
    """An activation whose only setting is whether the result replaces its input."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class ReLU(_InPlace):
    """max(x, 0).

    >>> import thalweg as tw
    >>> ReLU()(tw.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.relu(input, self.inplace)


class ReLU6(_InPlace):
    """min(max(x, 0), 6).

    >>> import thalweg as tw
    >>> ReLU6()(tw.tensor([-1.0, 8.0]))
    tensor([0., 6.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.relu6(input, self.inplace)


class SELU(_InPlace):
    """1.0507 times the ELU with alpha 1.6733 (self-normalising networks).

    >>> import thalweg as tw
    >>> SELU()(tw.tensor([0.0, 1.0]))
    tensor([0.    , 1.0507])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.selu(input, self.inplace)


class SiLU(_InPlace):
    """x times the sigmoid of x.

    >>> import thalweg as tw
    >>> SiLU()(tw.tensor([0.0, 1.0]))
    tensor([0.    , 0.7311])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.silu(input, self.inplace)


class LeakyReLU(Module):
    """x for x > 0, else negative_slope * x.

    >>> import thalweg as tw
    >>> LeakyReLU(0.1)(tw.tensor([-1.0, 2.0]))
    tensor([-0.1,  2. ])
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return functional.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class ELU(Module):
    """x for x > 0, else alpha (e^x - 1).

    >>> import thalweg as tw
    >>> ELU()(tw.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.    ])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return functional.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class Hardtanh(Module):
    """x limited to [min_val, max_val].

    >>> import thalweg as tw
    >>> Hardtanh(-2.0, 2.0)(tw.tensor([-3.0, 1.0]))
    tensor([-2.,  1.])
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if not min_val < max_val:
            raise ArgumentError(
                explain("Hardtanh: limits are reversed", received=f"{min_val}, {max_val}", expected="min_val < max_val")
            )
        self.min_val = min_val
        self.max_val = max_val
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return functional.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}" + (", inplace=True" if self.inplace else "")


class GELU(Module):
    """x Phi(x); ``approximate="tanh"`` for the formula that GPT-2 uses.

    >>> import thalweg as tw
    >>> GELU()(tw.tensor([-1.0, 2.0]))
    tensor([-0.1587,  1.9545])
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        refuse_unknown("GELU: approximate", ("none", "tanh"), approximate)
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return functional.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Sigmoid(Module):
    """1 / (1 + e^-x).

    >>> import thalweg as tw
    >>> Sigmoid()(tw.tensor([0.0]))
    tensor([0.5])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent.

    >>> import thalweg as tw
    >>> Tanh()(tw.tensor([0.0, 1.0]))
    tensor([0.    , 0.7616])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.tanh(input)


class Softplus(Module):
    """log(1 + e^(beta x)) / beta, and x itself where beta x > threshold.

    >>> import thalweg as tw
    >>> Softplus()(tw.tensor([0.0]))
    tensor([0.6931])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        return functional.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class LogSigmoid(Module):
    """The logarithm of the sigmoid.

    >>> import thalweg as tw
    >>> LogSigmoid()(tw.tensor([0.0]))
    tensor([-0.6931])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.logsigmoid(input)


class _AlongAxis(Module):
    """A function along one axis, which must be said: PyTorch's guess for None is deprecated there too."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_AlongAxis):
    """e^x_i / sum_j e^x_j along `dim`.

    >>> import thalweg as tw
    >>> Softmax(dim=-1)(tw.tensor([[0.0, 0.0]]))
    tensor([[0.5, 0.5]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.softmax(input, self.dim)


class LogSoftmax(_AlongAxis):
    """The logarithm of the softmax along `dim`.

    >>> import thalweg as tw
    >>> LogSoftmax(dim=-1)(tw.tensor([[0.0, 0.0]]))
    tensor([[-0.6931, -0.6931]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.log_softmax(input, self.dim)
