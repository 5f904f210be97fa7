"""`scaled_dot_product_attention`: what each query takes from the values of the keys that are like it.

In: queries, keys, values, masks. Out: weighted sums of the values. Scores of short sequences are one matrix; those of
long ones are computed for a block of rows at a time and, going backwards, once more, so that no more than one block of
the matrix exists at any time: memory grows linearly with the length.
"""

from __future__ import annotations

import math
from typing import Any

from thalweg.graph import full, size_of
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
COLUMNS, MOST_CHUNKS = 512, 8
"""Keys that are looked at by all rows before the next ones are; more where a head has more than `MOST_CHUNKS` times."""
PARTS = 4
"""Of a causal square, half of which is empty: each with keys up to its own last row."""
Sofar = tuple[Tensor, ...]
"""Of rows and the keys that they have looked at: sums of values, the largest score, the sum of powers."""

_attention_so_far, _normalised = lift(expressions.attention_so_far), lift(expressions.normalised)
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
        found = _by_columns(given[0], given[1], given[2], its_mask, options)
        return (), _normalised(found[0], found[2], is_guarded=mask is not None)

    _, results = scan(head, (), (*heads, *own))
    return _reshape(results, (*batch, *results.shape[-2:]))  # type: ignore[no-any-return]


def _by_columns(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, options: dict[str, Any]) -> Sofar:
    """All rows of one head; their keys so many at a time that these, and what goes to them, stay in the cache.

    Of a causal matrix the rows before the columns are left out, and those behind them need no comparison.
    """
    rows, is_causal = q.shape[0], options["is_causal"]
    columns = min(rows, k.shape[0]) if is_causal else k.shape[0]
    width = -(-columns // min(MOST_CHUNKS, -(-columns // COLUMNS)))
    done, found = list[Sofar](), _nothing_seen(rows, v)
    for start in range(0, columns, width):
        stop = min(start + width, columns)
        keys, values, first = _rows(k, start, stop), _rows(v, start, stop), 0
        if is_causal:
            here = tuple(_rows(each, 0, stop - start) for each in found)
            found = tuple(_rows(each, stop - start, rows - start) for each in found)
            its_mask = _part(mask, start, stop, start, stop)
            done.append(_by_parts(_rows(q, start, stop), keys, values, its_mask, here, options))
            first = stop
        if first < rows:
            its_mask = _part(mask, first, rows, start, stop)
            rest = options | {"is_causal": False}
            found = _by_blocks(_rows(q, first, rows), keys, values, its_mask, 0, found, rest)
    return _stacked([*done, found] if not is_causal or columns < rows else done)


def _nothing_seen(rows: int, v: Tensor) -> Sofar:
    return tuple(
        Tensor._result(full((rows, width), number, v.dtype))
        for width, number in ((v.shape[1], 0.0), (1, -math.inf), (1, 0.0))
    )


def _by_parts(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, sofar: Sofar, options: dict[str, Any]) -> Sofar:
    """The rows of a causal square in parts, each without the keys behind its last row."""
    rows = q.shape[0]
    size = -(-rows // PARTS)
    results = []
    for start in range(0, rows, size):
        stop = min(start + size, rows)
        its_mask, before = _part(mask, start, stop, 0, stop), tuple(_rows(each, start, stop) for each in sofar)
        args = _rows(q, start, stop), _rows(k, 0, stop), _rows(v, 0, stop), its_mask, start, before
        results.append(_by_blocks(*args, options))
    return _stacked(results)


def _by_blocks(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, start: int, sofar: Sofar, options: dict[str, Any]
) -> Sofar:
    """A loop over blocks of rows. It keeps two numbers of each row: its chain rule computes the scores again."""
    rows = q.shape[0]
    steps = -(-rows // BLOCK_ROWS)
    size = -(-rows // steps)

    def blocks(x: Tensor) -> Tensor:
        filled = _pad(x, (0, 0, 0, steps * size - rows)) if steps * size > rows else x
        return _reshape(filled, (steps, size, x.shape[1]))  # type: ignore[no-any-return]

    has_rows = mask is not None and mask.shape[0] > 1
    first = Tensor._result(expressions.row_numbers(start, steps, size))
    entries = [blocks(q), first, *map(blocks, sofar), *([blocks(mask)] if mask is not None and has_rows else [])]

    def block(_: tuple[()], given: Any) -> tuple[tuple[()], Sofar]:
        rows_here, first, sums, peak, total, *masks = given
        its_mask = masks[0] if has_rows else mask
        return (), tuple(_attention_so_far(rows_here, k, v, its_mask, first, sums, peak, total, **options))

    _, results = scan(block, (), tuple(entries))
    return tuple(_rows(_reshape(each, (steps * size, each.shape[-1])), 0, rows) for each in results)


def _rows(x: Tensor, start: int, stop: int) -> Tensor:
    return _take_range(x, 0, start, stop)  # type: ignore[no-any-return]


def _part(
    mask: Tensor | None, start: int, stop: int, first: int | None = None, last: int | None = None
) -> Tensor | None:
    """Some rows of a mask, and some columns if that is said; one of extent 1 is for all."""
    if mask is None:
        return None
    if mask.shape[0] > 1:
        mask = _rows(mask, start, stop)
    if first is not None and mask.shape[1] > 1:
        mask = _take_range(mask, 1, first, last)
    return mask


def _stacked(parts: list[Sofar]) -> Sofar:
    return parts[0] if len(parts) == 1 else tuple(_cat(list(each), 0) for each in zip(*parts, strict=True))
