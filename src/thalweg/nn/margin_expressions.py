"""The losses that compare by margins, distances and likelihoods, as expressions on nodes with PyTorch's semantics.

In: nodes of predictions and targets, and `reduction`. Out: the node of the loss. Targets of 1 and -1 say which way a
comparison should go; class labels are whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from thalweg import ops
from thalweg.dtype import int64
from thalweg.errors import ArgumentError, DTypeError, ShapeError, explain
from thalweg.graph import Node
from thalweg.nn.distance_expressions import pairwise_distance
from thalweg.nn.expressions import need_floating
from thalweg.nn.loss_expressions import LABEL, check_reduction, floating_pair, reduce
from thalweg.tensor import reductions, shaping
from thalweg.tensor.arithmetic import (
    add,
    bitwise_not,
    clamp,
    convert,
    divide,
    equal,
    exp,
    less,
    less_equal,
    log,
    logical_and,
    logsigmoid,
    minimum,
    multiply,
    negative,
    not_equal,
    sqrt,
    square,
    subtract,
    where,
)
from thalweg.tensor.indexing import one_hot
from thalweg.tensor.shaping import reshape, unsqueeze

# --- two ways --------------------------------------------------------------------------------------------------------


def _at_least_zero(x: Node) -> Node:
    """PyTorch's clamp_min(0): the derivative at 0 is 1."""
    return clamp(x, min=0.0)


def hinge_embedding_loss(input: Node, target: Node, margin: float, reduction: str) -> Node:
    x, t = floating_pair("hinge_embedding_loss", input, target, reduction)
    far = where(not_equal(t, 1), _at_least_zero(subtract(margin, x)), 0)
    near = where(not_equal(t, -1), x, 0)
    return reduce(add(far, near), reduction)


def margin_ranking_loss(input1: Node, input2: Node, target: Node, margin: float, reduction: str) -> Node:
    check_reduction("margin_ranking_loss", reduction)
    need_floating("margin_ranking_loss", input1)
    if not input1.ndim == input2.ndim == target.ndim:
        raise ShapeError(
            explain("margin_ranking_loss: the inputs differ in rank",
                    received=f"{input1.shape}, {input2.shape}, target {target.shape}", expected="equal shapes")
        )  # fmt: skip
    return reduce(_at_least_zero(add(multiply(negative(target), subtract(input1, input2)), margin)), reduction)


def soft_margin_loss(input: Node, target: Node, reduction: str) -> Node:
    """log(1 + e^(-t x)), without overflow."""
    x, t = floating_pair("soft_margin_loss", input, target, reduction)
    return reduce(ops.softplus(multiply(negative(t), x)), reduction)


_TINY = 1e-12  # PyTorch adds it to both squared lengths


def cosine_embedding_loss(input1: Node, input2: Node, target: Node, margin: float, reduction: str) -> Node:
    name = "cosine_embedding_loss"
    check_reduction(name, reduction)
    need_floating(name, input1)
    rows = (1, 2) if target.ndim == 1 else (1,)
    if target.ndim > 1 or input1.ndim not in rows or input1.shape != input2.shape or target.shape != input1.shape[:-1]:
        raise ShapeError(
            explain(f"{name}: the shapes do not fit", received=f"{input1.shape}, {input2.shape}, target {target.shape}",
                    expected="(N, D), (N, D) and (N,), or (D,), (D,) and ()")
        )  # fmt: skip
    product = reductions.sum_(multiply(input1, input2), -1)
    lengths = [add(reductions.sum_(square(each), -1), _TINY) for each in (input1, input2)]
    cosine = divide(product, sqrt(multiply(*lengths)))
    apart = where(equal(target, -1), _at_least_zero(subtract(cosine, margin)), 0)
    return reduce(add(where(equal(target, 1), subtract(1.0, cosine), 0), apart), reduction)


# --- triplets --------------------------------------------------------------------------------------------------------


def triplet_margin_loss(
    anchor: Node, positive: Node, negative: Node, margin: float, p: float, eps: float, swap: bool, reduction: str
) -> Node:
    check_reduction("triplet_margin_loss", reduction)
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise ShapeError(
            explain("triplet_margin_loss: the inputs differ in rank",
                    received=f"{anchor.shape}, {positive.shape}, {negative.shape}", expected="equal shapes")
        )  # fmt: skip
    near, far = (pairwise_distance(anchor, each, p, eps, False) for each in (positive, negative))
    other = pairwise_distance(positive, negative, p, eps, False) if swap else None
    return triplet_of_distances(near, far, other, margin, reduction)


def triplet_of_distances(near: Node, far: Node, other: Node | None, margin: float, reduction: str) -> Node:
    """max(near - far + margin, 0); with the distance between positive and negative, the smaller of that and far."""
    check_reduction("triplet_margin_with_distance_loss", reduction)
    far = far if other is None else minimum(far, other)
    return reduce(_at_least_zero(add(subtract(near, far), margin)), reduction)


# --- many classes ----------------------------------------------------------------------------------------------------


def _rows_of_scores(name: str, input: Node) -> Node:
    """(N, C), of a single row too."""
    need_floating(name, input)
    if input.ndim not in (1, 2) or not input.shape[-1]:
        raise ShapeError(explain(f"{name} takes class scores", received=f"shape {input.shape}",
                                 expected="(N, C) or (C,)"))  # fmt: skip
    return input if input.ndim == 2 else unsqueeze(input, 0)


def _need_labels(name: str, target: Node, shapes: Sequence[tuple[int, ...]]) -> None:
    if target.dtype.is_floating_point or target.dtype.name == "bool":
        raise DTypeError(explain(f"{name}: class labels must be integers", received=target.dtype.name,
                                 expected="int64", remedy="convert the labels with .long()"))  # fmt: skip
    if target.shape not in shapes:
        raise ShapeError(explain(f"{name}: the labels do not fit", received=f"shape {target.shape}",
                                 expected=" or ".join(map(str, shapes))))  # fmt: skip


def multi_margin_loss(
    input: Node, target: Node, weight: Node | None, p: int, margin: float, reduction: str
) -> Node:  # fmt: skip
    """The sum over the other classes of w_y max(0, margin - x_y + x_i)^p, divided by the number of classes."""
    name = "multi_margin_loss"
    check_reduction(name, reduction)
    x = _rows_of_scores(name, input)
    _need_labels(name, target, [(x.shape[0],), *[()] * (x.shape[0] == 1)] if input.ndim == 2 else [(), (1,)])
    if weight is not None and weight.shape != (x.shape[1],):
        raise ShapeError(explain(f"{name}: weight must have one entry for each class",
                                 received=f"shape {weight.shape}", expected=f"({x.shape[1]},)"))  # fmt: skip
    label = reshape(convert(target, int64), -1)
    own = reductions.pick(x, unsqueeze(label, 1), 1)
    short = subtract(margin, subtract(own, x))
    is_short = logical_and(less(0, short), equal(_one_hot(label, x), 0))
    terms = where(is_short, short if p == 1 else square(short), 0)
    if weight is not None:
        terms = multiply(terms, unsqueeze(ops.gather(weight, label, role=LABEL), 1))
    return _of_rows(divide(reductions.sum_(terms, 1), float(x.shape[1])), target.ndim == 0, reduction)


def _one_hot(label: Node, x: Node) -> Node:
    return one_hot(label, x.shape[1])


def _of_rows(rows: Node, is_single: bool, reduction: str) -> Node:
    """One number a row, reduced; of a single row without its axis."""
    return reduce(reshape(rows, ()) if is_single else rows, reduction)


def multilabel_margin_loss(input: Node, target: Node, reduction: str) -> Node:
    """The sum over labels y and classes i that are none of max(0, 1 - x_y + x_i), by the number of classes.

    A row's labels end at its first negative entry.
    """
    name = "multilabel_margin_loss"
    check_reduction(name, reduction)
    x = _rows_of_scores(name, input)
    _need_labels(name, target, [input.shape])
    labels = reshape(convert(target, int64), x.shape)
    counts = less_equal(reductions.cumsum(convert(less(labels, 0), int64), 1), 0)  # before the first negative entry
    label = where(counts, labels, 0)
    is_hit = logical_and(one_hot(label, x.shape[1]), unsqueeze(counts, 2))  # (N, place, class)
    is_label = reductions.any_(is_hit, 1)
    short = add(subtract(unsqueeze(x, 1), unsqueeze(reductions.pick(x, label, 1), 2)), 1.0)
    pairs = logical_and(unsqueeze(counts, 2), bitwise_not(unsqueeze(is_label, 1)))
    terms = where(logical_and(pairs, less(0, short)), short, 0)
    return _of_rows(divide(reductions.sum_(terms, (1, 2)), float(x.shape[1])), input.ndim == 1, reduction)


def multilabel_soft_margin_loss(input: Node, target: Node, weight: Node | None, reduction: str) -> Node:
    """The binary cross-entropy with logits, as the mean over the classes (the last axis)."""
    x, t = floating_pair("multilabel_soft_margin_loss", input, target, reduction)
    loss = negative(add(multiply(t, logsigmoid(x)), multiply(subtract(1.0, t), logsigmoid(negative(x)))))
    loss = loss if weight is None else multiply(loss, weight)
    return reduce(reductions.mean(loss, -1), reduction)


# --- likelihoods -----------------------------------------------------------------------------------------------------


def poisson_nll_loss(input: Node, target: Node, log_input: bool, full: bool, eps: float, reduction: str) -> Node:
    x, t = floating_pair("poisson_nll_loss", input, target, reduction)
    if log_input:
        loss = subtract(exp(x), multiply(t, x))
    else:
        loss = subtract(x, multiply(t, log(add(x, eps))))
    return reduce(add(loss, _stirling(t)) if full else loss, reduction)


def _stirling(t: Node) -> Node:
    """log t! for t > 1 by Stirling's formula, else 0."""
    is_large = less(1, t)
    n = where(is_large, t, 1)
    whole = subtract(multiply(n, log(n)), n)
    return where(is_large, add(whole, multiply(log(multiply(n, 2 * math.pi)), 0.5)), 0)


def gaussian_nll_loss(input: Node, target: Node, var: Node, full: bool, eps: float, reduction: str) -> Node:
    """(log v + (x - t)^2 / v) / 2, v being at least eps; the limit is no part of the chain rule, as in PyTorch."""
    x, t = floating_pair("gaussian_nll_loss", input, target, reduction)
    variance = _variance_for(x, var)
    limited = add(variance, ops.detach(subtract(clamp(variance, min=eps), variance)))
    v = where(less(variance, eps), limited, variance)
    loss = multiply(add(log(v), divide(square(subtract(x, t)), v)), 0.5)
    return reduce(add(loss, 0.5 * math.log(2 * math.pi)) if full else loss, reduction)


def _variance_for(x: Node, var: Node) -> Node:
    """One variance an entry, or one a row: without the last axis, or with any one axis of extent 1."""
    if var.shape in (x.shape, ()):
        return var
    if var.shape == x.shape[:-1]:
        return unsqueeze(var, -1)
    others = [b for a, b in zip(x.shape, var.shape, strict=False) if a != b]
    if var.ndim != x.ndim or others != [1]:
        raise ShapeError(explain("gaussian_nll_loss: var does not fit the input", received=f"shape {var.shape}",
                                 expected=f"{x.shape}, {x.shape[:-1]}, or one axis of extent 1"))  # fmt: skip
    return shaping.expand(var, x.shape)


def check_power(p: int) -> None:
    if p not in (1, 2):
        raise ArgumentError(explain("multi_margin_loss: p is a power", received=repr(p), expected="1 or 2"))
