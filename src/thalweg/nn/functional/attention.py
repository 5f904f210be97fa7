"""`scaled_dot_product_attention`: what each query takes from the values of the keys that are like it.

In: queries, keys, values, masks. Out: weighted sums of the values. Scores of short sequences are one matrix; those of
long ones are computed for a block of rows at a time and, going backwards, once more, so that no more than one block of
the matrix exists at any time: memory grows linearly with the length.
"""

from __future__ import annotations

import math
from typing import Any

from thalweg.graph import size_of
from thalweg.nn import attention_expressions as expressions
from thalweg.nn.applying import apply
from thalweg.nn.expressions import need_probability
from thalweg.tensor.arithmetic import broadcast_shapes
from thalweg.tensor.core import Tensor
from thalweg.tensor.lifting import as_tensor, lift
from thalweg.tensor.loop import scan
from thalweg.tensor.shaping import cat, expand, pad, reshape, take_range

MOST_SCORES = 2**18  # of one head, as one matrix: 1 MiB in float32, about what a core has close at hand
BLOCK_ROWS = 64
FEWEST_PARTS, ROWS_OF_PART = 4, 512
"""A causal matrix is half empty: parts of it, each with keys up to its own last row, skip most of that."""

_attention_and_rows = lift(expressions.attention_and_rows)
_repeated_heads = lift(expressions.repeated_heads)
_cat, _expand, _pad, _reshape, _take_range = lift(cat), lift(expand), lift(pad), lift(reshape), lift(take_range)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(q k^T scale + mask) v. Vaswani et al., NeurIPS 2017.

    Shapes: query (..., L, E), key (..., S, E), value (..., S, Ev), result (..., L, Ev); leading axes broadcast.

    Args:
        attn_mask: broadcasts to (..., L, S). Bool: True where a query may look; numbers are added to the scores.
        dropout_p: of the weights; as in PyTorch also in evaluation mode, unless the caller says 0. Default 0.
        is_causal: query i looks at keys 0 to i, in addition to what the mask says. Default False.
        scale: default 1 / sqrt(E).
        enable_gqa: fewer heads (third axis from the end) of keys and values than of queries, each shared.

    A query that may look at nothing gets 0. From 2^18 scores a head on, memory is linear in L: the matrix is computed
    by blocks of rows, again in the backward pass (Rabe and Staats, 2021; Dao et al., NeurIPS 2022).
    Raises ShapeError and DTypeError for what does not fit.

    >>> import thalweg as tw
    >>> q = k = tw.tensor([[0.0], [0.0]])
    >>> scaled_dot_product_attention(q, k, tw.tensor([[1.0], [3.0]]), is_causal=True)
    tensor([[1.],
            [2.]])
    """
    need_probability("scaled_dot_product_attention", dropout_p)
    q, k, v = as_tensor(query), as_tensor(key), as_tensor(value)
    expressions.check_attention(q.node, k.node, v.node, enable_gqa)
    if enable_gqa:
        k, v = (each if each.shape[-3] == q.shape[-3] else _repeated_heads(each, q.shape[-3]) for each in (k, v))
    batch = broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2], name="attention (leading axes)")
    mask = None if attn_mask is None else as_tensor(attn_mask)
    if mask is not None:
        expressions.check_mask(mask.node, (*batch, q.shape[-2], k.shape[-2]))
    options = {"scale": 1 / math.sqrt(q.shape[-1]) if scale is None else scale, "is_causal": is_causal, "p": dropout_p}
    if q.shape[-2] * k.shape[-2] > MOST_SCORES and q.shape[-2] > BLOCK_ROWS:
        return _head_by_head(batch, q, k, v, mask, options)
    return apply(expressions.attention, q, k, v, mask, None, **options)


def _head_by_head(
    batch: tuple[int, ...], q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, options: dict[str, Any]
) -> Tensor:
    """One step for each head of each sequence, whose keys and values stay in the cache meanwhile."""
    count = size_of(batch)
    heads = [_reshape(_expand(each, *batch, *each.shape[-2:]), (count, *each.shape[-2:])) for each in (q, k, v)]
    is_shared = mask is not None and size_of(mask.shape[:-2]) == 1
    if mask is not None:
        lines = (1,) * (2 - mask.ndim) + mask.shape[-2:]
        whole = lines if is_shared else (count, *lines)
        mask = _reshape(mask if is_shared else _expand(mask, *batch, *lines), whole)
    shared, own = (mask, []) if is_shared else (None, [mask] if mask is not None else [])

    def head(_: tuple[()], given: Any) -> tuple[tuple[()], Tensor]:
        its_mask = given[3] if own else shared
        return (), _by_parts(given[0], given[1], given[2], its_mask, options)

    _, results = scan(head, (), (*heads, *own))
    return _reshape(results, (*batch, *results.shape[-2:]))  # type: ignore[no-any-return]


def _by_parts(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, options: dict[str, Any]) -> Tensor:
    """All rows of one head; causal ones in parts, each without the keys behind its last row."""
    rows, columns = q.shape[0], k.shape[0]
    if not options["is_causal"]:
        return _by_blocks(q, k, v, mask, 0, options)
    size = -(-rows // max(FEWEST_PARTS, rows // ROWS_OF_PART))
    results = []
    for start in range(0, rows, size):
        stop, seen = min(start + size, rows), min(start + size, rows, columns)
        its_mask = mask if mask is None else _take_range(mask, 1, 0, seen if mask.shape[1] > 1 else 1)
        if its_mask is not None and its_mask.shape[0] > 1:
            its_mask = _take_range(its_mask, 0, start, stop)
        its_keys, its_values = _take_range(k, 0, 0, seen), _take_range(v, 0, 0, seen)
        results.append(_by_blocks(_take_range(q, 0, start, stop), its_keys, its_values, its_mask, start, options))
    return _cat(results, 0)  # type: ignore[no-any-return]


def _by_blocks(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, start: int, options: dict[str, Any]) -> Tensor:
    """A loop over blocks of rows. It keeps two numbers of each row: its chain rule computes the scores again."""
    rows = q.shape[0]
    steps = -(-rows // BLOCK_ROWS)
    size = -(-rows // steps)

    def blocks(x: Tensor) -> Tensor:
        filled = _pad(x, (0, 0, 0, steps * size - rows)) if steps * size > rows else x
        return _reshape(filled, (steps, size, x.shape[1]))  # type: ignore[no-any-return]

    has_rows = mask is not None and mask.shape[0] > 1
    first = Tensor._result(expressions.row_numbers(start, steps, size))
    entries = [blocks(q), first, *([blocks(mask)] if mask is not None and has_rows else [])]

    def block(_: tuple[()], given: Any) -> tuple[tuple[()], Tensor]:
        its_mask = given[2] if has_rows else mask
        return (), tuple(_attention_and_rows(given[0], k, v, its_mask, given[1], **options))

    _, (results, *_) = scan(block, (), tuple(entries))
    return _take_range(_reshape(results, (steps * size, v.shape[1])), 0, 0, rows)  # type: ignore[no-any-return]
