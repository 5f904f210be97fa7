"""`Embedding`: a table of learned vectors, looked up by integers.

In: integers of any shape.
Out: the same shape with one more axis, the vector of each.
"""

from __future__ import annotations

from typing import Any

from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.graph import full
from thalweg.nn import init
from thalweg.nn.applying import write
from thalweg.nn.functional import embedding
from thalweg.nn.module import Module
from thalweg.nn.parameter import Parameter
from thalweg.nn.settings import new_parameter, positive, weight_dtype, whole_number
from thalweg.tensor.core import Tensor
from thalweg.tensor.lifting import as_tensor


class Embedding(Module):
    """The rows of a table at the given indices: (*) becomes (*, embedding_dim).

    Args:
        num_embeddings, embedding_dim: rows of the table, numbers in a row.
        padding_idx: a row that starts as zeros and gets no gradient. Default None.
        max_norm: rows among those asked for whose norm is larger are scaled down to it, in the table, before they are
            looked up. Default None, rows stay as they are.
        norm_type: p of that norm. Default 2.
        scale_grad_by_freq: a row's gradient is divided by how often the row is asked for in the call. Default False.
        sparse: taken from code written for PyTorch; changes nothing: the gradient is a table to which the rows of a
            batch are added.

    State: `weight` (num_embeddings, embedding_dim), drawn from N(0, 1). An index out of range raises `IndexRangeError`
    that names it and its position.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.Embedding(10, 3)(tw.tensor([[1, 2, 4], [4, 3, 2]])).shape
    (2, 3, 3)
    """

    weight: Parameter

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False, *,
        device: object = None, dtype: object = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_embeddings = whole_number("Embedding: num_embeddings", num_embeddings)
        self.embedding_dim = whole_number("Embedding: embedding_dim", embedding_dim)
        self.padding_idx = row_of(padding_idx, num_embeddings)
        self.max_norm = None if max_norm is None else positive("Embedding: max_norm", max_norm)
        self.norm_type, self.scale_grad_by_freq, self.sparse = norm_type, scale_grad_by_freq, sparse
        kind = weight_dtype(device, dtype)
        self.weight = new_parameter((num_embeddings, embedding_dim), kind)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            row = self.weight.detach()[self.padding_idx]
            write(row, full(row.shape, 0, row.dtype))

    @classmethod
    def from_pretrained(
        cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
    ) -> Embedding:  # fmt: skip
        """A table with the given rows; with `freeze` it is not trained."""
        table = as_tensor(embeddings)
        if table.ndim != 2:
            raise ShapeError(
                explain(
                    "from_pretrained takes a table", received=table.shape, expected="(num_embeddings, embedding_dim)"
                )
            )
        rows, width = table.shape
        layer = cls(rows, width, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, dtype=table.dtype)
        write(layer.weight, table.detach().node)
        layer.weight.requires_grad_(not freeze)
        return layer

    def forward(self, input: Tensor) -> Tensor:
        return embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )

    def extra_repr(self) -> str:
        usual = {"padding_idx": None, "max_norm": None, "norm_type": 2.0, "scale_grad_by_freq": False, "sparse": False}
        more = [f", {name}={getattr(self, name)}" for name, value in usual.items() if getattr(self, name) != value]
        return f"{self.num_embeddings}, {self.embedding_dim}{''.join(more)}"


def row_of(padding_idx: int | None, rows: int) -> int | None:
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise ArgumentError(
            explain(
                "Embedding: padding_idx is no row", received=padding_idx, expected=f"{-rows} <= padding_idx < {rows}"
            )
        )
    return padding_idx % rows
