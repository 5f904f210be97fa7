"""The activation functions: what makes a stack of linear layers more than one linear layer.

In: a tensor of any shape. Out: one of the same shape. With `inplace=True` the result replaces the input's value, and
using the old value for a gradient afterwards is an error, as in PyTorch.
"""

from __future__ import annotations

from thalweg.errors import ArgumentError, explain
from thalweg.nn import expressions
from thalweg.nn.applying import apply, apply_activation
from thalweg.tensor import arithmetic
from thalweg.tensor.core import Tensor, refuse_unknown
from thalweg.tensor.lifting import as_tensor


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0). Its derivative at 0 is taken as 0. Nair and Hinton, ICML 2010.

    >>> import thalweg as tw
    >>> relu(tw.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return apply_activation(arithmetic.relu, input, inplace)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6).

    >>> import thalweg as tw
    >>> relu6(tw.tensor([-1.0, 3.0, 8.0]))
    tensor([0., 3., 6.])
    """
    return apply_activation(expressions.relu6, input, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x for x > 0, else negative_slope * x. Maas et al., ICML workshop 2013.

    >>> import thalweg as tw
    >>> leaky_relu(tw.tensor([-1.0, 2.0]), 0.1)
    tensor([-0.1,  2. ])
    """
    return apply_activation(arithmetic.leaky_relu, input, inplace, negative_slope=negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x for x > 0, else alpha (e^x - 1). Clevert et al., ICLR 2016.

    >>> import thalweg as tw
    >>> elu(tw.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.    ])
    """
    return apply_activation(arithmetic.elu, input, inplace, alpha=alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """1.0507 times the ELU with alpha 1.6733: its fixed point is mean 0, variance 1. Klambauer et al., NeurIPS 2017.

    >>> import thalweg as tw
    >>> selu(tw.tensor([-1.0, 2.0]))
    tensor([-1.1113,  2.1014])
    """
    return apply_activation(arithmetic.selu, input, inplace)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Phi(x) with the normal distribution function Phi; ``approximate="tanh"`` uses the paper's tanh formula.

    Hendrycks and Gimpel, 2016.

    >>> import thalweg as tw
    >>> gelu(tw.tensor([-1.0, 2.0]))
    tensor([-0.1587,  1.9545])
    """
    refuse_unknown("gelu: approximate", ("none", "tanh"), approximate)
    return apply(arithmetic.gelu, input, approximate=approximate)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x times the sigmoid of x, also called swish. Ramachandran et al., 2017.

    >>> import thalweg as tw
    >>> silu(tw.tensor([-1.0, 2.0]))
    tensor([-0.2689,  1.7616])
    """
    return apply_activation(arithmetic.silu, input, inplace)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + e^-x), without overflow on either side.

    >>> import thalweg as tw
    >>> sigmoid(tw.tensor([-1.0, 0.0, 90.0]))
    tensor([0.2689, 0.5   , 1.    ])
    """
    return apply(arithmetic.sigmoid, input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent.

    >>> import thalweg as tw
    >>> tanh(tw.tensor([0.0, 1.0]))
    tensor([0.    , 0.7616])
    """
    return apply(arithmetic.tanh, input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x limited to [min_val, max_val]; the derivative outside and at the limits is 0.

    >>> import thalweg as tw
    >>> hardtanh(tw.tensor([-3.0, 0.5]))
    tensor([-1. ,  0.5])
    """
    if min_val > max_val:
        raise ArgumentError(
            explain("hardtanh: the limits are reversed", received=f"{min_val}, {max_val}",
                    expected="min_val <= max_val")
        )  # fmt: skip
    return apply_activation(expressions.hardtanh, input, inplace, min_val=min_val, max_val=max_val)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(beta x)) / beta, and x itself where beta x > threshold.

    >>> import thalweg as tw
    >>> softplus(tw.tensor([0.0, 30.0]))
    tensor([ 0.6931, 30.    ])
    """
    return apply(arithmetic.softplus, input, beta=beta, threshold=threshold)


def logsigmoid(input: Tensor) -> Tensor:
    """log(1 / (1 + e^-x)), without overflow on either side.

    >>> import thalweg as tw
    >>> logsigmoid(tw.tensor([0.0, -90.0]))
    tensor([ -0.6931, -90.    ])
    """
    return apply(arithmetic.logsigmoid, input)


def softmax(input: Tensor, dim: int | None = None, dtype: object = None) -> Tensor:
    """e^x_i / sum_j e^x_j along `dim`, which must be said: -1 for rows of class scores. With `dtype` computed in that.

    >>> import thalweg as tw
    >>> softmax(tw.tensor([[0.0, 1.0]]), dim=-1)
    tensor([[0.2689, 0.7311]])
    """
    return apply(expressions.softmax, _in(input, dtype), dim=stated_dim("softmax", dim))


def log_softmax(input: Tensor, dim: int | None = None, dtype: object = None) -> Tensor:
    """x_i - log sum_j e^x_j along `dim`: the logarithm of the softmax, without underflow. `dtype` as in `softmax`.

    >>> import thalweg as tw
    >>> log_softmax(tw.tensor([[0.0, 1.0]]), dim=-1)
    tensor([[-1.3133, -0.3133]])
    """
    return apply(expressions.log_softmax, _in(input, dtype), dim=stated_dim("log_softmax", dim))


def _in(input: Tensor, dtype: object) -> Tensor:
    return input if dtype is None else as_tensor(input, dtype)


def stated_dim(name: str, dim: int | None) -> int:
    """PyTorch guesses an axis with a warning, and guesses wrong for (N, C, L)."""
    if dim is None:
        raise ArgumentError(
            explain(
                f"{name}: along which axis?",
                received="dim=None",
                expected="the axis whose entries sum to 1",
                remedy="dim=-1 for rows of class scores",
            )
        )
    return dim
