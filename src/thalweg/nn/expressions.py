"""What the layers compute, as expressions on nodes: linear, embedding, dropout, normalisation, softmax, and the like.

In: nodes, and None for what may be left out. Out: nodes. All are compositions of the primitives: their gradients are
the chain rule, and it is fusion that makes them fast.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg import ops
from thalweg.dtype import bool_
from thalweg.errors import ArgumentError, DTypeError, ShapeError, explain
from thalweg.graph import Node, full, size_of
from thalweg.tensor import arithmetic, indexing, products, reductions, shaping
from thalweg.tensor.arithmetic import add, divide, less, multiply, square, subtract, where
from thalweg.tensor.random import bernoulli_node
from thalweg.tensor.templates import templated

# --- checks ----------------------------------------------------------------------------------------------------------


def need_floating(name: str, x: Node) -> None:
    if not x.dtype.is_floating_point:
        raise DTypeError(
            explain(
                f"{name} needs floating-point numbers",
                received=x.dtype.name,
                expected="float32 or float64",
                remedy="convert the input with .float()",
            )
        )


def need_dtype_of(name: str, x: Node, parameter: Node | None) -> None:
    """An input meets a layer's parameters in their dtype: a stray float64 array must not double every cost unseen."""
    if parameter is None or x.dtype is parameter.dtype:
        return
    own = "double" if parameter.dtype.name == "float64" else "float"
    other = " (or the model with .double())" if x.dtype.name == "float64" else ""
    raise DTypeError(
        explain(
            f"{name}: the input and the parameters have different dtypes",
            received=f"{x.dtype.name} input",
            expected=f"{parameter.dtype.name}, as the parameters",
            remedy=f"convert the input with .{own}(){other}",
        )
    )


def need_shape(name: str, what: str, node: Node | None, shape: tuple[int, ...]) -> None:
    if node is not None and node.shape != shape:
        raise ShapeError(explain(f"{name}: {what} does not fit the input", received=node.shape, expected=shape))


def need_probability(name: str, p: float) -> None:
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p <= 1:
        raise ArgumentError(
            explain(
                f"{name}: p is the probability of dropping an entry",
                received=repr(p),
                expected="0 <= p <= 1",
                remedy="p=0.5 drops half of the entries",
            )
        )


# --- layers ----------------------------------------------------------------------------------------------------------


def linear(x: Node, weight: Node, bias: Node | None) -> Node:
    need_dtype_of("linear", x, weight)
    return products.linear(x, weight, bias)


def embedding(index: Node, weight: Node, padding_idx: int | None) -> Node:
    rows = indexing.embedding(index, weight)
    if padding_idx is None:
        return rows
    # The padding row is read like any other, but learns nothing.
    is_padding = shaping.unsqueeze(arithmetic.equal(index, padding_idx), index.ndim)
    return where(is_padding, ops.detach(rows), rows)


def dropout(x: Node, p: float) -> Node:
    need_floating("dropout", x)
    if p == 1:
        return where(full(x.shape, False, bool_), x, 0)
    return _kept_part(bernoulli_node(1 - p, x.shape), x, 1 / (1 - p))


@templated
def _kept_part(mask: Node, x: Node, factor: float) -> Node:
    return where(mask, multiply(x, factor), 0)


@templated
def along_channels(x: Node, values: Node) -> Node:
    """One number a channel, for axis 1 of `x`."""
    return shaping.reshape(values, (1, x.shape[1]) + (1,) * (x.ndim - 2))


@templated
def batch_statistics(x: Node) -> tuple[Node, Node]:
    """Mean and biased variance of each channel, over the batch and all further axes; shape (1, C, 1, ...)."""
    axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    mean = reductions.mean(x, axes, keepdim=True)
    return mean, reductions.mean(square(subtract(x, mean)), axes, keepdim=True)


@templated
def normalise(x: Node, mean: Node, variance: Node, weight: Node | None, bias: Node | None, eps: float) -> Node:
    """(x - mean) / sqrt(variance + eps) * weight + bias."""
    result = multiply(subtract(x, mean), arithmetic.rsqrt(add(variance, eps)))
    result = result if weight is None else multiply(result, weight)
    return result if bias is None else add(result, bias)


def check_batch_norm(
    x: Node, weight: Node | None, bias: Node | None, mean: Node | None, variance: Node | None, training: bool
) -> None:
    if x.ndim < 2:
        raise ShapeError(
            explain(
                "batch_norm needs a batch axis and a channel axis",
                received=f"shape {x.shape}",
                expected="(N, C) or (N, C, ...)",
                remedy="add the batch axis with unsqueeze(0)",
            )
        )
    need_floating("batch_norm", x)
    for what, node in (("weight", weight), ("bias", bias), ("running_mean", mean), ("running_var", variance)):
        if node is not None and node.shape != (x.shape[1],):
            raise ShapeError(
                explain(
                    f"batch_norm: {what} does not fit the channels of the input",
                    received=f"{x.shape[1]} channels (input of shape {x.shape})",
                    expected=f"{node.shape[0] if node.ndim else 'no'} channels on axis 1",
                    remedy="set num_features to the extent of axis 1",
                )
            )
        need_dtype_of("batch_norm", x, node)
    count = size_of(x.shape) // max(1, x.shape[1])
    if training and count < 2:
        raise ShapeError(
            explain(
                "batch normalisation needs more than one value a channel in training",
                received=f"{count} (input of shape {x.shape})",
                expected="at least 2: the variance of one value is 0",
                remedy="use larger batches, drop_last=True in the loader if the last has a single row, or eval()",
            )
        )


def layer_norm(x: Node, weight: Node | None, bias: Node | None, normalized_shape: tuple[int, ...], eps: float) -> Node:
    count = len(normalized_shape)
    if not count or x.shape[-count:] != normalized_shape:
        raise ShapeError(
            explain(
                "layer_norm: the input does not end in normalized_shape",
                received=f"input of shape {x.shape}",
                expected=f"(..., {', '.join(map(str, normalized_shape))})",
                remedy="set normalized_shape to the input's last extents",
            )
        )
    need_floating("layer_norm", x)
    for what, node in (("weight", weight), ("bias", bias)):
        need_shape("layer_norm", what, node, normalized_shape)
        need_dtype_of("layer_norm", x, node)
    axes = tuple(range(x.ndim - count, x.ndim))
    mean = reductions.mean(x, axes, keepdim=True)
    variance = reductions.mean(square(subtract(x, mean)), axes, keepdim=True)
    return normalise(x, mean, variance, weight, bias, eps)


# --- activations and the like ----------------------------------------------------------------------------------------


def hardtanh(x: Node, min_val: float, max_val: float) -> Node:
    """Limited to [min_val, max_val]; the derivative at the limits is 0, as in PyTorch (that of clamp is 1)."""
    return where(less(min_val, x), where(less(x, max_val), x, max_val), min_val)


def relu6(x: Node) -> Node:
    return hardtanh(x, 0.0, 6.0)


def softmax(x: Node, dim: int) -> Node:
    need_floating("softmax", x)
    return reductions.softmax(x, dim)


def log_softmax(x: Node, dim: int) -> Node:
    need_floating("log_softmax", x)
    return reductions.log_softmax(x, dim)


def normalize(x: Node, p: float, dim: int | Sequence[int], eps: float) -> Node:
    """x / max(norm, eps) along `dim`."""
    length = reductions.norm(x, p, dim, keepdim=True)
    return divide(x, where(less(length, eps), eps, length))


def one_hot(index: Node, num_classes: int) -> Node:
    if index.dtype.is_floating_point or index.dtype.name == "bool":
        raise DTypeError(
            explain(
                "one_hot needs integer labels",
                received=index.dtype.name,
                expected="int32 or int64",
                remedy="convert the labels with .long()",
            )
        )
    return indexing.one_hot(index, num_classes)
