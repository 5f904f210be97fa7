"""What the layers compute, as functions of the input and the weights.

In: tensors or arrays. Out: tensors. Dropout draws from the default random generator. Normalisation, convolution and
pooling have files of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.errors import ArgumentError, DTypeError, explain
from thalweg.nn import embedding_expressions, expressions
from thalweg.nn.applying import apply, apply_activation, write
from thalweg.nn.settings import positive
from thalweg.tensor.core import Tensor
from thalweg.tensor.lifting import as_tensor


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b.

    Shapes: input (*, in_features), weight (out_features, in_features), bias (out_features,), result (*, out_features).
    The input must have the dtype of the weight.

    >>> import thalweg as tw
    >>> linear(tw.ones(1, 2), tw.tensor([[1.0, 2.0]]), tw.tensor([0.5]))
    tensor([[3.5]])
    """
    return apply(expressions.linear, input, weight, bias)


def embedding(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:  # fmt: skip
    """The rows of `weight` (num_embeddings, embedding_dim) at the integers `input` (*): (*, embedding_dim).

    Args:
        padding_idx: a row that gets no gradient. Default None.
        max_norm: rows among those asked for whose norm is larger are first scaled down to it, in `weight` itself; that
            is not recorded for backpropagation. Default None, rows stay as they are.
        norm_type: p of that norm, default 2.
        scale_grad_by_freq: a row's gradient is divided by how often the row is asked for. Default False.
        sparse: taken from code written for PyTorch; changes nothing.

    An index out of range raises `IndexRangeError` when values are computed. Raises ArgumentError for a `padding_idx`
    that is no row and a negative `max_norm`, DTypeError for indices that are not integers.

    >>> import thalweg as tw
    >>> embedding(tw.tensor([1, 0]), tw.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[3., 4.],
            [1., 2.]])
    """
    padding_idx = row_number(padding_idx, weight.shape[0])
    if max_norm is not None:
        shorten(input, weight, max_norm, norm_type)
    return apply(
        embedding_expressions.embedding, input, weight, padding_idx=padding_idx, scale_grad_by_freq=scale_grad_by_freq
    )


def row_number(padding_idx: int | None, rows: int) -> int | None:
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise ArgumentError(
            explain("embedding: padding_idx is no row", received=padding_idx, expected=f"{-rows} <= it < {rows}")
        )
    return padding_idx % rows


def shorten(index: Tensor, weight: Tensor, max_norm: float, norm_type: float) -> None:
    positive("embedding: max_norm", max_norm)
    if not isinstance(weight, Tensor):
        raise DTypeError(
            explain("embedding: max_norm changes the table", received=type(weight).__name__, expected="a tensor",
                    remedy="convert it with tw.tensor(...)")
        )  # fmt: skip
    table = apply(embedding_expressions.renormalised, index, weight, max_norm=max_norm, norm_type=norm_type)
    write(weight, table.node)


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


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels: each signal of (N, C, L), or of (C, L), is set to 0 or kept as one.

    >>> import thalweg as tw
    >>> dropout1d(tw.ones(1, 3), p=0.5, training=False)
    tensor([[1., 1., 1.]])
    """
    return _channel_dropout(1, input, p, training, inplace)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels: each plane of (N, C, H, W) is set to 0 or kept as one.

    Neighbouring pixels say nearly the same, so that dropping single ones drops little. Tompson et al., CVPR 2015.

    >>> import thalweg as tw
    >>> dropout2d(tw.ones(1, 1, 1, 3), p=0.5, training=False)
    tensor([[[[1., 1., 1.]]]])
    """
    return _channel_dropout(2, input, p, training, inplace)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels: each volume of (N, C, D, H, W), or of (C, D, H, W), is set to 0 or kept as one.

    >>> import thalweg as tw
    >>> dropout3d(tw.ones(1, 1, 1, 1, 3), p=0.5, training=False)
    tensor([[[[[1., 1., 1.]]]]])
    """
    return _channel_dropout(3, input, p, training, inplace)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout that keeps mean 0 and variance 1: dropped entries become SELU's lowest value, and all are rescaled.

    Klambauer et al., NeurIPS 2017. For networks of `selu`.

    >>> import thalweg as tw
    >>> alpha_dropout(tw.ones(3), p=0.5)
    tensor([1., 1., 1.])
    """
    return _alpha_dropout(input, p, training, inplace, by_channel=False)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels of (N, C, ...).

    >>> import thalweg as tw
    >>> feature_alpha_dropout(tw.ones(1, 1, 3), p=0.5)
    tensor([[[1., 1., 1.]]])
    """
    return _alpha_dropout(input, p, training, inplace, by_channel=True)


def _alpha_dropout(input: Tensor, p: float, training: bool, inplace: bool, by_channel: bool) -> Tensor:
    expressions.need_probability("alpha_dropout", p)
    if not training or p == 0:
        return as_tensor(input)
    return apply_activation(expressions.alpha_dropout, input, inplace, p=p, by_channel=by_channel)


def _channel_dropout(axes: int, input: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    expressions.need_probability(f"dropout{axes}d", p)
    if not training or p == 0:
        return as_tensor(input)
    return apply_activation(expressions.channel_dropout, input, inplace, p=p, axes=axes)


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
