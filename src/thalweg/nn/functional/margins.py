"""The losses that compare by margins, distances and likelihoods.

In: predictions and targets. Out: a 0-d tensor, or with `reduction="none"` one number an entry (or row). Every
`reduction` is "mean" (the default), "sum" or "none".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thalweg.errors import ArgumentError, explain
from thalweg.nn import margin_expressions as losses
from thalweg.nn.applying import apply_loss
from thalweg.nn.functional.distances import pairwise_distance
from thalweg.nn.functional.layers import linear
from thalweg.nn.functional.losses import cross_entropy
from thalweg.tensor.core import Tensor
from thalweg.tensor.creation import full
from thalweg.tensor.lifting import as_tensor


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, *, reduction: str = "mean") -> Tensor:
    """x where the target is 1, max(0, margin - x) where it is -1: for x a distance of two that are alike or not.

    >>> import thalweg as tw
    >>> hinge_embedding_loss(tw.tensor([0.3, 0.3]), tw.tensor([1, -1]), reduction="none")
    tensor([0.3, 0.7])
    """
    return apply_loss(losses.hinge_embedding_loss, input, target, margin=margin, reduction=reduction)


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, *, reduction: str = "mean"
) -> Tensor:
    """max(0, -t (x1 - x2) + margin): with t = 1 the first should be larger, with t = -1 the second.

    >>> import thalweg as tw
    >>> margin_ranking_loss(tw.tensor([1.0]), tw.tensor([3.0]), tw.tensor([1]))
    tensor(2.)
    """
    return apply_loss(losses.margin_ranking_loss, input1, input2, target, margin=margin, reduction=reduction)


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, *, reduction: str = "mean"
) -> Tensor:
    """1 - cos(x1, x2) for targets of 1, max(0, cos(x1, x2) - margin) for -1; (N, D), (N, D) and (N,).

    >>> import thalweg as tw
    >>> cosine_embedding_loss(tw.tensor([[1.0, 0.0]]), tw.tensor([[0.0, 2.0]]), tw.tensor([1]))
    tensor(1.)
    """
    return apply_loss(losses.cosine_embedding_loss, input1, input2, target, margin=margin, reduction=reduction)


def soft_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """log(1 + e^(-t x)) for targets of 1 and -1, without overflow.

    >>> import thalweg as tw
    >>> soft_margin_loss(tw.tensor([0.0, 90.0]), tw.tensor([1.0, -1.0]), reduction="none")
    tensor([ 0.6931, 90.    ])
    """
    return apply_loss(losses.soft_margin_loss, input, target, reduction=reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(a, p) - d(a, n) + margin) with d the p-norm distance along the last axis.

    With `swap` the distance of positive and negative counts where it is smaller than that of anchor and negative.
    Balntas et al., BMVC 2016.

    >>> import thalweg as tw
    >>> triplet_margin_loss(tw.tensor([[0.0]]), tw.tensor([[1.0]]), tw.tensor([[3.0]]), margin=4.0)
    tensor(2.)
    """
    return apply_loss(
        losses.triplet_margin_loss, anchor, positive, negative,
        margin=margin, p=p, eps=eps, swap=bool(swap), reduction=reduction,
    )  # fmt: skip


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` for a distance of your own; by default `F.pairwise_distance`.

    >>> import thalweg as tw
    >>> a, p, n = tw.tensor([[0.0]]), tw.tensor([[1.0]]), tw.tensor([[3.0]])
    >>> triplet_margin_with_distance_loss(a, p, n, distance_function=lambda x, y: ((x - y) ** 2).sum(-1), margin=10.0)
    tensor(2.)
    """
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    other = distance(positive, negative) if swap else None
    return apply_loss(losses.triplet_of_distances, near, far, other, margin=margin, reduction=reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Tensor:
    """The sum over classes i other than the label y of w_y max(0, margin - x_y + x_i)^p, divided by their number C.

    Shapes: input (N, C) or (C,), target (N,) or (). A hinge loss for many classes (Crammer and Singer, 2001).

    >>> import thalweg as tw
    >>> multi_margin_loss(tw.tensor([[0.1, 0.2, 0.9]]), tw.tensor([2]))
    tensor(0.1667)
    """
    losses.check_power(p)
    return apply_loss(
        losses.multi_margin_loss, input, target, weight, p=p, margin=margin, reduction=reduction
    )  # fmt: skip


def multilabel_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """The sum over labels y and classes i that are none of max(0, 1 - x_y + x_i), divided by the number of classes.

    Shapes: input and target (N, C) or (C,); a row of the target holds the labels, up to its first negative entry.

    >>> import thalweg as tw
    >>> multilabel_margin_loss(tw.tensor([[0.1, 0.2, 0.4, 0.8]]), tw.tensor([[3, 0, -1, 1]]))
    tensor(0.85)
    """
    return apply_loss(losses.multilabel_margin_loss, input, target, reduction=reduction)


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """-(t log s(x) + (1 - t) log(1 - s(x))) with the sigmoid s, weighted, as the mean over the last axis.

    >>> import thalweg as tw
    >>> multilabel_soft_margin_loss(tw.tensor([[0.0, 0.0]]), tw.tensor([[1.0, 0.0]]))
    tensor(0.6931)
    """
    return apply_loss(losses.multilabel_soft_margin_loss, input, target, weight, reduction=reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    *,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood of counts t under a Poisson law: e^x - t x; without `log_input` x - t log(x + eps).

    `full` adds Stirling's approximation of log t! for t > 1.

    >>> import thalweg as tw
    >>> poisson_nll_loss(tw.tensor([0.0]), tw.tensor([3.0]))
    tensor(1.)
    """
    return apply_loss(
        losses.poisson_nll_loss, input, target, log_input=bool(log_input), full=bool(full), eps=eps, reduction=reduction
    )


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log v + (x - t)^2 / v) / 2: the negative log-likelihood of t under a normal law of mean x and variance v.

    `var` is a number, has the input's shape, or lacks its last axis; it is limited to at least `eps`. `full` adds
    log(2 pi) / 2. Nix and Weigend, 1994.

    >>> import thalweg as tw
    >>> gaussian_nll_loss(tw.tensor([0.0]), tw.tensor([2.0]), tw.tensor([1.0]))
    tensor(2.)
    """
    if not eps > 0:
        raise ArgumentError(explain("gaussian_nll_loss: eps must be positive", received=eps, expected="eps > 0"))
    variance: Any = var
    if isinstance(var, (int, float)):
        variance = full_of(var, input)
    return apply_loss(
        losses.gaussian_nll_loss, input, target, variance, full=bool(full), eps=eps, reduction=reduction
    )  # fmt: skip


def full_of(value: float, like: Tensor) -> Tensor:
    """One number as a tensor of the other's dtype."""
    if value < 0:
        raise ArgumentError(explain("a variance cannot be negative", received=value, expected="at least 0"))
    return full((), value, dtype=as_tensor(like).dtype)


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: object = None,
) -> Tensor:
    """`cross_entropy(linear(input, linear_weight, linear_bias), target)`; a compiled step makes one program of it.

    Shapes: input (N, F) or (F,), linear_weight (C, F) or (C, d1, ..., F), which gives scores (N, C, d1, ...), and
    `linear_bias` (C,) or (C, d1, ...). `options` is taken from code written for PyTorch, where it cuts the batch up to
    save memory, and changes nothing.

    >>> import thalweg as tw
    >>> linear_cross_entropy(tw.tensor([[1.0]]), tw.tensor([[0.0], [0.0]]), tw.tensor([1]))
    tensor(0.6931)
    """
    features = as_tensor(linear_weight).shape[-1]
    shape = as_tensor(linear_weight).shape[:-1]
    rows = as_tensor(linear_weight).reshape(-1, features)
    bias = None if linear_bias is None else as_tensor(linear_bias).reshape(-1)
    scores = linear(input, rows, bias)
    if len(shape) > 1:
        scores = scores.reshape(*scores.shape[:-1], *shape)
    return cross_entropy(
        scores, target, weight, ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction, label_smoothing=label_smoothing,
    )  # fmt: skip
