"""What the layers compute, as functions of the input and the weights.

In: tensors or arrays. Out: tensors. `batch_norm` also writes its running statistics, in place and outside the gradient;
`dropout` draws from the default random generator.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.errors import ArgumentError, explain
from thalweg.graph import Node
from thalweg.nn import expressions
from thalweg.nn.applying import apply, apply_activation, operand_node, write
from thalweg.tensor import shaping
from thalweg.tensor.arithmetic import add, multiply, subtract
from thalweg.tensor.core import Tensor, refuse_unknown
from thalweg.tensor.lifting import as_tensor
from thalweg.tensor.templates import templated


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b.

    Shapes: input (*, in_features), weight (out_features, in_features), bias (out_features,), result (*, out_features).
    The input must have the dtype of the weight.

    >>> import thalweg as tw
    >>> linear(tw.ones(1, 2), tw.tensor([[1.0, 2.0]]), tw.tensor([0.5]))
    tensor([[3.5]])
    """
    return apply(expressions.linear, input, weight, bias)


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """The rows of `weight` (num_embeddings, embedding_dim) at the integers `input` (*): (*, embedding_dim).

    The row `padding_idx` gets no gradient. An index out of range raises `IndexRangeError` when values are computed.

    >>> import thalweg as tw
    >>> embedding(tw.tensor([1, 0]), tw.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[3., 4.],
            [1., 2.]])
    """
    if padding_idx is not None:
        rows = weight.shape[0]
        if not -rows <= padding_idx < rows:
            raise ArgumentError(
                explain("embedding: padding_idx is no row", received=padding_idx, expected=f"{-rows} <= it < {rows}")
            )
        padding_idx %= rows
    return apply(expressions.embedding, input, weight, padding_idx=padding_idx)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each entry set to 0 with probability p and otherwise divided by 1 - p; the input itself when not training.

    Srivastava et al., JMLR 2014. The mask comes from the default generator (`tw.manual_seed`).

    >>> import thalweg as tw
    >>> dropout(tw.ones(3), p=0.5, training=False)
    tensor([1., 1., 1.])
    """
    expressions.need_probability("dropout", p)
    if not training or p == 0:
        return as_tensor(input)
    return apply_activation(expressions.dropout, input, inplace, p=p)


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
    operands = (input, weight, bias, running_mean, running_var)
    x, scale, shift, mean, variance = [
        None if each is None else operand_node("batch_norm", each, flags) for each in operands
    ]
    assert x is not None
    expressions.check_batch_norm(x, scale, shift, mean, variance, training)
    if training:
        mean_now, variance_now = expressions.batch_statistics(x)
        if running_mean is not None and running_var is not None:
            _update(running_mean, mean_now, momentum)
            _update(running_var, variance_now, momentum, _bessel(x))
    elif mean is None or variance is None:
        raise ArgumentError(
            explain(
                "batch_norm outside training needs running statistics",
                received="running_mean=None or running_var=None",
                expected="both, or training=True",
            )
        )
    else:
        mean_now, variance_now = expressions.along_channels(x, mean), expressions.along_channels(x, variance)
    scale, shift = [None if each is None else expressions.along_channels(x, each) for each in (scale, shift)]
    return Tensor._result(expressions.normalise(x, mean_now, variance_now, scale, shift, eps), bool(flags))


def _bessel(x: Node) -> float:
    count: int = x.size // x.shape[1]
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


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """A row of zeros with a 1 at the label, int64: (*) becomes (*, num_classes).

    With the default the number of classes is the largest label plus 1, which needs known values: say it in a step that
    is compiled.

    >>> import thalweg as tw
    >>> one_hot(tw.tensor([0, 2]), 3)
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if num_classes == -1:
        num_classes = int(as_tensor(tensor)._array().max()) + 1
    if num_classes < 1:
        raise ArgumentError(explain("one_hot needs classes", received=num_classes, expected="at least 1"))
    return apply(expressions.one_hot, tensor, num_classes=num_classes)


def normalize(input: Tensor, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12) -> Tensor:
    """x / max(norm of x along `dim`, eps).

    >>> import thalweg as tw
    >>> normalize(tw.tensor([[3.0, 4.0]]))
    tensor([[0.6, 0.8]])
    """
    return apply(expressions.normalize, input, p=p, dim=dim, eps=eps)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Constant padding: (low, high) for the last axis, then for the one before it, and so on. Negative widths crop.

    >>> import thalweg as tw
    >>> import thalweg.nn.functional as F
    >>> F.pad(tw.tensor([1.0, 2.0]), (1, 2))
    tensor([0., 1., 2., 0., 0.])
    """
    refuse_unknown("pad: mode", ("constant",), mode)
    return apply(shaping.pad, input, pad=tuple(pad), value=value)
