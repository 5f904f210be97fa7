"""Distances, similarities and the bilinear form, as functions of two tensors.

In: tensors or arrays of vectors along one axis, whose other axes broadcast. Out: tensors of one number for each pair of
vectors; of all pairs of one matrix's rows with `pdist`.
"""

from __future__ import annotations

from thalweg.nn import distance_expressions as expressions
from thalweg.nn.applying import apply
from thalweg.tensor.core import Tensor


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`; shapes broadcast.

    >>> import thalweg as tw
    >>> cosine_similarity(tw.tensor([[1.0, 0.0]]), tw.tensor([[1.0, 1.0]]))
    tensor([0.7071])
    """
    return apply(expressions.cosine_similarity, x1, x2, dim=dim, eps=eps)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last axis.

    >>> import thalweg as tw
    >>> pairwise_distance(tw.tensor([[3.0, 0.0]]), tw.tensor([[0.0, 4.0]]))
    tensor([5.])
    """
    return apply(expressions.pairwise_distance, x1, x2, p=p, eps=eps, keepdim=bool(keepdim))


def pdist(input: Tensor, p: float = 2) -> Tensor:
    """The p-norm distances between all pairs of the rows of (N, M): N (N - 1) / 2 numbers, as SciPy's `pdist`.

    >>> import thalweg as tw
    >>> pdist(tw.tensor([[0.0], [1.0], [3.0]]))
    tensor([1., 3., 2.])
    """
    return apply(expressions.pdist, input, p=p)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_o = x1 W_o x2 + b_o.

    Shapes: input1 (*, in1), input2 (*, in2), weight (out, in1, in2), bias (out,), result (*, out).

    >>> import thalweg as tw
    >>> bilinear(tw.tensor([[1.0, 2.0]]), tw.tensor([[3.0]]), tw.ones(1, 2, 1))
    tensor([[9.]])
    """
    return apply(expressions.bilinear, input1, input2, weight, bias)
