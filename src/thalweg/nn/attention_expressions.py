"""Attention as expressions on nodes: scores, masks, weights; and the checks of what is given.

In: queries (..., L, E), keys (..., S, E), values (..., S, Ev), and what may not be looked at. Out: the weights
(..., L, S) and the weighted sums (..., L, Ev). A row that may look at nothing has weights 0, and so has its gradient.
"""

from __future__ import annotations

import math

from thalweg import ops
from thalweg.dtype import DType, bool_, int32
from thalweg.errors import DTypeError, ShapeError, explain
from thalweg.graph import Node, full
from thalweg.nn.expressions import dropout, need_dtype_of, need_floating
from thalweg.tensor import products, reductions, shaping
from thalweg.tensor.arithmetic import (
    add,
    broadcast_shapes,
    convert,
    divide,
    equal,
    exp,
    less_equal,
    logical_and,
    logical_not,
    multiply,
    subtract,
    where,
)


def attention(
    query: Node, key: Node, value: Node, mask: Node | None, first: Node | None, scale: float, is_causal: bool, p: float
) -> Node:
    """softmax(q k^T scale + mask) v. With `is_causal` row i looks at columns up to `first` + i (None: 0).

    The sums are divided, not the weights: the chain rule then takes its sum over each row of scores from the result
    (D of Dao et al., 2022), and what is left to do to the scores is entry by entry.
    """
    scores = _scores(query, key, mask, first, scale, is_causal)
    powers, total = _powers(scores, ops.detach(ops.amax(scores, axes=(scores.ndim - 1,))), mask is not None)
    return normalised(products.matmul(dropout(powers, p) if p else powers, value), total, mask is not None)


def attention_so_far(
    query: Node, key: Node, value: Node, mask: Node | None, first: Node | None, sums: Node, peak: Node, total: Node,
    scale: float, is_causal: bool, p: float,
) -> tuple[Node, Node, Node]:  # fmt: skip
    """Attention to more keys: e^(s - peak) v, the largest score s of each row and the sum of e^(s - peak), so far.

    Before any keys they are 0, minus infinity and 0 (Milakov and Gimelshein, 2018: online softmax). A loop that returns
    the peak need not find it again to go backwards: it reads it (`ops.loop`).
    """
    scores = _scores(query, key, mask, first, scale, is_causal)
    peak = ops.detach(peak)  # whatever it is, the result is the same
    highest = ops.maximum(peak, ops.detach(ops.amax(scores, axes=(scores.ndim - 1,))))
    powers, more = _powers(scores, highest, mask is not None)
    rest = exp(subtract(peak, _finite(highest) if mask is not None else highest))
    new = products.matmul(dropout(powers, p) if p else powers, value)
    return add(multiply(sums, rest), new), highest, add(multiply(total, rest), more)


def normalised(sums: Node, total: Node, is_guarded: bool) -> Node:
    """The weighted means; 0 for a row that may look at nothing."""
    return divide(sums, where(equal(total, 0.0), 1.0, total) if is_guarded else total)


def _powers(scores: Node, peak: Node, is_guarded: bool) -> tuple[Node, Node]:
    """e^(scores - peak), and the sum of each row."""
    powers = exp(subtract(scores, _finite(peak) if is_guarded else peak))
    return powers, ops.sum_(powers, axes=(scores.ndim - 1,))


def _finite(peak: Node) -> Node:
    """0 for a row in which all scores are minus infinity."""
    return where(equal(peak, -math.inf), 0.0, peak)


def attention_weights(
    query: Node, key: Node, mask: Node | None, first: Node | None, scale: float, is_causal: bool
) -> Node:
    """The softmax of the scores. A bool mask says where a row may look, another is added to the scores."""
    scores = _scores(query, key, mask, first, scale, is_causal)
    return reductions.softmax(scores, -1) if mask is None else guarded_softmax(scores)


def _scores(query: Node, key: Node, mask: Node | None, first: Node | None, scale: float, is_causal: bool) -> Node:
    """q k^T scale, minus infinity where a row may not look."""
    scores = products.matmul(multiply(query, scale), shaping.transpose(key, -1, -2))
    if is_causal:
        scores = where(causal_mask(scores.shape[-2], scores.shape[-1], first), scores, -math.inf)
    if mask is None:
        return scores
    return where(mask, scores, -math.inf) if mask.dtype is bool_ else add(scores, convert(mask, scores.dtype))


def guarded_softmax(scores: Node) -> Node:
    """The softmax over the last axis, and 0 where all scores are minus infinity."""
    powers, total = _powers(scores, ops.detach(ops.amax(scores, axes=(scores.ndim - 1,))), True)
    return normalised(powers, total, True)


def causal_mask(rows: int, columns: int, first: Node | None = None) -> Node:
    """(rows, columns): whether row `first` + i may look at column j, which is at or before it."""
    i = ops.iota(shape=(rows, 1), axis=0, dtype="int32")
    i = i if first is None else add(i, convert(first, int32))
    j = ops.iota(shape=(1, columns), axis=1, dtype="int32")
    return less_equal(j, i)


def row_numbers(start: int, steps: int, size: int) -> Node:
    """The first row of each of so many blocks."""
    return add(multiply(ops.iota(shape=(steps,), axis=0, dtype="int32"), size), start)


def repeated_heads(x: Node, heads: int) -> Node:
    """Each head of (..., H, S, E) for the query heads that share it: (..., heads, S, E). Ainslie et al., 2023."""
    return shaping.repeat_interleave(x, heads // x.shape[-3], -3)


def heads_of(x: Node, heads: int) -> Node:
    """(N, L, heads * D) as (N, heads, L, D)."""
    n, length, width = x.shape
    return shaping.permute(shaping.reshape(x, (n, length, heads, width // heads)), 0, 2, 1, 3)


def joined_heads(x: Node) -> Node:
    """(N, heads, L, D) as (N, L, heads * D)."""
    n, heads, length, width = x.shape
    return shaping.reshape(shaping.permute(x, 0, 2, 1, 3), (n, length, heads * width))


def weights_and_sums(
    query: Node, key: Node, value: Node, mask: Node | None, scale: float, is_causal: bool, p: float
) -> tuple[Node, Node]:
    """The weights as well as what they give; dropout acts on both, as in PyTorch."""
    weights = attention_weights(query, key, mask, None, scale, is_causal)
    weights = dropout(weights, p) if p else weights
    return weights, products.matmul(weights, value)


def allowed(forbidden: Node) -> Node:
    """A mask of modules, where True forbids, as one of functions, where True allows; numbers are the same in both."""
    return logical_not(forbidden) if forbidden.dtype is bool_ else forbidden


def both_masks(a: Node, b: Node, dtype: DType) -> Node:
    """A mask that has the effect of two."""
    if a.dtype is bool_ and b.dtype is bool_:
        return logical_and(a, b)
    return add(*(where(each, full((), 0, dtype), -math.inf) if each.dtype is bool_ else each for each in (a, b)))


def with_columns(mask: Node, count: int) -> Node:
    """The mask with so many more keys at the end, which all may look at."""
    more = full((*mask.shape[:-1], count), mask.dtype is bool_, mask.dtype)
    return ops.concatenate(mask, more, axis=mask.ndim - 1)


# --- checks ----------------------------------------------------------------------------------------------------------


def check_attention(query: Node, key: Node, value: Node, enable_gqa: bool) -> None:
    name = "scaled_dot_product_attention"
    need_floating(name, query)
    need_dtype_of(f"{name} (key)", key, query)
    need_dtype_of(f"{name} (value)", value, query)
    shapes = f"query {query.shape}, key {key.shape}, value {value.shape}"
    if min(query.ndim, key.ndim, value.ndim) < 2 or query.shape[-1] != key.shape[-1]:
        raise ShapeError(
            explain(f"{name}: queries and keys do not fit", received=shapes, expected="(..., L, E) and (..., S, E)")
        )
    if key.shape[-2] != value.shape[-2] or not key.shape[-2]:
        raise ShapeError(
            explain(f"{name}: keys and values do not fit", received=shapes,
                    expected="(..., S, E) and (..., S, Ev) with one S of at least 1")
        )  # fmt: skip
    if enable_gqa and (min(query.ndim, key.ndim, value.ndim) < 3 or _rest(query, key) or _rest(query, value)):
        raise ShapeError(
            explain(f"{name}: the heads cannot be shared", received=shapes,
                    expected="as many heads of queries as of keys and values, or a multiple")
        )  # fmt: skip


def _rest(query: Node, other: Node) -> int:
    return query.shape[-3] % other.shape[-3] if other.shape[-3] else 1


def check_mask(mask: Node, scores: tuple[int, ...]) -> None:
    """A mask of scores (..., L, S)."""
    if mask.dtype is not bool_ and not mask.dtype.is_floating_point:
        raise DTypeError(
            explain("an attention mask is bool or floating-point", received=mask.dtype.name,
                    expected="bool (True: may look) or numbers to add to the scores", remedy="convert with .bool()")
        )  # fmt: skip
    if broadcast_shapes(mask.shape, scores, name="attn_mask") != scores:
        raise ShapeError(
            explain("the attention mask does not fit the scores", received=f"shape {mask.shape}",
                    expected=f"a shape that broadcasts to {scores}: (..., queries, keys)")
        )  # fmt: skip
