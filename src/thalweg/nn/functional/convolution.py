"""Convolutions, transposed convolutions, and windows as columns, as functions of the input and the weights.

In: tensors or arrays (N, C, L), (N, C, H, W) or (N, C, D, H, W), or one sample without the batch axis. Out: tensors.
One integer stands for the same along every spatial axis.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.errors import ArgumentError, explain
from thalweg.nn import convolution_expressions as expressions
from thalweg.nn.applying import apply
from thalweg.nn.settings import per_axis, whole_number
from thalweg.tensor.core import Tensor, refuse_unknown

Size = int | Sequence[int]


def padding_of(
    name: str, padding: str | Size, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...]:
    """(low, high) of each axis in a row; "same" keeps the extents, with the odd entry at the high end."""
    axes = len(kernel)
    if not isinstance(padding, str):
        return tuple(each for edge in per_axis(f"{name}: padding", padding, axes) for each in (edge, edge))
    refuse_unknown(f"{name}: padding", ("valid", "same"), padding)
    if padding == "valid":
        return (0, 0) * axes
    if any(each != 1 for each in stride):
        raise ArgumentError(
            explain(
                f'{name}: padding="same" keeps the extents, which a stride does not',
                received=f"stride {stride}",
                expected="stride 1",
                remedy="give the padding as a number, for example kernel_size // 2",
            )
        )
    totals = [gap * (extent - 1) for gap, extent in zip(dilation, kernel, strict=True)]
    return tuple(each for total in totals for each in (total // 2, total - total // 2))


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: str | Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """y[n, o, t] = bias[o] + sum over c, k of weight[o, c, k] x[n, c, t * stride - padding + k * dilation].

    Shapes: input (N, C, L) or (C, L), weight (O, C / groups, K), bias (O,), result (N, O, L') with
    L' = (L + 2 padding - dilation (K - 1) - 1) // stride + 1. `padding` is a number, "valid" (none) or "same" (L' = L,
    at stride 1). A window larger than the padded input, or channels that do not fit, raise `ShapeError`.

    >>> import thalweg as tw
    >>> conv1d(tw.tensor([[[1.0, 2.0, 3.0]]]), tw.tensor([[[1.0, -1.0]]]))
    tensor([[[-1., -1.]]])
    """
    return _convolution(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: str | Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Slide windows over images: the sum over c, i, j of weight[o, c, i, j] times what the window sees, plus bias[o].

    Shapes: input (N, C, H, W) or (C, H, W), weight (O, C / groups, KH, KW), bias (O,), result (N, O, H', W'), each
    extent (H + 2 padding - dilation (KH - 1) - 1) // stride + 1. The arguments are those of `conv1d`, one number or one
    an axis. LeCun et al., Neural Computation, 1989; PyTorch's `conv2d`.

    >>> import thalweg as tw
    >>> conv2d(tw.ones(1, 1, 3, 3), tw.ones(1, 1, 2, 2), padding="same")
    tensor([[[[4., 4., 2.],
              [4., 4., 2.],
              [2., 2., 1.]]]])
    """
    return _convolution(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: str | Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Slide windows over volumes: `conv2d` with one axis more.

    Shapes: input (N, C, D, H, W) or (C, D, H, W), weight (O, C / groups, KD, KH, KW), bias (O,), result
    (N, O, D', H', W'). The arguments are those of `conv1d`, one number or one an axis.

    >>> import thalweg as tw
    >>> conv3d(tw.ones(1, 1, 2, 2, 3), tw.ones(1, 1, 2, 2, 2))
    tensor([[[[[8., 8.]]]]])
    """
    return _convolution(3, input, weight, bias, stride, padding, dilation, groups)


def _convolution(
    axes: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Size, padding: str | Size, dilation: Size,
    groups: int,
) -> Tensor:  # fmt: skip
    name = f"conv{axes}d"
    steps, gaps = (per_axis(f"{name}: {what}", each, axes, 1) for what, each in _named(stride, dilation))
    kernel = tuple(getattr(weight, "shape", ())[2:])
    edges = padding_of(name, padding, kernel if len(kernel) == axes else (1,) * axes, steps, gaps)
    whole_number(f"{name}: groups", groups, 1)
    return apply(
        expressions.convolution, input, weight, bias, stride=steps, padding=edges, dilation=gaps, groups=groups
    )


def _named(stride: Size, dilation: Size) -> tuple[tuple[str, Size], tuple[str, Size]]:
    return ("stride", stride), ("dilation", dilation)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """The transpose of `conv1d`, as a linear map: every input entry adds the weight to the window it stands for.

    Shapes: input (N, C, L), weight (C, O / groups, K), bias (O,), result (N, O, L') with
    L' = (L - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1.

    >>> import thalweg as tw
    >>> conv_transpose1d(tw.tensor([[[1.0, 2.0]]]), tw.tensor([[[1.0, 10.0]]]), stride=2)
    tensor([[[ 1., 10.,  2., 20.]]])
    """
    return _transposed(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """The transpose of `conv2d`: what its gradient by the input computes; with a stride it enlarges images.

    Shapes: input (N, C, H, W), weight (C, O / groups, KH, KW), bias (O,), result (N, O, H', W') with extents as in
    `conv_transpose1d`. Dumoulin and Visin, 2016.

    >>> import thalweg as tw
    >>> conv_transpose2d(tw.ones(1, 1, 2, 2), tw.ones(1, 1, 2, 2), stride=1)
    tensor([[[[1., 2., 1.],
              [2., 4., 2.],
              [1., 2., 1.]]]])
    """
    return _transposed(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """The transpose of `conv3d`; with a stride it enlarges volumes.

    Shapes: input (N, C, D, H, W), weight (C, O / groups, KD, KH, KW), bias (O,), extents as in `conv_transpose1d`.

    >>> import thalweg as tw
    >>> conv_transpose3d(tw.ones(1, 1, 1, 1, 2), tw.ones(1, 1, 1, 1, 2))
    tensor([[[[[1., 2., 1.]]]]])
    """
    return _transposed(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


def _transposed(
    axes: int, input: Tensor, weight: Tensor, bias: Tensor | None, stride: Size, padding: Size, output_padding: Size,
    groups: int, dilation: Size,
) -> Tensor:  # fmt: skip
    name = f"conv_transpose{axes}d"
    steps, gaps = (per_axis(f"{name}: {what}", each, axes, 1) for what, each in _named(stride, dilation))
    return apply(
        expressions.transposed_convolution, input, weight, bias, stride=steps, dilation=gaps,
        padding=per_axis(f"{name}: padding", padding, axes),
        output_padding=per_axis(f"{name}: output_padding", output_padding, axes),
        groups=whole_number(f"{name}: groups", groups, 1),
    )  # fmt: skip


def unfold(input: Tensor, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> Tensor:
    """What a window sees at each of its places, one column a place: (N, C, H, W) to (N, C * KH * KW, places).

    >>> import thalweg as tw
    >>> unfold(tw.tensor([[[[1.0, 2.0, 3.0]]]]), (1, 2))
    tensor([[[1., 2.],
             [2., 3.]]])
    """
    return apply(expressions.unfold, input, **_window("unfold", kernel_size, dilation, padding, stride))


def fold(
    input: Tensor, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Tensor:
    """Columns of windows (N, C * KH * KW, places) added up where they overlap, to (N, C, *output_size).

    The transpose of `unfold`, and so its gradient.

    >>> import thalweg as tw
    >>> fold(tw.tensor([[[1.0, 2.0], [2.0, 3.0]]]), (1, 3), (1, 2))
    tensor([[[[1., 4., 3.]]]])
    """
    options = _window("fold", kernel_size, dilation, padding, stride)
    return apply(expressions.fold, input, output_size=per_axis("fold: output_size", output_size, 2, 1), **options)


def _window(name: str, kernel: Size, dilation: Size, padding: Size, stride: Size) -> dict[str, tuple[int, ...]]:
    return {
        "kernel": per_axis(f"{name}: kernel_size", kernel, 2, 1),
        "dilation": per_axis(f"{name}: dilation", dilation, 2, 1),
        "padding": per_axis(f"{name}: padding", padding, 2),
        "stride": per_axis(f"{name}: stride", stride, 2, 1),
    }
