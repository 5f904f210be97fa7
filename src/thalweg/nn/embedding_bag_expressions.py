"""Bags of rows of a table as expressions on nodes: their sums, means or largest entries.

In: rows (n, D) that were looked up, and the number of the bag (n,) of each. Out: (bags, D); empty bags are zeros, and
so is what the gradient brings to rows that are in no bag.
"""

from __future__ import annotations

import math

from thalweg import ops
from thalweg.dtype import bool_, int64
from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.graph import Node, full
from thalweg.nn.embedding_expressions import embedding
from thalweg.tensor import reductions
from thalweg.tensor.arithmetic import (
    bitwise_not,
    convert,
    divide,
    equal,
    less_equal,
    logical_and,
    maximum,
    multiply,
    not_equal,
    subtract,
    where,
)
from thalweg.tensor.shaping import reshape, take_range, unsqueeze

MODES = ("sum", "mean", "max")
ROLE = "bag of an embedding"


def embedding_bag(
    index: Node, weight: Node, offsets: Node | None, per_sample_weights: Node | None, mode: str,
    include_last_offset: bool, padding_idx: int | None, scale_grad_by_freq: bool,
) -> Node:  # fmt: skip
    """Rows of the table, combined bag by bag; rows of `padding_idx` are no part of any bag."""
    bag, count = _bags(index, offsets, include_last_offset)
    index = reshape(index, -1)
    rows = embedding(index, weight, padding_idx, scale_grad_by_freq)
    counts = full(index.shape, True, bool_) if padding_idx is None else not_equal(index, padding_idx)
    if mode == "max":
        return _largest(rows, bag, counts, count)
    if per_sample_weights is not None:
        rows = multiply(rows, unsqueeze(_weights(per_sample_weights, index), 1))
    total = ops.scatter_add(where(unsqueeze(counts, 1), rows, 0), bag, shape=(count, rows.shape[1]), role=ROLE)
    if mode == "sum":
        return total
    sizes = ops.scatter_add(convert(counts, rows.dtype), bag, shape=(count,), role=ROLE)
    return divide(total, unsqueeze(maximum(sizes, 1.0), 1))


def _weights(given: Node, index: Node) -> Node:
    if given.size != index.size:
        raise ShapeError(
            explain("embedding_bag: one weight an index", received=f"per_sample_weights of shape {given.shape}",
                    expected=f"{index.size} entries")
        )  # fmt: skip
    return reshape(given, -1)


def _bags(index: Node, offsets: Node | None, include_last_offset: bool) -> tuple[Node, int]:
    """The bag of each index in a row, and how many bags there are."""
    if index.ndim == 2 and offsets is None:
        bag = ops.iota(shape=index.shape, axis=0, dtype="int64")
        return reshape(bag, -1), index.shape[0]
    if index.ndim != 1 or offsets is None or offsets.ndim != 1:
        raise ArgumentError(
            explain("embedding_bag: bags are rows, or begin at offsets",
                    received=f"input of shape {index.shape}, offsets {None if offsets is None else offsets.shape}",
                    expected="an input (bags, n) without offsets, or (n,) with offsets (bags,)")
        )  # fmt: skip
    count = offsets.shape[0] - (1 if include_last_offset else 0)
    starts = convert(take_range(offsets, 0, 0, count), int64)
    place = ops.iota(shape=(index.shape[0], count), axis=0, dtype="int64")
    begun = less_equal(unsqueeze(starts, 0), place)
    return subtract(reductions.sum_(begun, 1), 1), count


def _largest(rows: Node, bag: Node, counts: Node, count: int) -> Node:
    """Entry by entry the largest of each bag; of a tie the first gets the gradient."""
    number = ops.iota(shape=(count, rows.shape[0]), axis=0, dtype="int64")
    is_in = logical_and(equal(number, unsqueeze(bag, 0)), unsqueeze(counts, 0))
    if not rows.shape[0]:
        return full((count, rows.shape[1]), 0, rows.dtype)
    seen = where(unsqueeze(is_in, 2), unsqueeze(ops.detach(rows), 0), -math.inf)
    winner = reductions.argmax(seen, 1)
    column = ops.iota(shape=winner.shape, axis=1, dtype="int64")
    largest = ops.gather(rows, winner, column, role=ROLE)
    is_empty = bitwise_not(reductions.any_(is_in, 1, keepdim=True))
    return where(is_empty, 0, largest)
