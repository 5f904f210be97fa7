"""Rows of a table by integers, as expressions on nodes: the look-up, and what it may do to table and gradient.

In: integers (*), a table (num_embeddings, embedding_dim). Out: rows (*, embedding_dim); the table with the rows that
were asked for made shorter.
"""

from __future__ import annotations

from thalweg import ops
from thalweg.dtype import int64
from thalweg.graph import Node, full
from thalweg.tensor import indexing, reductions, shaping
from thalweg.tensor.arithmetic import add, convert, divide, equal, less, multiply, subtract, where

ROLE = "embedding row"
_TINY = 1e-7  # PyTorch adds it to the norm that it divides by


def embedding(index: Node, weight: Node, padding_idx: int | None, scale_grad_by_freq: bool = False) -> Node:
    rows = indexing.embedding(index, weight)
    if scale_grad_by_freq:
        rows = _learning_by_frequency(rows, index, weight.shape[0])
    if padding_idx is None:
        return rows
    # The padding row is read like any other, but learns nothing.
    is_padding = shaping.unsqueeze(equal(index, padding_idx), index.ndim)
    return where(is_padding, ops.detach(rows), rows)


def _learning_by_frequency(rows: Node, index: Node, count: int) -> Node:
    """The same rows, whose gradients are divided by how often the row is asked for: x + (x - x) / n, n a number."""
    places = convert(index, int64)
    ones = full(index.shape, 1, rows.dtype)
    times = ops.gather(ops.scatter_add(ones, places, shape=(count,), role=ROLE), places, role=ROLE)
    fixed = ops.detach(rows)
    return add(fixed, divide(subtract(rows, fixed), shaping.unsqueeze(times, index.ndim)))


def renormalised(index: Node, weight: Node, max_norm: float, norm_type: float) -> Node:
    """The table in which no row that is asked for has a norm above `max_norm`."""
    rows = indexing.embedding(index, weight)
    norm = reductions.norm(rows, norm_type, -1, keepdim=True)
    shorter = multiply(rows, divide(max_norm, add(norm, _TINY)))
    return ops.index_put(weight, where(less(max_norm, norm), shorter, rows), convert(index, int64), role=ROLE)
