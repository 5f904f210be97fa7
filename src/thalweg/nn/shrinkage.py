"""The rarer activations as modules: hard and shrinking ones, smooth ones, gates, slopes that are learned or drawn.

In: a tensor of any shape. Out: one of the same shape (half of one axis for `GLU`). Formulas and sources are in
`functional.shrinking`.
"""

from __future__ import annotations

from thalweg.errors import ShapeError, explain
from thalweg.graph import full
from thalweg.nn import functional
from thalweg.nn.activations import _InPlace
from thalweg.nn.applying import write
from thalweg.nn.module import Module
from thalweg.nn.parameter import Parameter
from thalweg.nn.settings import new_parameter, weight_dtype, whole_number
from thalweg.tensor.core import Tensor


class Hardsigmoid(_InPlace):
    """min(max(x + 3, 0), 6) / 6.

    >>> import thalweg as tw
    >>> Hardsigmoid()(tw.tensor([-4.0, 0.0]))
    tensor([0. , 0.5])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.hardsigmoid(input, self.inplace)


class Hardswish(_InPlace):
    """x times the hard sigmoid of x.

    >>> import thalweg as tw
    >>> Hardswish()(tw.tensor([-4.0, 4.0]))
    tensor([0., 4.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.hardswish(input, self.inplace)


class Mish(_InPlace):
    """x tanh(log(1 + e^x)).

    >>> import thalweg as tw
    >>> Mish()(tw.tensor([0.0, 1.0]))
    tensor([0.    , 0.8651])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.mish(input, self.inplace)


class CELU(Module):
    """x for x > 0, else alpha (e^(x / alpha) - 1).

    >>> import thalweg as tw
    >>> CELU(2.0)(tw.tensor([-1.0, 2.0]))
    tensor([-0.7869,  2.    ])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return functional.celu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class Threshold(Module):
    """x where x > threshold, else `value`.

    >>> import thalweg as tw
    >>> Threshold(1.0, -7.0)(tw.tensor([0.5, 2.0]))
    tensor([-7.,  2.])
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return functional.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}" + (", inplace=True" if self.inplace else "")


class _Shrink(Module):
    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Hardshrink(_Shrink):
    """x where |x| > lambd, else 0.

    >>> import thalweg as tw
    >>> Hardshrink()(tw.tensor([-1.0, 0.3]))
    tensor([-1.,  0.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.hardshrink(input, self.lambd)


class Softshrink(_Shrink):
    """x moved by lambd towards 0.

    >>> import thalweg as tw
    >>> Softshrink()(tw.tensor([-1.0, 0.3]))
    tensor([-0.5,  0. ])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.softshrink(input, self.lambd)


class Tanhshrink(Module):
    """x - tanh(x).

    >>> import thalweg as tw
    >>> Tanhshrink()(tw.tensor([0.0, 1.0]))
    tensor([0.    , 0.2384])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.tanhshrink(input)


class Softsign(Module):
    """x / (1 + |x|).

    >>> import thalweg as tw
    >>> Softsign()(tw.tensor([-1.0, 3.0]))
    tensor([-0.5 ,  0.75])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.softsign(input)


class Softmin(Module):
    """The softmax of -x along `dim`.

    >>> import thalweg as tw
    >>> Softmin(dim=-1)(tw.tensor([[0.0, 1.0]]))
    tensor([[0.7311, 0.2689]])
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return functional.softmin(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax2d(Module):
    """The softmax over the channels of each place: (N, C, H, W) or (C, H, W).

    >>> import thalweg as tw
    >>> Softmax2d()(tw.zeros(2, 1, 1)).flatten()
    tensor([0.5, 0.5])
    """

    def forward(self, input: Tensor) -> Tensor:
        if hasattr(input, "shape") and len(input.shape) not in (3, 4):
            raise ShapeError(explain("Softmax2d takes images", received=f"shape {input.shape}",
                                     expected="(N, C, H, W) or (C, H, W)"))  # fmt: skip
        return functional.softmax(input, -3)


class GLU(Module):
    """a times sigmoid(b) for the halves a and b of the input along `dim`. Dauphin et al., ICML 2017.

    >>> import thalweg as tw
    >>> GLU()(tw.tensor([[2.0, 4.0, 0.0, 90.0]]))
    tensor([[1., 4.]])
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return functional.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class PReLU(Module):
    """x for x > 0, else a learned slope times x: one for all, or one for each of `num_parameters` channels (axis 1).

    State: `weight` (num_parameters,), which starts as `init`. He et al., ICCV 2015.

    >>> import thalweg as tw
    >>> PReLU()(tw.tensor([-2.0, 3.0])).detach()
    tensor([-0.5,  3. ])
    """

    weight: Parameter

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, *, device: object = None, dtype: object = None
    ) -> None:
        super().__init__()
        self.num_parameters = whole_number("PReLU: num_parameters", num_parameters, 1)
        self.init = init
        self.weight = new_parameter((num_parameters,), weight_dtype(device, dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Every slope as at the start."""
        write(self.weight, full(self.weight.shape, self.init, self.weight.dtype))

    def forward(self, input: Tensor) -> Tensor:
        return functional.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    """x for x > 0, else x times a slope: in training drawn from [lower, upper) for each entry, else their middle.

    >>> import thalweg as tw
    >>> RReLU(0.2, 0.4).eval()(tw.tensor([-2.0, 3.0]))
    tensor([-0.6,  3. ])
    """

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return functional.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + (", inplace=True" if self.inplace else "")
