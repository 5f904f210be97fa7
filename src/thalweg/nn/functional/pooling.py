"""Pooling: what a window shows, reduced to its largest entry or its average.

In: tensors or arrays (N, C, L), (N, C, H, W) or (N, C, D, H, W), or one sample without the batch axis. Out: tensors
of the same rank; with `return_indices` also the positions, int64, in the flattened plane of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thalweg.errors import ArgumentError, explain
from thalweg.nn import pooling_expressions as expressions
from thalweg.nn.applying import apply, operand_node
from thalweg.nn.settings import per_axis, whole_number
from thalweg.tensor.core import Tensor
from thalweg.tensor.lifting import wrap
from thalweg.tensor.templates import instantiate

Size = int | Sequence[int]
OptionalSize = int | None | Sequence[int | None]


def max_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest entry of each window along the last axis.

    Shapes: input (N, C, L) or (C, L), result with L' = (L + 2 padding - dilation (kernel_size - 1) - 1) / stride + 1,
    rounded down, or up with `ceil_mode`. The stride is the kernel size unless it is said. Padding counts as -inf. Of
    entries that tie the first gets the whole gradient; NaN is the largest: both as in PyTorch.

    >>> import thalweg as tw
    >>> max_pool1d(tw.tensor([[1.0, 3.0, 2.0, 2.0, 0.0]]), 2)
    tensor([[3., 2.]])
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest entry of each window of an image; sizes and ties as in `max_pool1d`. Ranzato et al., CVPR 2007.

    >>> import thalweg as tw
    >>> max_pool2d(tw.arange(16.0).reshape(1, 4, 4), 2)
    tensor([[[ 5.,  7.],
             [13., 15.]]])
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest entry of each window of a volume (N, C, D, H, W); sizes and ties as in `max_pool1d`.

    >>> import thalweg as tw
    >>> max_pool3d(tw.arange(16.0).reshape(1, 2, 2, 4), 2)
    tensor([[[[13., 15.]]]])
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _max_pool(
    axes: int, input: Tensor, kernel_size: Size, stride: Size | None, padding: Size, dilation: Size, ceil_mode: bool,
    return_indices: bool,
) -> Any:  # fmt: skip
    name = f"max_pool{axes}d"
    options = {**_window(name, axes, kernel_size, stride, padding), "ceil_mode": bool(ceil_mode)}
    options["dilation"] = per_axis(f"{name}: dilation", dilation, axes, 1)
    if return_indices:
        return with_indices(expressions.max_pool_with_indices, input, **options)
    return apply(expressions.max_pool, input, **options)


def with_indices(function: Any, *operands: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """Of an expression that gives entries and their positions, both as tensors."""
    flags: list[bool] = []
    nodes = [operand_node(function.__name__, each, flags) for each in operands]
    return wrap(instantiate(function, nodes, options), bool(flags))  # type: ignore[no-any-return]


def _window(name: str, axes: int, kernel: Size, stride: Size | None, padding: Size) -> dict[str, Any]:
    size = per_axis(f"{name}: kernel_size", kernel, axes, 1)
    return {
        "kernel": size,
        "stride": size if stride is None else per_axis(f"{name}: stride", stride, axes, 1),
        "padding": per_axis(f"{name}: padding", padding, axes),
    }


def avg_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The average of each window along the last axis; sizes as in `max_pool1d`.

    Padding counts as zeros; without `count_include_pad` it does not count at all.

    >>> import thalweg as tw
    >>> avg_pool1d(tw.tensor([[1.0, 3.0, 2.0, 2.0]]), 2)
    tensor([[2., 2.]])
    """
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The average of each window of an image; `divisor_override` replaces the number of entries. LeCun et al., 1989.

    >>> import thalweg as tw
    >>> avg_pool2d(tw.arange(16.0).reshape(1, 4, 4), 2)
    tensor([[[ 2.5,  4.5],
             [10.5, 12.5]]])
    """
    return _avg_pool(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The average of each window of a volume (N, C, D, H, W); arguments as in `avg_pool2d`.

    >>> import thalweg as tw
    >>> avg_pool3d(tw.arange(16.0).reshape(1, 2, 2, 4), 2)
    tensor([[[[6.5, 8.5]]]])
    """
    return _avg_pool(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _avg_pool(
    axes: int, input: Tensor, kernel_size: Size, stride: Size | None, padding: Size, ceil_mode: bool,
    count_include_pad: bool, divisor_override: int | None,
) -> Tensor:  # fmt: skip
    if divisor_override is not None:
        whole_number(f"avg_pool{axes}d: divisor_override", divisor_override, 1)
    options = _window(f"avg_pool{axes}d", axes, kernel_size, stride, padding)
    return apply(expressions.avg_pool, input, **options, ceil_mode=bool(ceil_mode),
                 count_include_pad=bool(count_include_pad), divisor_override=divisor_override)  # fmt: skip


def adaptive_avg_pool1d(input: Tensor, output_size: Size) -> Tensor:
    """Averages of `output_size` windows that share out the last axis: from floor(i L / n) to ceil((i + 1) L / n).

    >>> import thalweg as tw
    >>> adaptive_avg_pool1d(tw.tensor([[1.0, 2.0, 3.0]]), 2)
    tensor([[1.5, 2.5]])
    """
    return apply(expressions.adaptive_avg_pool, input, sizes=_sizes("adaptive_avg_pool1d", 1, input, output_size))


def adaptive_avg_pool2d(input: Tensor, output_size: OptionalSize) -> Tensor:
    """Averages of windows that share out both spatial axes; None keeps an extent. 1: the average of each channel.

    Global average pooling: Lin, Chen and Yan, "Network in network", ICLR 2014.

    >>> import thalweg as tw
    >>> adaptive_avg_pool2d(tw.arange(16.0).reshape(1, 4, 4), 1)
    tensor([[[7.5]]])
    """
    return apply(expressions.adaptive_avg_pool, input, sizes=_sizes("adaptive_avg_pool2d", 2, input, output_size))


def adaptive_avg_pool3d(input: Tensor, output_size: OptionalSize) -> Tensor:
    """Averages of windows that share out the three spatial axes of (N, C, D, H, W); None keeps an extent.

    >>> import thalweg as tw
    >>> adaptive_avg_pool3d(tw.arange(16.0).reshape(1, 2, 2, 4), (1, 1, 2))
    tensor([[[[6.5, 8.5]]]])
    """
    return apply(expressions.adaptive_avg_pool, input, sizes=_sizes("adaptive_avg_pool3d", 3, input, output_size))


def adaptive_max_pool1d(input: Tensor, output_size: Size, return_indices: bool = False) -> Any:
    """The largest entries of the windows of `adaptive_avg_pool1d`; ties as in `max_pool1d`.

    >>> import thalweg as tw
    >>> adaptive_max_pool1d(tw.tensor([[1.0, 5.0, 3.0, 4.0]]), 2)
    tensor([[5., 4.]])
    """
    return _adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: OptionalSize, return_indices: bool = False) -> Any:
    """The largest entries of the windows of `adaptive_avg_pool2d`; ties as in `max_pool1d`.

    >>> import thalweg as tw
    >>> adaptive_max_pool2d(tw.arange(16.0).reshape(1, 4, 4), (None, 1))
    tensor([[[ 3.],
             [ 7.],
             [11.],
             [15.]]])
    """
    return _adaptive_max_pool(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: OptionalSize, return_indices: bool = False) -> Any:
    """The largest entries of the windows of `adaptive_avg_pool3d`; ties as in `max_pool1d`.

    >>> import thalweg as tw
    >>> adaptive_max_pool3d(tw.arange(16.0).reshape(1, 2, 2, 4), 1)
    tensor([[[[15.]]]])
    """
    return _adaptive_max_pool(3, input, output_size, return_indices)


def _adaptive_max_pool(axes: int, input: Tensor, output_size: OptionalSize, return_indices: bool) -> Any:
    sizes = _sizes(f"adaptive_max_pool{axes}d", axes, input, output_size)
    if return_indices:
        return with_indices(expressions.adaptive_max_pool_with_indices, input, sizes=sizes)
    return apply(expressions.adaptive_max_pool, input, sizes=sizes)


def _sizes(name: str, axes: int, input: Tensor, output_size: OptionalSize) -> tuple[int, ...]:
    """The size along each axis, the input's own where None stands."""
    given: tuple[Any, ...] = tuple(output_size) if isinstance(output_size, (list, tuple)) else (output_size,) * axes
    own = tuple(getattr(input, "shape", ()))[-axes:]
    if len(given) != axes:
        raise ArgumentError(
            explain(f"{name}: output_size needs one number an axis", received=repr(output_size),
                    expected=f"an integer, or {axes} of them; None keeps an extent")
        )  # fmt: skip
    kept = own if len(own) == axes else (1,) * axes
    return tuple(
        each if size is None else whole_number(f"{name}: output_size", size)
        for size, each in zip(given, kept, strict=True)
    )
