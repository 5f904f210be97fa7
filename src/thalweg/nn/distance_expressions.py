"""Distances and similarities as expressions on nodes: cosine, p-norms of differences, all pairs, and the bilinear form.

In: nodes of vectors along one axis. Out: nodes of numbers, one for each pair. Where a norm has no derivative, at 0, its
gradient is 0.
"""

from __future__ import annotations

import itertools

import numpy as np

from thalweg import ops
from thalweg.errors import ShapeError, explain
from thalweg.graph import Node
from thalweg.nn.expressions import need_dtype_of, need_floating, need_shape
from thalweg.tensor import products, reductions
from thalweg.tensor.arithmetic import (
    add,
    broadcast_shapes,
    divide,
    expand_to,
    less,
    meet_dtype,
    multiply,
    subtract,
    where,
)
from thalweg.tensor.reductions import norm
from thalweg.tensor.shaping import axis_of, reshape, unsqueeze


def cosine_similarity(x1: Node, x2: Node, dim: int, eps: float) -> Node:
    """The sum of products over the product of both lengths, each at least eps."""
    need_floating("cosine_similarity", x1)
    x1, x2 = meet_dtype("cosine_similarity", x1, x2)
    shape = broadcast_shapes(x1.shape, x2.shape, name="cosine_similarity")
    x1, x2 = expand_to(x1, shape), expand_to(x2, shape)
    axis = axis_of(dim, len(shape))
    units = [divide(x, _at_least(norm(x, 2.0, axis, keepdim=True), eps)) for x in (x1, x2)]
    return reductions.sum_(multiply(*units), axis)


def _at_least(x: Node, limit: float) -> Node:
    return where(less(x, limit), limit, x)


def pairwise_distance(x1: Node, x2: Node, p: float, eps: float, keepdim: bool) -> Node:
    """The p-norm of x1 - x2 + eps along the last axis; eps keeps the gradient finite at equal vectors."""
    need_floating("pairwise_distance", x1)
    return norm(add(subtract(x1, x2), eps), p, -1, keepdim)


def pdist(x: Node, p: float) -> Node:
    """The distances between all pairs of rows, those of the upper triangle row by row."""
    need_floating("pdist", x)
    if x.ndim != 2:
        raise ShapeError(explain("pdist takes rows", received=f"shape {x.shape}", expected="(N, M)"))
    first, second = np.triu_indices(x.shape[0], 1)
    rows = [ops.gather(x, _positions(each), role="index") for each in (first, second)]
    return norm(subtract(*rows), p, -1)


def _positions(places: np.ndarray) -> Node:
    """Known whole numbers as a node, put together of ranges: numbers of the code, not data."""
    n = len(places)
    if not n:
        return ops.iota(shape=(0,), axis=0, dtype="int64")
    cuts = [0, *(np.flatnonzero(np.diff(places, 2, prepend=[places[0], places[0]]) != 0)).tolist(), n]
    parts = []
    for start, stop in itertools.pairwise(cuts):
        if stop > start:
            step = int(places[start + 1] - places[start]) if stop - start > 1 else 0
            run = ops.iota(shape=(stop - start,), axis=0, dtype="int64")
            parts.append(add(multiply(run, step), int(places[start])))
    return ops.concatenate(*parts, axis=0) if len(parts) > 1 else parts[0]


def bilinear(x1: Node, x2: Node, weight: Node, bias: Node | None) -> Node:
    """y_o = x1 W_o x2 + b_o, by one product: of the outer products of both inputs with the weights as rows."""
    need_floating("bilinear", x1)
    for each in (x1, x2, bias):
        if each is not None:
            need_dtype_of("bilinear", each, weight)
    fits = weight.ndim == 3 and x1.ndim and x2.ndim and (x1.shape[-1], x2.shape[-1]) == weight.shape[1:]
    if not fits or x1.shape[:-1] != x2.shape[:-1]:
        raise ShapeError(
            explain("bilinear: the inputs do not fit", received=f"{x1.shape}, {x2.shape}, weight {weight.shape}",
                    expected="(*, in1), (*, in2) and (out, in1, in2)",
                    remedy="set in1_features and in2_features to the last extents of the inputs")
        )  # fmt: skip
    need_shape("bilinear", "bias", bias, (weight.shape[0],))
    pairs = multiply(unsqueeze(x1, -1), unsqueeze(x2, -2))
    size = weight.shape[1] * weight.shape[2]
    rows = reshape(weight, (weight.shape[0], size))
    return products.linear(reshape(pairs, (*x1.shape[:-1], size)), rows, bias)
