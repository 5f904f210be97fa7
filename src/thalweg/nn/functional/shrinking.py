"""The rarer activation functions: hard and shrinking ones, smooth ones, gates, and slopes that are learned or drawn.

In: a tensor of any shape. Out: one of the same shape (half of one axis for `glu`). With `inplace=True`, or a name that
ends in `_`, the result replaces the input's value, as in PyTorch.
"""

from __future__ import annotations

from thalweg.errors import ArgumentError, explain
from thalweg.nn import activation_expressions as expressions
from thalweg.nn.applying import apply, apply_activation
from thalweg.nn.functional.activations import elu, hardtanh, leaky_relu, relu, selu, stated_dim
from thalweg.tensor.core import Tensor
from thalweg.tensor.lifting import as_tensor


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0.

    >>> import thalweg as tw
    >>> hardshrink(tw.tensor([-1.0, 0.3, 0.5]))
    tensor([-1.,  0.,  0.])
    """
    return apply(expressions.hardshrink, input, lambd=lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved by lambd towards 0, and 0 where |x| <= lambd: the proximal map of the L1 norm.

    >>> import thalweg as tw
    >>> softshrink(tw.tensor([-1.0, 0.3, 2.0]))
    tensor([-0.5,  0. ,  1.5])
    """
    if not lambd >= 0:
        raise ArgumentError(explain("softshrink: lambd must not be negative", received=lambd, expected="lambd >= 0"))
    return apply(expressions.softshrink, input, lambd=lambd)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x).

    >>> import thalweg as tw
    >>> tanhshrink(tw.tensor([0.0, 1.0]))
    tensor([0.    , 0.2384])
    """
    return apply(expressions.tanhshrink, input)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6, the sigmoid in three straight pieces. Howard et al., ICCV 2019.

    >>> import thalweg as tw
    >>> hardsigmoid(tw.tensor([-4.0, 0.0, 1.5]))
    tensor([0.  , 0.5 , 0.75])
    """
    return apply_activation(expressions.hardsigmoid, input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x times `hardsigmoid(x)`. Howard et al., ICCV 2019 (MobileNetV3).

    >>> import thalweg as tw
    >>> hardswish(tw.tensor([-4.0, 1.0, 4.0]))
    tensor([0.    , 0.6667, 4.    ])
    """
    return apply_activation(expressions.hardswish, input, inplace)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else `value`.

    >>> import thalweg as tw
    >>> import thalweg.nn.functional as F
    >>> F.threshold(tw.tensor([0.5, 2.0]), 1.0, -7.0)
    tensor([-7.,  2.])
    """
    return apply_activation(expressions.threshold, input, inplace, threshold=threshold, value=value)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x for x > 0, else alpha (e^(x / alpha) - 1): an ELU whose derivative at 0 is 1 for every alpha. Barron, 2017.

    >>> import thalweg as tw
    >>> celu(tw.tensor([-1.0, 2.0]), alpha=2.0)
    tensor([-0.7869,  2.    ])
    """
    if alpha == 0:
        raise ArgumentError(explain("celu divides by alpha", received=alpha, expected="a number that is not 0"))
    return apply_activation(expressions.celu, input, inplace, alpha=alpha)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x tanh(log(1 + e^x)). Misra, BMVC 2020.

    >>> import thalweg as tw
    >>> mish(tw.tensor([0.0, 1.0]))
    tensor([0.    , 0.8651])
    """
    return apply_activation(expressions.mish, input, inplace)


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|).

    >>> import thalweg as tw
    >>> softsign(tw.tensor([-1.0, 3.0]))
    tensor([-0.5 ,  0.75])
    """
    return apply(expressions.softsign, input)


def softmin(input: Tensor, dim: int | None = None, dtype: object = None) -> Tensor:
    """The softmax of -x along `dim`, which must be said; with `dtype` computed in that.

    >>> import thalweg as tw
    >>> softmin(tw.tensor([[0.0, 1.0]]), dim=-1)
    tensor([[0.7311, 0.2689]])
    """
    source = input if dtype is None else as_tensor(input, dtype)
    return apply(expressions.softmin, source, dim=stated_dim("softmin", dim))


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a times sigmoid(b), where a and b are the halves of the input along `dim`. Dauphin et al., ICML 2017.

    >>> import thalweg as tw
    >>> glu(tw.tensor([[2.0, 4.0, 0.0, 90.0]]))
    tensor([[1., 4.]])
    """
    return apply(expressions.glu, input, dim=dim)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x for x > 0, else weight * x with one learned slope, or one for each channel (axis 1). He et al., ICCV 2015.

    >>> import thalweg as tw
    >>> prelu(tw.tensor([-2.0, 3.0]), tw.tensor([0.25]))
    tensor([-0.5,  3. ])
    """
    return apply(expressions.prelu, input, weight)


def rrelu(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """x for x > 0, else x times a slope: in training one drawn from [lower, upper) for each entry, else their middle.

    Xu et al., 2015. Slopes come from the default generator (`tw.manual_seed`).

    >>> import thalweg as tw
    >>> rrelu(tw.tensor([-2.0, 3.0]), 0.2, 0.4)
    tensor([-0.6,  3. ])
    """
    if not lower <= upper:
        raise ArgumentError(
            explain("rrelu: the limits are reversed", received=f"{lower}, {upper}", expected="lower <= upper")
        )
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    return apply_activation(expressions.rrelu, input, inplace, lower=lower, upper=upper)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A sample of a categorical distribution that gradients flow through: the softmax of (logits + noise) / tau.

    The noise is Gumbel's, -log(-log u) with uniform u. With `hard` the result is one-hot, while its gradient is that of
    the softmax. `eps` has no effect, as in PyTorch. Jang, Gu and Poole; Maddison, Mnih and Teh, ICLR 2017.

    >>> import thalweg as tw
    >>> gumbel_softmax(tw.zeros(5, 3), hard=True).sum(-1)
    tensor([1., 1., 1., 1., 1.])
    """
    if not tau > 0:
        raise ArgumentError(explain("gumbel_softmax: tau is a temperature", received=tau, expected="tau > 0"))
    return apply(expressions.gumbel_softmax, logits, tau=tau, hard=bool(hard), dim=dim)


# --- in place --------------------------------------------------------------------------------------------------------


def relu_(input: Tensor) -> Tensor:
    """`relu` in place."""
    return relu(input, inplace=True)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`elu` in place."""
    return elu(input, alpha, inplace=True)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`celu` in place."""
    return celu(input, alpha, inplace=True)


def selu_(input: Tensor) -> Tensor:
    """`selu` in place."""
    return selu(input, inplace=True)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """`leaky_relu` in place."""
    return leaky_relu(input, negative_slope, inplace=True)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """`hardtanh` in place."""
    return hardtanh(input, min_val, max_val, inplace=True)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """`threshold` in place."""
    return apply_activation(expressions.threshold, input, True, threshold=threshold, value=value)


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """`rrelu` in place."""
    return rrelu(input, lower, upper, training, inplace=True)
