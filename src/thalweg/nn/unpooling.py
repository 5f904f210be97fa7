"""The rarer poolings as modules: powers, unpooling, windows at random places; norms over near channels; shuffling.

In: (N, C, *S), or one sample without the batch axis, with as many spatial axes as the name says. Out: the same rank. No
parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thalweg.errors import ArgumentError, explain
from thalweg.nn import functional
from thalweg.nn.functional.pooling import Size
from thalweg.nn.module import Module
from thalweg.nn.settings import per_axis, whole_number
from thalweg.tensor.core import Tensor


class _LPPool(Module):
    axes: int

    def __init__(
        self, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        per_axis(f"{type(self).__name__}: kernel_size", kernel_size, self.axes, 1)
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        pool = (functional.lp_pool1d, functional.lp_pool2d, functional.lp_pool3d)[self.axes - 1]
        return pool(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """(sum of x^p over each window)^(1/p) along the last axis, p being `norm_type`.

    >>> import thalweg as tw
    >>> LPPool1d(2, 2)(tw.tensor([[3.0, 4.0, 6.0, 8.0]]))
    tensor([[ 5., 10.]])
    """

    axes = 1


class LPPool2d(_LPPool):
    """(sum of x^p over each window of an image)^(1/p).

    >>> import thalweg as tw
    >>> LPPool2d(2, 2)(tw.ones(1, 2, 2))
    tensor([[[2.]]])
    """

    axes = 2


class LPPool3d(_LPPool):
    """(sum of x^p over each window of a volume)^(1/p).

    >>> import thalweg as tw
    >>> LPPool3d(2, (1, 2, 2))(tw.ones(1, 1, 2, 2))
    tensor([[[[2.]]]])
    """

    axes = 3


class _MaxUnpool(Module):
    axes: int

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = per_axis(f"{name}: kernel_size", kernel_size, self.axes, 1)
        self.stride = self.kernel_size if stride is None else per_axis(f"{name}: stride", stride, self.axes, 1)
        self.padding = per_axis(f"{name}: padding", padding, self.axes)

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        unpool = (functional.max_unpool1d, functional.max_unpool2d, functional.max_unpool3d)[self.axes - 1]
        return unpool(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Zeros, with the entries at the places where `MaxPool1d(..., return_indices=True)` found them.

    Called with ``(input, indices, output_size=None)``.

    >>> import thalweg as tw
    >>> MaxUnpool1d(2)(tw.tensor([[3.0]]), tw.tensor([[1]]))
    tensor([[0., 3.]])
    """

    axes = 1


class MaxUnpool2d(_MaxUnpool):
    """The same for `MaxPool2d`. Zeiler and Fergus, ECCV 2014.

    >>> import thalweg as tw
    >>> MaxUnpool2d(2)(tw.tensor([[[7.0]]]), tw.tensor([[[2]]]))
    tensor([[[0., 0.],
             [7., 0.]]])
    """

    axes = 2


class MaxUnpool3d(_MaxUnpool):
    """The same for `MaxPool3d`.

    >>> import thalweg as tw
    >>> MaxUnpool3d((1, 1, 2))(tw.tensor([[[[7.0]]]]), tw.tensor([[[[1]]]]))
    tensor([[[[0., 7.]]]])
    """

    axes = 3


class _FractionalMaxPool(Module):
    axes: int

    def __init__(
        self,
        kernel_size: Size,
        output_size: Size | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if (output_size is None) == (output_ratio is None):
            raise ArgumentError(explain(f"{name}: output_size or output_ratio, one of them",
                                        received=f"{output_size} and {output_ratio}"))  # fmt: skip
        self.kernel_size = per_axis(f"{name}: kernel_size", kernel_size, self.axes, 1)
        self.output_size = output_size
        self.output_ratio = output_ratio
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)

    def forward(self, input: Tensor) -> Any:
        pool = (functional.fractional_max_pool2d, functional.fractional_max_pool3d)[self.axes - 2]
        return pool(
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, output_size={self.output_size}, output_ratio={self.output_ratio}"


class FractionalMaxPool2d(_FractionalMaxPool):
    """The largest entries of windows at random places, as many as `output_size` or `output_ratio` say. Graham, 2014.

    >>> import thalweg as tw
    >>> FractionalMaxPool2d(2, output_ratio=0.6)(tw.ones(1, 1, 9, 9)).shape
    (1, 1, 5, 5)
    """

    axes = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """The same for volumes (N, C, D, H, W).

    >>> import thalweg as tw
    >>> FractionalMaxPool3d(2, output_size=3)(tw.ones(1, 1, 5, 5, 5)).shape
    (1, 1, 3, 3, 3)
    """

    axes = 3


class LocalResponseNorm(Module):
    """x / (k + alpha * mean of x^2 over `size` near channels)^beta. Krizhevsky et al., NeurIPS 2012.

    >>> import thalweg as tw
    >>> LocalResponseNorm(2)(tw.ones(1, 4, 3)).shape
    (1, 4, 3)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = whole_number("LocalResponseNorm: size", size, 1)
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return functional.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class ChannelShuffle(Module):
    """The channels of `groups` groups dealt out in turns. Zhang et al., CVPR 2018.

    >>> import thalweg as tw
    >>> ChannelShuffle(2)(tw.arange(4.0).reshape(1, 4, 1)).flatten()
    tensor([0., 2., 1., 3.])
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = whole_number("ChannelShuffle: groups", groups, 1)

    def forward(self, input: Tensor) -> Tensor:
        return functional.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
