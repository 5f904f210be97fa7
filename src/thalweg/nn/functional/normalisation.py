"""Normalisation as functions: by the batch, by the row, by groups of channels, by each plane.

In: tensors or arrays, the learned scale and shift, and running statistics. Out: tensors. `batch_norm` and
`instance_norm` also write their running statistics, in place and outside the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thalweg.errors import ArgumentError, explain
from thalweg.graph import Node
from thalweg.nn import expressions
from thalweg.nn.applying import apply, operand_node, write
from thalweg.nn.settings import whole_number
from thalweg.tensor import reductions, shaping
from thalweg.tensor.arithmetic import add, multiply, subtract
from thalweg.tensor.core import Tensor
from thalweg.tensor.lifting import as_tensor
from thalweg.tensor.templates import templated


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias, channel by channel (axis 1). Ioffe and Szegedy, ICML 2015.

    In training the statistics are those of the batch (biased variance), and the running ones become
    (1 - momentum) * running + momentum * batch (unbiased variance). Otherwise the running ones are used.

    >>> import thalweg as tw
    >>> batch_norm(tw.tensor([[1.0], [3.0]]), None, None, training=True)
    tensor([[-1.],
            [ 1.]])
    """
    flags: list[bool] = []
    x, scale, shift, mean, variance = _nodes("batch_norm", flags, input, weight, bias, running_mean, running_var)
    assert x is not None
    expressions.check_batch_norm(x, scale, shift, mean, variance, training)
    if training:
        mean_now, variance_now = expressions.batch_statistics(x)
        if running_mean is not None and running_var is not None:
            _update(running_mean, mean_now, momentum)
            _update(running_var, variance_now, momentum, _bessel(x.size // x.shape[1]))
    else:
        mean_now, variance_now = _running("batch_norm", x, mean, variance)
    return Tensor._result(_scaled(x, mean_now, variance_now, scale, shift, eps), bool(flags))


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias with the mean and variance of each channel of each sample.

    Input (N, C, ...) with at least one axis after the channels. Running statistics, where there are any, move by the
    average over the batch; they are what is used with `use_input_stats=False`. Ulyanov et al., 2016.

    >>> import thalweg as tw
    >>> instance_norm(tw.tensor([[[1.0, 3.0], [10.0, 30.0]]]))
    tensor([[[-1.,  1.],
             [-1.,  1.]]])
    """
    flags: list[bool] = []
    x, scale, shift, mean, variance = _nodes("instance_norm", flags, input, weight, bias, running_mean, running_var)
    assert x is not None
    expressions.check_instance_norm(x, scale, shift, mean, variance, use_input_stats)
    if use_input_stats:
        mean_now, variance_now = expressions.plane_statistics(x)
        if running_mean is not None and running_var is not None:
            _update(running_mean, reductions.mean(mean_now, 0), momentum)
            _update(running_var, reductions.mean(variance_now, 0), momentum, _bessel(x.size // mean_now.size))
    else:
        mean_now, variance_now = _running("instance_norm", x, mean, variance)
    return Tensor._result(_scaled(x, mean_now, variance_now, scale, shift, eps), bool(flags))


def _nodes(name: str, flags: list[bool], *operands: Tensor | None) -> list[Node | None]:
    return [None if each is None else operand_node(name, each, flags) for each in operands]


def _running(name: str, x: Node, mean: Node | None, variance: Node | None) -> tuple[Node, Node]:
    if mean is None or variance is None:
        flag = "training=True" if name == "batch_norm" else "use_input_stats=True"
        raise ArgumentError(
            explain(
                f"{name} outside training needs running statistics",
                received="running_mean=None or running_var=None",
                expected=f"both, or {flag}",
            )
        )
    return expressions.along_channels(x, mean), expressions.along_channels(x, variance)


def _scaled(x: Node, mean: Node, variance: Node, scale: Node | None, shift: Node | None, eps: float) -> Node:
    scale, shift = [None if each is None else expressions.along_channels(x, each) for each in (scale, shift)]
    return expressions.normalise(x, mean, variance, scale, shift, eps)


def _bessel(count: int) -> float:
    return count / (count - 1)


def _update(running: Tensor, now: Node, momentum: float | Tensor, factor: float = 1.0) -> None:
    """Written in place; nothing of the batch is kept for a gradient."""
    write(running, _average(running.node, now, momentum.node if isinstance(momentum, Tensor) else momentum, factor))


@templated
def _average(running: Node, now: Node, share: float | Node, factor: float) -> Node:
    """(1 - share) running + share factor now."""
    new = multiply(shaping.reshape(now if factor == 1.0 else multiply(now, factor), running.shape), share)
    return add(multiply(running, subtract(1.0, share) if isinstance(share, Node) else 1.0 - share), new)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias over the last axes, which have `normalized_shape`.

    Ba et al., 2016. Weight and bias have the shape `normalized_shape`; the variance is the biased one.

    >>> import thalweg as tw
    >>> layer_norm(tw.tensor([[1.0, 3.0]]), (2,))
    tensor([[-1.,  1.]])
    """
    return apply(expressions.layer_norm, input, weight, bias, normalized_shape=tuple(normalized_shape), eps=eps)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / sqrt(mean of x^2 + eps) * weight over the last axes, which have `normalized_shape`.

    Zhang and Sennrich, NeurIPS 2019. `weight` has the shape `normalized_shape`; `eps` is by default the distance from 1
    to the next number of the input's dtype.

    >>> import thalweg as tw
    >>> rms_norm(tw.tensor([[1.0, 7.0]]), (2,))
    tensor([[0.2, 1.4]])
    """
    floor = float(np.finfo(as_tensor(input).dtype.numpy).eps) if eps is None else eps
    return apply(expressions.rms_norm, input, weight, normalized_shape=tuple(normalized_shape), eps=floor)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias with the statistics of groups of channels of each sample.

    Input (N, C, ...) with C divisible by `num_groups`; weight and bias (C,). Independent of the batch. Wu and He, 2018.

    >>> import thalweg as tw
    >>> group_norm(tw.tensor([[1.0, 3.0, 10.0, 30.0]]), 2)
    tensor([[-1.,  1., -1.,  1.]])
    """
    whole_number("group_norm: num_groups", num_groups, 1)
    return apply(expressions.group_norm, input, weight, bias, num_groups=num_groups, eps=eps)
