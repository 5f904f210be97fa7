"""What the layers compute, as expressions on nodes: linear, embedding, dropout, normalisation, softmax, and the like.

In: nodes, and None for what may be left out. Out: nodes. All are compositions of the primitives: their gradients are
the chain rule, and it is fusion that makes them fast.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def dropout(x: Node, p: float) -> Node:
    need_floating("dropout", x)
    if p == 1:
        return where(full(x.shape, False, bool_), x, 0)
    return _kept_part(bernoulli_node(1 - p, x.shape), x, 1 / (1 - p))


def channel_dropout(x: Node, p: float, axes: int) -> Node:
    """One draw for each channel; `axes` is the number of axes behind the channels."""
    name = f"dropout{axes}d"
    need_floating(name, x)
    ranks = {
        1: {3: "(N, C, L)", 2: "(C, L)"}, 2: {4: "(N, C, H, W)"}, 3: {5: "(N, C, D, H, W)", 4: "(C, D, H, W)"},
    }[axes]  # fmt: skip
    if x.ndim not in ranks:
        raise ShapeError(
            explain(
                f"{name} drops whole channels",
                received=f"shape {x.shape}",
                expected=" or ".join(ranks.values()),  # PyTorch takes three axes for (N, C, L) in dropout2d, and warns
                remedy="dropout, which drops single entries, takes any shape",
            )
        )
    if p == 1:
        return where(full(x.shape, False, bool_), x, 0)
    return _kept_part(bernoulli_node(1 - p, x.shape[:-axes] + (1,) * axes), x, 1 / (1 - p))


_SELU_FLOOR = 1.7580993408473766  # alpha * scale of SELU: what it tends to on the left, with the sign turned


def alpha_dropout(x: Node, p: float, by_channel: bool) -> Node:
    """Entries replaced by SELU's lowest value, then scaled and shifted so that mean 0 and variance 1 stay."""
    need_floating("alpha_dropout", x)
    if p == 1:
        return multiply(x, 0.0)
    if by_channel and x.ndim < 2:
        raise ShapeError(
            explain("feature_alpha_dropout drops whole channels", received=f"shape {x.shape}", expected="(N, C, ...)")
        )
    shape = (*x.shape[:2], *(1,) * (x.ndim - 2)) if by_channel else x.shape
    return _alpha_part(bernoulli_node(1 - p, shape), x, ((_SELU_FLOOR**2 * p + 1) * (1 - p)) ** -0.5, p)


@templated
def _alpha_part(mask: Node, x: Node, scale: float, p: float) -> Node:
    shift = _SELU_FLOOR * scale * p
    return where(mask, add(multiply(x, scale), shift), shift - _SELU_FLOOR * scale)


@templated
def _kept_part(mask: Node, x: Node, factor: float) -> Node:
    return where(mask, multiply(x, factor), 0)


@templated
def along_channels(x: Node, values: Node) -> Node:
    """One number a channel, for axis 1 of `x`."""
    return shaping.reshape(values, (1, x.shape[1]) + (1,) * (x.ndim - 2))


@templated
def batch_statistics(x: Node) -> tuple[Node, Node]:
    """Mean and biased variance of each channel, over the batch and all further axes; shape (1, C, 1, ...).

    Images are read once: the variance is put together from means and variances of single samples, each of which is
    still in the cache when its mean is known (Chan, Golub and LeVeque, 1979).
    """
    if x.ndim > 2:
        means, variances = plane_statistics(x)
        mean = reductions.mean(means, (0,), keepdim=True)
        return mean, reductions.mean(add(variances, square(subtract(means, mean))), (0,), keepdim=True)
    mean = reductions.mean(x, (0,), keepdim=True)
    return mean, reductions.mean(square(subtract(x, mean)), (0,), keepdim=True)


@templated
def plane_statistics(x: Node) -> tuple[Node, Node]:
    """Mean and biased variance of each channel of each sample; shape (N, C, 1, ...)."""
    axes = tuple(range(2, x.ndim))
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
    _check_channels("batch_norm", x, weight=weight, bias=bias, running_mean=mean, running_var=variance)
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


def _check_channels(name: str, x: Node, setting: str = "num_features", **parameters: Node | None) -> None:
    """One entry a channel, in the dtype of the input."""
    for what, node in parameters.items():
        if node is not None and node.shape != (x.shape[1],):
            raise ShapeError(
                explain(
                    f"{name}: {what} does not fit the channels of the input",
                    received=f"{x.shape[1]} channels (input of shape {x.shape})",
                    expected=f"{node.shape[0] if node.ndim else 'no'} channels on axis 1",
                    remedy=f"set {setting} to the extent of axis 1",
                )
            )
        need_dtype_of(name, x, node)


def check_instance_norm(
    x: Node, weight: Node | None, bias: Node | None, mean: Node | None, variance: Node | None, use_input_stats: bool
) -> None:
    if x.ndim < 3:
        raise ShapeError(
            explain("instance_norm needs an axis behind the channels", received=f"shape {x.shape}",
                    expected="(N, C, L) or (N, C, H, W)", remedy="add the batch axis with unsqueeze(0)")
        )  # fmt: skip
    need_floating("instance_norm", x)
    _check_channels("instance_norm", x, weight=weight, bias=bias, running_mean=mean, running_var=variance)
    if use_input_stats and size_of(x.shape[2:]) < 2:
        raise ShapeError(
            explain(
                "instance normalisation needs more than one value a channel",
                received=f"{size_of(x.shape[2:])} (input of shape {x.shape})",
                expected="at least 2: the variance of one value is 0",
                remedy="larger planes, or GroupNorm with fewer groups",
            )
        )


def group_norm(x: Node, weight: Node | None, bias: Node | None, num_groups: int, eps: float) -> Node:
    if x.ndim < 2 or x.shape[1] % num_groups:
        raise ShapeError(
            explain(
                "group_norm: the groups do not divide the channels",
                received=f"input of shape {x.shape}, {num_groups} groups",
                expected=f"(N, C, ...) with C divisible by {num_groups}",
                remedy="choose num_groups among the divisors of the channels",
            )
        )
    need_floating("group_norm", x)
    _check_channels("group_norm", x, "num_channels", weight=weight, bias=bias)
    grouped = shaping.reshape(x, (x.shape[0], num_groups, x.shape[1] // num_groups, *x.shape[2:]))
    mean, variance = plane_statistics(grouped)
    alike = shaping.reshape(normalise(grouped, mean, variance, None, None, eps), x.shape)
    scaled = alike if weight is None else multiply(alike, along_channels(x, weight))
    return scaled if bias is None else add(scaled, along_channels(x, bias))


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


def rms_norm(x: Node, weight: Node | None, normalized_shape: tuple[int, ...], eps: float) -> Node:
    count = len(normalized_shape)
    if not count or x.shape[-count:] != normalized_shape:
        raise ShapeError(
            explain("rms_norm: the input does not end in normalized_shape", received=f"input of shape {x.shape}",
                    expected=f"(..., {', '.join(map(str, normalized_shape))})",
                    remedy="set normalized_shape to the input's last extents")
        )  # fmt: skip
    need_floating("rms_norm", x)
    need_shape("rms_norm", "weight", weight, normalized_shape)
    need_dtype_of("rms_norm", x, weight)
    mean = reductions.mean(square(x), tuple(range(x.ndim - count, x.ndim)), keepdim=True)
    result = multiply(x, arithmetic.rsqrt(add(mean, eps)))
    return result if weight is None else multiply(result, weight)


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
