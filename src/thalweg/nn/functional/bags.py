"""`embedding_bag`: rows of a table looked up and combined bag by bag, without the rows in between.

In: integers, a table, and where bags begin, or bags of equal length as the rows of a matrix. Out: one row a bag: the
sum, the mean or the largest entries of its rows.
"""

from __future__ import annotations

from thalweg.errors import ArgumentError, explain
from thalweg.nn import embedding_bag_expressions as expressions
from thalweg.nn.applying import apply
from thalweg.nn.functional.layers import row_number, shorten
from thalweg.tensor.core import Tensor, refuse_unknown


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or largest entries of the rows of each bag: (bags, embedding_dim); an empty bag gives zeros.

    Args:
        input: whole numbers (bags, n), or (n,) with `offsets` (bags,), where bags begin; the first at 0.
        weight: the table (num_embeddings, embedding_dim).
        mode: "mean" (the default), "sum" or "max".
        per_sample_weights: a factor for each index, with mode "sum" only. Default None.
        include_last_offset: `offsets` has one entry more, the end of the last bag. Default False.
        padding_idx: a row that is no part of any bag. Default None.
        max_norm, norm_type, scale_grad_by_freq, sparse: as in `embedding`.

    >>> import thalweg as tw
    >>> table = tw.tensor([[1.0], [2.0], [4.0]])
    >>> embedding_bag(tw.tensor([0, 1, 2, 2]), table, tw.tensor([0, 3]), mode="sum")
    tensor([[7.],
            [4.]])
    """
    refuse_unknown("embedding_bag: mode", expressions.MODES, mode)
    if per_sample_weights is not None and mode != "sum":
        raise ArgumentError(
            explain("embedding_bag: per_sample_weights are for sums", received=f"mode {mode!r}", expected="'sum'")
        )
    padding_idx = row_number(padding_idx, weight.shape[0])
    if max_norm is not None:
        shorten(input, weight, max_norm, norm_type)
    return apply(
        expressions.embedding_bag, input, weight, offsets, per_sample_weights,
        mode=mode, include_last_offset=bool(include_last_offset), padding_idx=padding_idx,
        scale_grad_by_freq=bool(scale_grad_by_freq),
    )  # fmt: skip
