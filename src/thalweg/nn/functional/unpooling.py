"""The rarer poolings: powers, unpooling, windows at random places; norms over near channels, and channels dealt out.

In: tensors or arrays (N, C, *S), or one sample without the batch axis. Out: tensors of the same rank, and positions
(int64, in the flattened plane) where a name says `with_indices`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.nn import unpooling_expressions as expressions
from thalweg.nn.applying import apply
from thalweg.nn.functional import pooling
from thalweg.nn.functional.pooling import OptionalSize, Size, with_indices
from thalweg.nn.settings import per_axis, whole_number
from thalweg.tensor.core import Tensor
from thalweg.tensor.lifting import as_tensor
from thalweg.tensor.random import rand


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum of x^p over each window)^(1/p) along the last axis; p = 1 is a sum, large p come near the largest entry.

    >>> import thalweg as tw
    >>> lp_pool1d(tw.tensor([[3.0, 4.0, 6.0, 8.0]]), 2, 2)
    tensor([[ 5., 10.]])
    """
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum of x^p over each window of an image)^(1/p).

    >>> import thalweg as tw
    >>> lp_pool2d(tw.ones(1, 2, 2), 2, 2)
    tensor([[[2.]]])
    """
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum of x^p over each window of a volume)^(1/p).

    >>> import thalweg as tw
    >>> lp_pool3d(tw.ones(1, 1, 2, 2), 2, (1, 2, 2))
    tensor([[[[2.]]]])
    """
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def _lp_pool(
    axes: int, input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None, ceil_mode: bool
) -> Tensor:
    name = f"lp_pool{axes}d"
    if norm_type == 0:
        raise ArgumentError(explain(f"{name} takes the root of order norm_type", received=0, expected="not 0"))
    kernel = per_axis(f"{name}: kernel_size", kernel_size, axes, 1)
    steps = kernel if stride is None else per_axis(f"{name}: stride", stride, axes, 1)
    return apply(expressions.lp_pool, input, p=float(norm_type), kernel=kernel, stride=steps, ceil_mode=bool(ceil_mode))


# --- unpooling -------------------------------------------------------------------------------------------------------


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The inverse of `max_pool1d` as far as there is one: zeros, with each largest entry back at its place.

    The result has extent (L - 1) stride - 2 padding + kernel_size, or that of `output_size`. A position outside raises
    `IndexRangeError`. Zeiler and Fergus, ECCV 2014.

    >>> import thalweg as tw
    >>> values, places = max_pool1d_with_indices(tw.tensor([[1.0, 3.0, 4.0, 2.0]]), 2)
    >>> max_unpool1d(values, places, 2)
    tensor([[0., 3., 4., 0.]])
    """
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The inverse of `max_pool2d` as far as there is one; see `max_unpool1d`.

    >>> import thalweg as tw
    >>> max_unpool2d(tw.tensor([[[7.0]]]), tw.tensor([[[2]]]), 2)
    tensor([[[0., 0.],
             [7., 0.]]])
    """
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The inverse of `max_pool3d` as far as there is one; see `max_unpool1d`.

    >>> import thalweg as tw
    >>> max_unpool3d(tw.tensor([[[[7.0]]]]), tw.tensor([[[[1]]]]), (1, 1, 2))
    tensor([[[[0., 7.]]]])
    """
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


def _max_unpool(
    axes: int, input: Tensor, indices: Tensor, kernel_size: Size, stride: Size | None, padding: Size,
    output_size: Sequence[int] | None,
) -> Tensor:  # fmt: skip
    name = f"max_unpool{axes}d"
    kernel = per_axis(f"{name}: kernel_size", kernel_size, axes, 1)
    steps = kernel if stride is None else per_axis(f"{name}: stride", stride, axes, 1)
    extents = _space(name, input, axes)
    edges = per_axis(f"{name}: padding", padding, axes)
    wanted = None if output_size is None else tuple(output_size)
    return apply(
        expressions.max_unpool, input, indices,
        size=expressions.unpooled_size(name, extents, kernel, steps, edges, wanted),
    )  # fmt: skip


def _space(name: str, input: Tensor, axes: int) -> tuple[int, ...]:
    shape = as_tensor(input).shape
    if len(shape) not in (axes + 1, axes + 2):
        raise ShapeError(explain(f"{name} takes channels and {axes} spatial axes", received=f"shape {shape}",
                                 expected=f"{axes + 1} axes, or {axes + 2} with a batch"))  # fmt: skip
    return shape[-axes:]


# --- windows at random places ----------------------------------------------------------------------------------------


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Size,
    output_size: Size | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """The largest entries of windows at random places, as many as `output_size` or `output_ratio` say. Graham, 2014.

    Places come from the default generator, one number for each plane and axis; `_random_samples` (N, C, 2) gives them,
    uniform in [0, 1), that of the last axis first.

    >>> import thalweg as tw
    >>> fractional_max_pool2d(tw.ones(1, 1, 9, 9), 2, output_ratio=0.6).shape
    (1, 1, 5, 5)
    """
    return _fractional(2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Size,
    output_size: Size | None = None,
    output_ratio: float | Sequence[float] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """`fractional_max_pool2d` for volumes (N, C, D, H, W).

    >>> import thalweg as tw
    >>> fractional_max_pool3d(tw.ones(1, 1, 5, 5, 5), 2, output_size=3).shape
    (1, 1, 3, 3, 3)
    """
    return _fractional(3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def _fractional(
    axes: int, input: Tensor, kernel_size: Size, output_size: Size | None, output_ratio: float | Sequence[float] | None,
    return_indices: bool, samples: Tensor | None,
) -> Any:  # fmt: skip
    name = f"fractional_max_pool{axes}d"
    extents = _space(name, input, axes)
    if (output_size is None) == (output_ratio is None):
        raise ArgumentError(explain(f"{name}: output_size or output_ratio, one of them",
                                    received=f"{output_size} and {output_ratio}"))  # fmt: skip
    if output_size is not None:
        sizes = per_axis(f"{name}: output_size", output_size, axes, 1)
    else:
        sizes = _sizes_by_ratio(name, extents, output_ratio)
    tensor = as_tensor(input)
    leading = (1, *tensor.shape[:1]) if tensor.ndim == axes + 1 else tensor.shape[:2]
    drawn = rand(*leading, axes, dtype=tensor.dtype) if samples is None else as_tensor(samples)
    if len(drawn.shape) == 3 and drawn.shape[0] > leading[0]:
        drawn = drawn[: leading[0]]  # of one sample the first, as in PyTorch
    kernel = per_axis(f"{name}: kernel_size", kernel_size, axes, 1)
    values, places = with_indices(expressions.fractional_max_pool, input, drawn, kernel=kernel, sizes=sizes)
    return (values, places) if return_indices else values


def _sizes_by_ratio(name: str, extents: tuple[int, ...], ratio: Any) -> tuple[int, ...]:
    ratios = tuple(ratio) if isinstance(ratio, (list, tuple)) else (ratio,) * len(extents)
    if len(ratios) != len(extents) or not all(isinstance(each, float) and 0 < each < 1 for each in ratios):
        raise ArgumentError(explain(f"{name}: output_ratio", received=repr(ratio),
                                    expected=f"a number between 0 and 1, or {len(extents)} of them"))  # fmt: skip
    return tuple(int(extent * each) for extent, each in zip(extents, ratios, strict=True))


# --- positions too ---------------------------------------------------------------------------------------------------


def max_pool1d_with_indices(
    input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """`max_pool1d(..., return_indices=True)`."""
    return pooling.max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d_with_indices(
    input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """`max_pool2d(..., return_indices=True)`."""
    return pooling.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool3d_with_indices(
    input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """`max_pool3d(..., return_indices=True)`."""
    return pooling.max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def adaptive_max_pool1d_with_indices(input: Tensor, output_size: Size, return_indices: bool = False) -> Any:
    """`adaptive_max_pool1d(..., return_indices=True)`."""
    return pooling.adaptive_max_pool1d(input, output_size, True)


def adaptive_max_pool2d_with_indices(input: Tensor, output_size: OptionalSize, return_indices: bool = False) -> Any:
    """`adaptive_max_pool2d(..., return_indices=True)`."""
    return pooling.adaptive_max_pool2d(input, output_size, True)


def adaptive_max_pool3d_with_indices(input: Tensor, output_size: OptionalSize, return_indices: bool = False) -> Any:
    """`adaptive_max_pool3d(..., return_indices=True)`."""
    return pooling.adaptive_max_pool3d(input, output_size, True)


def fractional_max_pool2d_with_indices(
    input: Tensor, kernel_size: Size, output_size: Size | None = None,
    output_ratio: float | Sequence[float] | None = None, return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:  # fmt: skip
    """`fractional_max_pool2d(..., return_indices=True)`."""
    return fractional_max_pool2d(input, kernel_size, output_size, output_ratio, True, _random_samples)


def fractional_max_pool3d_with_indices(
    input: Tensor, kernel_size: Size, output_size: Size | None = None,
    output_ratio: float | Sequence[float] | None = None, return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:  # fmt: skip
    """`fractional_max_pool3d(..., return_indices=True)`."""
    return fractional_max_pool3d(input, kernel_size, output_size, output_ratio, True, _random_samples)


# --- channels --------------------------------------------------------------------------------------------------------


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha * mean of x^2 over `size` near channels)^beta. Krizhevsky et al., NeurIPS 2012 (AlexNet).

    >>> import thalweg as tw
    >>> local_response_norm(tw.tensor([[[2.0], [0.0]]]), 2, alpha=1.0, beta=1.0)
    tensor([[[0.6667],
             [0.    ]]])
    """
    whole_number("local_response_norm: size", size, 1)
    return apply(expressions.local_response_norm, input, size=size, alpha=alpha, beta=beta, k=k)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """The channels of `groups` groups dealt out in turns. Zhang et al., CVPR 2018 (ShuffleNet).

    >>> import thalweg as tw
    >>> channel_shuffle(tw.arange(4.0).reshape(1, 4, 1), 2).flatten()
    tensor([0., 2., 1., 3.])
    """
    return apply(expressions.channel_shuffle, input, groups=whole_number("channel_shuffle: groups", groups, 1))


native_channel_shuffle = channel_shuffle
