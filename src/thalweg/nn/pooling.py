"""Pooling layers: windows reduced to their largest entry or their average. No parameters.

In: (N, C, L), (N, C, H, W) or (N, C, D, H, W), or one sample without the batch axis. Out: the same rank, smaller
planes. Adaptive ones take the size of the result instead of that of the window: `AdaptiveAvgPool2d(1)` is global
average pooling.
"""

from __future__ import annotations

from typing import Any

from thalweg.nn import functional
from thalweg.nn.functional.pooling import OptionalSize, Size
from thalweg.nn.module import Module
from thalweg.nn.settings import per_axis, whole_number
from thalweg.tensor.core import Tensor


class _Pool(Module):
    """A window and how it moves."""

    axes: int

    def __init__(self, kernel_size: Size, stride: Size | None, padding: Size, ceil_mode: bool) -> None:
        super().__init__()
        self.kernel_size = self._checked("kernel_size", kernel_size, 1)
        self.stride = self._checked("stride", kernel_size if stride is None else stride, 1)
        self.padding = self._checked("padding", padding, 0)
        self.ceil_mode = ceil_mode

    def _checked(self, argument: str, value: Size, at_least: int) -> Size:
        """As it was given, which is how PyTorch shows it."""
        per_axis(f"{type(self).__name__}: {argument}", value, self.axes, at_least)
        return value

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _MaxPool(_Pool):
    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.dilation = self._checked("dilation", dilation, 1)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        pool = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[self.axes - 1]
        return pool(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
                    self.return_indices)  # fmt: skip

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, dilation={self.dilation}, ceil_mode={self.ceil_mode}"


class MaxPool1d(_MaxPool):
    """The largest entry of each window along the last axis: (N, C, L) to (N, C, L').

    L' = (L + 2 padding - dilation (kernel_size - 1) - 1) / stride + 1, rounded down, or up with `ceil_mode`. The stride
    is the kernel size unless it is said. Padding counts as -inf. Of entries that tie the first gets the gradient. With
    `return_indices` the result is a pair: the entries, and where they stood.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.MaxPool1d(2)(tw.tensor([[1.0, 3.0, 2.0, 2.0]]))
    tensor([[3., 2.]])
    """

    axes = 1


class MaxPool2d(_MaxPool):
    """The largest entry of each window of an image: (N, C, H, W) to (N, C, H', W'), sizes as in `MaxPool1d`.

    Every size is one number, or one an axis. Of entries that tie, the first in reading order gets the whole gradient;
    NaN is the largest: both as in PyTorch. A window larger than the padded image raises `ShapeError`, padding of more
    than half a window `ArgumentError`. Ranzato et al., CVPR 2007.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.MaxPool2d(3, stride=2, padding=1)(tw.ones(2, 8, 28, 28)).shape
    (2, 8, 14, 14)
    """

    axes = 2


class MaxPool3d(_MaxPool):
    """The largest entry of each window of a volume: (N, C, D, H, W) to (N, C, D', H', W'), sizes as in `MaxPool1d`.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.MaxPool3d(2)(tw.ones(2, 8, 4, 6, 6)).shape
    (2, 8, 2, 3, 3)
    """

    axes = 3


class AvgPool1d(_Pool):
    """The average of each window along the last axis: (N, C, L) to (N, C, L'), sizes as in `MaxPool1d`.

    Padding counts as zeros; without `count_include_pad` it does not count at all.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.AvgPool1d(2)(tw.tensor([[1.0, 3.0, 2.0, 2.0]]))
    tensor([[2., 2.]])
    """

    axes = 1

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        # one number is a tuple of one in PyTorch here, and is shown as such
        sizes = (kernel_size, kernel_size if stride is None else stride, padding)
        single = [each if isinstance(each, (list, tuple)) else (each,) for each in sizes]
        super().__init__(single[0], single[1], single[2], ceil_mode)
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return functional.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad
        if divisor_override is not None:
            whole_number(f"{type(self).__name__}: divisor_override", divisor_override, 1)
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        pool = functional.avg_pool2d if self.axes == 2 else functional.avg_pool3d
        return pool(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
                    self.divisor_override)  # fmt: skip


class AvgPool2d(_AvgPool):
    """The average of each window of an image: (N, C, H, W) to (N, C, H', W'), sizes as in `MaxPool1d`.

    Padding counts as zeros; without `count_include_pad` it does not count at all. `divisor_override` replaces the
    number of entries. LeCun et al., 1989.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.AvgPool2d(2)(tw.ones(2, 8, 28, 28)).shape
    (2, 8, 14, 14)
    """

    axes = 2


class AvgPool3d(_AvgPool):
    """The average of each window of a volume: (N, C, D, H, W) to (N, C, D', H', W'); settings as in `AvgPool2d`.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.AvgPool3d(2)(tw.ones(2, 8, 4, 6, 6)).shape
    (2, 8, 2, 3, 3)
    """

    axes = 3


class _AdaptivePool(Module):
    """As many windows as are asked for, sharing out each axis: from floor(i L / n) to ceil((i + 1) L / n)."""

    axes: int

    def __init__(self, output_size: OptionalSize) -> None:
        super().__init__()
        for each in output_size if isinstance(output_size, (list, tuple)) else (output_size,):
            if each is not None:
                whole_number(f"{type(self).__name__}: output_size", each)
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptivePool):
    """Averages of `output_size` windows along the last axis: (N, C, L) to (N, C, output_size).

    Window i reaches from floor(i L / n) to ceil((i + 1) L / n).

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.AdaptiveAvgPool1d(2)(tw.tensor([[1.0, 2.0, 3.0]]))
    tensor([[1.5, 2.5]])
    """

    axes = 1

    def forward(self, input: Tensor) -> Tensor:
        return functional.adaptive_avg_pool1d(input, self.output_size)  # type: ignore[arg-type]


class AdaptiveAvgPool2d(_AdaptivePool):
    """Averages of windows that share out both axes: (N, C, H, W) to (N, C, *output_size); None keeps an extent.

    With 1 this is global average pooling: what a classifier sees of each channel, whatever the image's size. Lin, Chen
    and Yan, ICLR 2014.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.AdaptiveAvgPool2d(1)(tw.ones(2, 8, 7, 5)).shape
    (2, 8, 1, 1)
    """

    axes = 2

    def forward(self, input: Tensor) -> Tensor:
        return functional.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptivePool):
    """Averages of windows that share out the axes of volumes: (N, C, D, H, W) to (N, C, *output_size).

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.AdaptiveAvgPool3d((1, None, 2))(tw.ones(2, 8, 4, 6, 6)).shape
    (2, 8, 1, 6, 2)
    """

    axes = 3

    def forward(self, input: Tensor) -> Tensor:
        return functional.adaptive_avg_pool3d(input, self.output_size)


class _AdaptiveMaxPool(_AdaptivePool):
    def __init__(self, output_size: OptionalSize, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        pools: Any = (
            functional.adaptive_max_pool1d, functional.adaptive_max_pool2d, functional.adaptive_max_pool3d
        )  # fmt: skip
        return pools[self.axes - 1](input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest entries of `output_size` windows along the last axis: those of `AdaptiveAvgPool1d`.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.AdaptiveMaxPool1d(2)(tw.tensor([[1.0, 5.0, 3.0, 4.0]]))
    tensor([[5., 4.]])
    """

    axes = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest entries of windows that share out both axes: those of `AdaptiveAvgPool2d`. 1: global max pooling.

    Ties and `return_indices` as in `MaxPool1d`.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.AdaptiveMaxPool2d((3, None))(tw.ones(2, 8, 7, 5)).shape
    (2, 8, 3, 5)
    """

    axes = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest entries of windows that share out the axes of volumes: those of `AdaptiveAvgPool3d`.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.AdaptiveMaxPool3d(2)(tw.ones(2, 8, 4, 6, 6)).shape
    (2, 8, 2, 2, 2)
    """

    axes = 3
