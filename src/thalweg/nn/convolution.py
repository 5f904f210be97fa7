"""Convolutional layers of one, two and three axes, their transposes, and windows as columns (`Unfold`, `Fold`).

In: (N, C, L), (N, C, H, W) or (N, C, D, H, W), or one sample without the batch axis. Out: the same ranks. Weights have
PyTorch's layout: (out_channels, in_channels / groups, *kernel_size), transposed (in_channels, out_channels / groups,
*kernel_size).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from thalweg.dtype import DType
from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.nn import functional, init
from thalweg.nn.convolution_expressions import check_output_padding
from thalweg.nn.functional.convolution import Size, padding_of
from thalweg.nn.module import Module
from thalweg.nn.parameter import Parameter
from thalweg.nn.settings import new_parameter, per_axis, weight_dtype, whole_number
from thalweg.tensor.core import Tensor, refuse_unknown

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Convolution(Module):
    """What all convolutions share: their settings, their parameters, how these start."""

    axes: int
    is_transposed = False
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: str | Size,
        output_padding: Size,
        dilation: Size,
        groups: int,
        bias: bool,
        padding_mode: str,
        dtype: DType,
    ) -> None:
        super().__init__()
        self.in_channels = whole_number(self._what("in_channels"), in_channels)
        self.out_channels = whole_number(self._what("out_channels"), out_channels)
        self.groups = whole_number(self._what("groups"), groups, 1)
        self.kernel_size = self._per_axis("kernel_size", kernel_size, 1)
        self.stride = self._per_axis("stride", stride, 1)
        self.dilation = self._per_axis("dilation", dilation, 1)
        self.output_padding = self._per_axis("output_padding", output_padding)
        self.padding = padding if isinstance(padding, str) else self._per_axis("padding", padding)
        refuse_unknown(self._what("padding_mode"), PADDING_MODES[:1] if self.is_transposed else PADDING_MODES,
                       padding_mode)  # fmt: skip
        self.padding_mode = padding_mode
        self._check_groups()
        self._start(bias, dtype)

    def _what(self, argument: str) -> str:
        return f"{type(self).__name__}: {argument}"

    def _per_axis(self, argument: str, value: Size, at_least: int = 0) -> tuple[int, ...]:
        return per_axis(self._what(argument), value, self.axes, at_least)

    def _check_groups(self) -> None:
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ArgumentError(
                    explain(f"{self._what(name)} must be divisible by groups",
                            received=f"{name}={getattr(self, name)}, groups={self.groups}")
                )  # fmt: skip

    def _start(self, bias: bool, dtype: Any) -> None:
        outer, inner = self.out_channels, self.in_channels
        if self.is_transposed:
            outer, inner = inner, outer
        self.weight = new_parameter((outer, inner // self.groups, *self.kernel_size), dtype)
        self.register_parameter("bias", new_parameter((self.out_channels,), dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = init.fans(self.weight)[0]
            bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        usual = {"padding": 0, "dilation": 1, "output_padding": 0}
        parts += [f"{name}={getattr(self, name)}" for name, each in usual.items()
                  if getattr(self, name) != (each,) * self.axes]  # fmt: skip
        parts += [f"groups={self.groups}"] * (self.groups != 1) + ["bias=False"] * (self.bias is None)
        return ", ".join(parts + [f"padding_mode={self.padding_mode}"] * (self.padding_mode != "zeros"))


class _Conv(_Convolution):
    """A convolution forwards."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: str | Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        device: object = None,
        dtype: object = None,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, bias,
                         padding_mode, weight_dtype(device, dtype))  # fmt: skip
        padding_of(type(self).__name__, self.padding, self.kernel_size, self.stride, self.dilation)

    def forward(self, input: Tensor) -> Tensor:
        apply = (functional.conv1d, functional.conv2d, functional.conv3d)[self.axes - 1]
        padding: str | Size = self.padding
        if self.padding_mode != "zeros":
            widths = padding_of(type(self).__name__, padding, self.kernel_size, self.stride, self.dilation)
            pairs = [widths[axis : axis + 2] for axis in range(0, len(widths), 2)]
            backwards = tuple(each for pair in reversed(pairs) for each in pair)  # as `pad` counts: last axis first
            input, padding = functional.pad(input, backwards, self.padding_mode), 0
        return apply(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Conv):
    """Windows slid along signals: y[n, o, t] = bias[o] + sum over c, k of weight[o, c, k] x[n, c, t * stride + k].

    In (N, in_channels, L) or (in_channels, L), out (N, out_channels, L') with
    L' = (L + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1. `padding` is a number, "valid" or "same"; what
    stands there is 0, or with `padding_mode` "reflect", "replicate" or "circular" what `F.pad` puts there. With
    `groups`, channels are split and each part has weights of its own.

    State: `weight` (out_channels, in_channels / groups, kernel_size), uniform in ±1/sqrt(fan_in), and `bias`
    (out_channels,) in the same range, or None with `bias=False`. Channels that do not fit raise `ShapeError`.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.Conv1d(2, 8, kernel_size=3, padding="same")(tw.ones(5, 2, 10)).shape
    (5, 8, 10)
    """

    axes = 1


class Conv2d(_Conv):
    """Windows slid over images: every output channel is the weighted sum of what the window sees, plus its bias.

    In (N, in_channels, H, W) or (in_channels, H, W), out (N, out_channels, H', W') with
    H' = (H + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1. Every size is one number, or one an axis.
    `padding` is a number, "valid" or "same" (H' = H, at stride 1); what stands there is 0, or with `padding_mode`
    "reflect", "replicate" or "circular" what `F.pad` puts there. With `groups` the channels are split and each part has
    weights of its own; groups=in_channels is a depthwise convolution.

    State: `weight` (out_channels, in_channels / groups, KH, KW), uniform in ±1/sqrt(fan_in) (He's bound with
    a = sqrt(5), as PyTorch initialises); `bias` (out_channels,) in the same range, or None with `bias=False`. Channels
    that do not fit, and windows larger than the padded image, raise `ShapeError`. LeCun et al., 1989.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.Conv2d(3, 8, kernel_size=3, stride=2, padding=1)(tw.ones(5, 3, 32, 32)).shape
    (5, 8, 16, 16)
    """

    axes = 2


class Conv3d(_Conv):
    """Windows slid over volumes: (N, in_channels, D, H, W) to (N, out_channels, D', H', W'), sizes as in `Conv2d`.

    State: `weight` (out_channels, in_channels / groups, KD, KH, KW) and `bias` (out_channels,), drawn as in `Conv2d`.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.Conv3d(3, 8, kernel_size=3, stride=2, padding=1)(tw.ones(1, 3, 4, 8, 8)).shape
    (1, 8, 2, 4, 4)
    """

    axes = 3


class _ConvTranspose(_Convolution):
    """A convolution backwards."""

    is_transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        *,
        device: object = None,
        dtype: object = None,
    ) -> None:
        if isinstance(padding, str):
            raise ArgumentError(
                explain(f"{type(self).__name__}: padding is a number here", received=repr(padding),
                        expected="an integer, or one an axis")
            )  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, output_padding, dilation, groups,
                         bias, padding_mode, weight_dtype(device, dtype))  # fmt: skip
        check_output_padding(type(self).__name__, self.output_padding, self.stride, self.dilation)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        transposed = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)
        apply = transposed[self.axes - 1]
        more = self.output_padding if output_size is None else self._padding_for(input, tuple(output_size))
        assert not isinstance(self.padding, str)
        return apply(input, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation)

    def _padding_for(self, input: Tensor, size: tuple[int, ...]) -> tuple[int, ...]:
        """The output padding that gives this size, of the stride's many sizes that shrink to the input's."""
        assert not isinstance(self.padding, str)
        settings = zip(tuple(input.shape)[-self.axes :], self.stride, self.padding, self.dilation, self.kernel_size,
                       strict=True)  # fmt: skip
        least = tuple(
            (extent - 1) * step - 2 * edge + gap * (kernel - 1) + 1 for extent, step, edge, gap, kernel in settings
        )
        more = tuple(each - low for each, low in zip(size[-self.axes :], least, strict=False))
        fits = all(0 <= each < step for each, step in zip(more, self.stride, strict=False))
        if len(size) not in (self.axes, len(input.shape)) or not fits:
            most = tuple(low + step - 1 for low, step in zip(least, self.stride, strict=True))
            raise ShapeError(
                explain(f"{type(self).__name__}: no input of this shape comes from that output_size", received=size,
                        expected=f"from {least} to {most}")
            )  # fmt: skip
        return more


class ConvTranspose1d(_ConvTranspose):
    """The transpose of `Conv1d` as a linear map; with a stride it lengthens signals.

    In (N, in_channels, L), out (N, out_channels, L') with
    L' = (L - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1. `forward(x, output_size)` chooses
    the output padding that gives this size.

    State: `weight` (in_channels, out_channels / groups, kernel_size) and `bias` (out_channels,), uniform in
    ±1/sqrt(fan_in) with PyTorch's fan_in, out_channels / groups * kernel_size.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.ConvTranspose1d(8, 2, kernel_size=4, stride=2, padding=1)(tw.ones(5, 8, 10)).shape
    (5, 2, 20)
    """

    axes = 1


class ConvTranspose2d(_ConvTranspose):
    """The transpose of `Conv2d` as a linear map; with a stride it enlarges images.

    In (N, in_channels, H, W), out (N, out_channels, H', W') with extents as in `ConvTranspose1d`.
    `forward(x, output_size)` chooses the output padding that gives this size. A size that a stride cannot give raises
    `ShapeError`. Dumoulin and Visin, 2016.

    State: `weight` (in_channels, out_channels / groups, KH, KW) and `bias` (out_channels,), as in `ConvTranspose1d`.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> enlarge = nn.ConvTranspose2d(8, 4, kernel_size=3, stride=2, padding=1)
    >>> enlarge(tw.ones(5, 8, 16, 16)).shape, enlarge(tw.ones(5, 8, 16, 16), output_size=(32, 32)).shape
    ((5, 4, 31, 31), (5, 4, 32, 32))
    """

    axes = 2


class ConvTranspose3d(_ConvTranspose):
    """The transpose of `Conv3d` as a linear map; with a stride it enlarges volumes.

    In (N, in_channels, D, H, W), out (N, out_channels, D', H', W') with extents as in `ConvTranspose1d`. State:
    `weight` (in_channels, out_channels / groups, KD, KH, KW) and `bias` (out_channels,), as there.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.ConvTranspose3d(8, 4, kernel_size=2, stride=2)(tw.ones(1, 8, 2, 3, 3)).shape
    (1, 4, 4, 6, 6)
    """

    axes = 3


class Unfold(Module):
    """What a window sees at each of its places, one column a place: (N, C, H, W) to (N, C * KH * KW, places).

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.Unfold(3, padding=1)(tw.ones(2, 4, 5, 5)).shape
    (2, 36, 25)
    """

    def __init__(self, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> None:
        super().__init__()
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride
        for name, at_least in (("kernel_size", 1), ("dilation", 1), ("padding", 0), ("stride", 1)):
            per_axis(f"{type(self).__name__}: {name}", getattr(self, name), 2, at_least)

    def forward(self, input: Tensor) -> Tensor:
        return functional.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Unfold):
    """Columns of windows (N, C * KH * KW, places) added up where they overlap, to (N, C, *output_size).

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.Fold(5, 3, padding=1)(tw.ones(2, 36, 25)).shape
    (2, 4, 5, 5)
    """

    def __init__(
        self, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size
        per_axis("Fold: output_size", output_size, 2, 1)

    def forward(self, input: Tensor) -> Tensor:
        return functional.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {super().extra_repr()}"
