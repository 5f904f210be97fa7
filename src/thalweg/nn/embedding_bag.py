"""`EmbeddingBag`: sums, means or largest entries of rows of a learned table, bag by bag.

In: whole numbers (bags, n), or (n,) with the places where bags begin.
Out: (bags, embedding_dim).
"""

from __future__ import annotations

from thalweg.errors import ShapeError, explain
from thalweg.nn.applying import write
from thalweg.nn.embedding import Embedding, row_of
from thalweg.nn.embedding_bag_expressions import MODES
from thalweg.nn.functional.bags import embedding_bag
from thalweg.nn.module import Module
from thalweg.nn.parameter import Parameter
from thalweg.nn.settings import new_parameter, positive, weight_dtype, whole_number
from thalweg.tensor.core import Tensor, refuse_unknown
from thalweg.tensor.lifting import as_tensor


class EmbeddingBag(Module):
    """`Embedding` and a sum, mean or maximum over each bag of indices; arguments as in `F.embedding_bag`.

    Called with ``(input, offsets=None, per_sample_weights=None)``. State: `weight` (num_embeddings, embedding_dim),
    drawn from N(0, 1); the row of `padding_idx` starts as zeros and is no part of any bag.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.EmbeddingBag(10, 3, mode="sum")(tw.tensor([1, 2, 4, 5, 4]), tw.tensor([0, 3])).shape
    (2, 3)
    """

    weight: Parameter

    def __init__(
        self, num_embeddings: int, embedding_dim: int, max_norm: float | None = None, norm_type: float = 2.0,
        scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, _weight: Tensor | None = None,
        include_last_offset: bool = False, padding_idx: int | None = None, *,
        device: object = None, dtype: object = None,
    ) -> None:  # fmt: skip
        super().__init__()
        refuse_unknown("EmbeddingBag: mode", MODES, mode)
        self.num_embeddings = whole_number("EmbeddingBag: num_embeddings", num_embeddings)
        self.embedding_dim = whole_number("EmbeddingBag: embedding_dim", embedding_dim)
        self.max_norm = None if max_norm is None else positive("EmbeddingBag: max_norm", max_norm)
        self.norm_type, self.scale_grad_by_freq, self.mode, self.sparse = norm_type, scale_grad_by_freq, mode, sparse
        self.include_last_offset = include_last_offset
        self.padding_idx = row_of(padding_idx, num_embeddings)
        shape, kind = (num_embeddings, embedding_dim), weight_dtype(device, dtype)
        self.weight = new_parameter(shape, kind)
        self.reset_parameters()
        if _weight is not None:
            _write_table(self.weight, _weight)

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        Embedding.reset_parameters(self)  # type: ignore[arg-type]

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        return embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode, self.sparse,
            per_sample_weights, self.include_last_offset, self.padding_idx,
        )  # fmt: skip

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, max_norm: float | None = None, norm_type: float = 2.0,
        scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False, include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:  # fmt: skip
        """Bags of the given rows; with `freeze` they are not trained."""
        table = as_tensor(embeddings)
        if table.ndim != 2:
            raise ShapeError(explain("from_pretrained takes a table", received=table.shape,
                                     expected="(num_embeddings, embedding_dim)"))  # fmt: skip
        rows, width = table.shape
        layer = cls(rows, width, max_norm, norm_type, scale_grad_by_freq, mode, sparse, table, include_last_offset,
                    padding_idx, dtype=table.dtype)  # fmt: skip
        layer.weight.requires_grad_(not freeze)
        return layer

    def extra_repr(self) -> str:
        more = f", padding_idx={self.padding_idx}" if self.padding_idx is not None else ""
        return f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}{more}"


def _write_table(weight: Parameter, table: Tensor) -> None:
    if table.shape != weight.shape:
        raise ShapeError(explain("EmbeddingBag: the table has another shape", received=table.shape,
                                 expected=weight.shape))  # fmt: skip
    write(weight, as_tensor(table, weight.dtype).detach().node)
