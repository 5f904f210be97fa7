"""Normalisation: entries brought to mean 0 and variance 1, then scaled and shifted by learned numbers.

In: (N, C), (N, C, L), (N, C, H, W) for those that go by channels, any shape for `LayerNorm`. Out: the same shape. Batch
normalisation keeps running statistics in buffers, written in place at every training step and used in evaluation mode.
A layer that takes them over several processes (PyTorch's SyncBatchNorm) has its place here when there are several.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thalweg.dtype import DType, float32
from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.graph import full
from thalweg.nn import init
from thalweg.nn.applying import write
from thalweg.nn.functional import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from thalweg.nn.module import Module
from thalweg.nn.parameter import Parameter
from thalweg.nn.settings import new_parameter, positive, weight_dtype, whole_number, whole_numbers
from thalweg.tensor import shaping
from thalweg.tensor.arithmetic import add, convert, divide
from thalweg.tensor.core import Tensor
from thalweg.tensor.lifting import as_tensor, lift_view

_unsqueeze, _squeeze = lift_view(shaping.unsqueeze), lift_view(shaping.squeeze)


class _ByChannel(Module):
    """What normalisations by channels share: scale and shift of each channel, and perhaps running statistics."""

    ranks: tuple[int, ...]
    shapes: str
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        bias: bool,
        dtype: DType,
    ) -> None:
        super().__init__()
        self.num_features = whole_number(f"{type(self).__name__}: num_features", num_features)
        self.eps = positive(f"{type(self).__name__}: eps", eps)
        self.momentum = momentum if momentum is None else positive(f"{type(self).__name__}: momentum", momentum)
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.register_parameter("weight", new_parameter((num_features,), dtype) if affine else None)
        self.register_parameter("bias", new_parameter((num_features,), dtype) if affine and bias else None)
        self._register_statistics(dtype)
        self.reset_parameters()

    def _register_statistics(self, dtype: DType) -> None:
        tracked = self.track_running_stats
        shape = (self.num_features,)
        self.register_buffer("running_mean", Tensor(np.zeros(shape, dtype.numpy)) if tracked else None)
        self.register_buffer("running_var", Tensor(np.ones(shape, dtype.numpy)) if tracked else None)
        self.register_buffer("num_batches_tracked", Tensor(np.zeros((), np.int64)) if tracked else None)

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batches seen."""
        for buffer, value in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
            if buffer is not None:
                write(buffer, full(buffer.shape, value, buffer.dtype))

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, statistics as at the start."""
        self.reset_running_stats()
        _start(self.weight, self.bias)

    def _check_shape(self, input: Tensor) -> None:
        if hasattr(input, "shape") and len(input.shape) not in self.ranks:
            raise ShapeError(
                explain(f"{type(self).__name__} takes {self.shapes}", received=f"shape {tuple(input.shape)}",
                        expected=self.shapes, remedy="flatten the input, or add the batch axis with unsqueeze(0)")
            )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_ByChannel):
    """Batch normalisation for inputs of certain ranks."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        device: object = None,
        dtype: object = None,
    ) -> None:
        kind = weight_dtype(device, dtype)
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, kind)

    def forward(self, input: Tensor) -> Tensor:
        self._check_shape(input)
        is_tracking = self.training and self.track_running_stats
        momentum = self._count_batch() if is_tracking else 0.0
        uses_batch = self.training or self.running_mean is None
        return batch_norm(
            input,
            self.running_mean if is_tracking or not uses_batch else None,
            self.running_var if is_tracking or not uses_batch else None,
            self.weight, self.bias, uses_batch, momentum, self.eps,
        )  # fmt: skip

    def _count_batch(self) -> float | Tensor:
        """Count this batch; the momentum that is due: without a fixed one, that of the plain average of all batches."""
        count = self.num_batches_tracked
        if count is None:
            return 0.0 if self.momentum is None else self.momentum
        write(count, add(count.node, 1))
        if self.momentum is not None:
            return self.momentum
        dtype = self.running_mean.dtype if self.running_mean is not None else float32
        return Tensor._result(divide(1.0, convert(count.node, dtype)))


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L), channel by channel over the batch (and L).

    y = (x - mean) / sqrt(variance + eps) * weight + bias, in training with the batch's mean and biased variance, in
    evaluation mode with the running ones. Running statistics move by `momentum`; with `momentum=None` they are the
    plain average of all batches. A training batch with one value a channel raises `ShapeError`.

    State: `weight`, `bias` (with `affine`; no bias with `bias=False`), `running_mean`, `running_var` (C,) and
    `num_batches_tracked` (with `track_running_stats`). Ioffe and Szegedy, ICML 2015.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.BatchNorm1d(1)(tw.tensor([[1.0], [3.0]])).detach()
    tensor([[-1.],
            [ 1.]])
    """

    ranks = (2, 3)
    shapes = "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of images (N, C, H, W), channel by channel over the batch and both spatial axes.

    y = (x - mean) / sqrt(variance + eps) * weight + bias; statistics, state and errors as in `BatchNorm1d`. Ioffe and
    Szegedy, ICML 2015.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.BatchNorm2d(1)(tw.tensor([[[[1.0, 3.0]]]])).detach()
    tensor([[[[-1.,  1.]]]])
    """

    ranks = (4,)
    shapes = "(N, C, H, W)"


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of volumes (N, C, D, H, W), channel by channel; statistics and state as in `BatchNorm1d`.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.BatchNorm3d(1)(tw.tensor([[[[[1.0, 3.0]]]]])).detach()
    tensor([[[[[-1.,  1.]]]]])
    """

    ranks = (5,)
    shapes = "(N, C, D, H, W)"


class _InstanceNorm(_ByChannel):
    """Instance normalisation for inputs of certain ranks; the smaller is that of a single sample."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        bias: bool = True,
        device: object = None,
        dtype: object = None,
    ) -> None:
        kind = weight_dtype(device, dtype)
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, kind)

    def forward(self, input: Tensor) -> Tensor:
        self._check_shape(input)
        tensor = as_tensor(input)
        is_single = tensor.ndim == self.ranks[0]
        batch = _unsqueeze(tensor, 0) if is_single else tensor
        if batch.shape[1] != self.num_features:
            raise ShapeError(
                explain(f"{type(self).__name__}: the input has other channels", received=f"shape {tuple(input.shape)}",
                        expected=f"{self.num_features} channels", remedy="set num_features to the input's channels")
            )  # fmt: skip
        uses_input = self.training or not self.track_running_stats
        momentum = 0.0 if self.momentum is None else self.momentum
        result = instance_norm(
            batch, self.running_mean, self.running_var, self.weight, self.bias, uses_input, momentum, self.eps
        )
        return _squeeze(result, 0) if is_single else result


class InstanceNorm1d(_InstanceNorm):
    """Normalisation of every channel of every sample by itself, over the last axis: (N, C, L) or (C, L).

    y = (x - mean) / sqrt(variance + eps) * weight + bias with the biased variance; the same in training and evaluation
    unless `track_running_stats`. State: `weight`, `bias` with `affine`; `running_mean`, `running_var` and
    `num_batches_tracked` with `track_running_stats`. One value a channel raises `ShapeError`. Ulyanov et al., 2016.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.InstanceNorm1d(2)(tw.tensor([[[1.0, 3.0], [10.0, 30.0]]]))
    tensor([[[-1.,  1.],
             [-1.,  1.]]])
    """

    ranks = (2, 3)
    shapes = "(N, C, L) or (C, L)"


class InstanceNorm2d(_InstanceNorm):
    """Normalisation of every plane of every sample by itself: (N, C, H, W) or (C, H, W). See `InstanceNorm1d`.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.InstanceNorm2d(1)(tw.tensor([[[[1.0, 3.0]]]]))
    tensor([[[[-1.,  1.]]]])
    """

    ranks = (3, 4)
    shapes = "(N, C, H, W) or (C, H, W)"


class InstanceNorm3d(_InstanceNorm):
    """Normalisation of every volume of every sample by itself: (N, C, D, H, W) or (C, D, H, W). See `InstanceNorm1d`.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.InstanceNorm3d(1)(tw.tensor([[[[[1.0, 3.0]]]]]))
    tensor([[[[[-1.,  1.]]]]])
    """

    ranks = (4, 5)
    shapes = "(N, C, D, H, W) or (C, D, H, W)"


class GroupNorm(Module):
    """Normalisation of groups of channels of every sample, (N, C, ...): between `LayerNorm` and `InstanceNorm2d`.

    y = (x - mean) / sqrt(variance + eps) * weight + bias with the biased variance of each of `num_groups` groups. What
    a sample gives does not depend on its batch. State: `weight` and `bias` (num_channels,) with `affine` (no bias with
    `bias=False`). Wu and He, ECCV 2018.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.GroupNorm(2, 4)(tw.tensor([[1.0, 3.0, 10.0, 30.0]])).detach()
    tensor([[-1.,  1., -1.,  1.]])
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        bias: bool = True,
        device: object = None,
        dtype: object = None,
    ) -> None:
        super().__init__()
        self.num_groups = whole_number("GroupNorm: num_groups", num_groups, 1)
        self.num_channels = whole_number("GroupNorm: num_channels", num_channels)
        if num_channels % num_groups:
            raise ArgumentError(
                explain("GroupNorm: num_channels must be divisible by num_groups",
                        received=f"{num_channels} channels, {num_groups} groups")
            )  # fmt: skip
        self.eps = positive("GroupNorm: eps", eps)
        self.affine = affine
        kind = weight_dtype(device, dtype)
        self.register_parameter("weight", new_parameter((num_channels,), kind) if affine else None)
        self.register_parameter("bias", new_parameter((num_channels,), kind) if affine and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        _start(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        if hasattr(input, "shape") and (len(input.shape) < 2 or input.shape[1] != self.num_channels):
            raise ShapeError(
                explain("GroupNorm: the input has other channels", received=f"shape {tuple(input.shape)}",
                        expected=f"(N, {self.num_channels}, ...)", remedy="set num_channels to the extent of axis 1")
            )  # fmt: skip
        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LayerNorm(Module):
    """Normalisation of every row by itself, over the last axes, which have `normalized_shape`.

    y = (x - mean) / sqrt(variance + eps) * weight + bias with the biased variance. State: `weight` and `bias` of that
    shape (with `elementwise_affine`; no bias with `bias=False`). Ba et al., 2016.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.LayerNorm(2)(tw.tensor([[1.0, 3.0]])).detach()
    tensor([[-1.,  1.]])
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        device: object = None,
        dtype: object = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = whole_numbers("LayerNorm: normalized_shape", normalized_shape)
        self.eps = positive("LayerNorm: eps", eps)
        self.elementwise_affine = elementwise_affine
        kind = weight_dtype(device, dtype)
        shape = self.normalized_shape
        self.register_parameter("weight", new_parameter(shape, kind) if elementwise_affine else None)
        self.register_parameter("bias", new_parameter(shape, kind) if elementwise_affine and bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        _start(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """x / sqrt(mean of x^2 + eps) * weight over the last axes, which have `normalized_shape`; no mean is subtracted.

    Args:
        normalized_shape: extents of the last axes.
        eps: default None, the distance from 1 to the next number of the input's dtype.
        elementwise_affine: default True, a learned `weight` of that shape, which starts as ones.

    Zhang and Sennrich, NeurIPS 2019.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.RMSNorm(2)(tw.tensor([[1.0, 7.0]])).detach()
    tensor([[0.2, 1.4]])
    """

    weight: Parameter | None

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float | None = None, elementwise_affine: bool = True, *,
        device: object = None, dtype: object = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normalized_shape = whole_numbers("RMSNorm: normalized_shape", normalized_shape)
        self.eps = eps if eps is None else positive("RMSNorm: eps", eps)
        self.elementwise_affine = elementwise_affine
        kind = weight_dtype(device, dtype)
        self.register_parameter("weight", new_parameter(self.normalized_shape, kind) if elementwise_affine else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1."""
        _start(self.weight, None)

    def forward(self, input: Tensor) -> Tensor:
        return rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


def _start(weight: Parameter | None, bias: Parameter | None) -> None:
    if weight is not None:
        init.ones_(weight)
    if bias is not None:
        init.zeros_(bias)
