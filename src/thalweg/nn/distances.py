"""Layers of two inputs: the bilinear form, cosine similarity, and the distance of pairs.

In: two tensors of vectors along one axis.
Out: one number for each pair, or with `Bilinear` several.
"""

from __future__ import annotations

import math

from thalweg.nn import functional, init
from thalweg.nn.module import Module
from thalweg.nn.parameter import Parameter
from thalweg.nn.settings import new_parameter, weight_dtype, whole_number
from thalweg.tensor.core import Tensor


class Bilinear(Module):
    """y_o = x1 W_o x2 + b_o: (*, in1_features) and (*, in2_features) give (*, out_features).

    State: `weight` (out_features, in1_features, in2_features) and `bias` (out_features,), uniform in
    ±1/sqrt(in1_features), or no bias with `bias=False`.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.Bilinear(3, 4, 5)(tw.ones(2, 3), tw.ones(2, 4)).shape
    (2, 5)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        *,
        device: object = None,
        dtype: object = None,
    ) -> None:
        super().__init__()
        self.in1_features = whole_number("Bilinear: in1_features", in1_features, 1)
        self.in2_features = whole_number("Bilinear: in2_features", in2_features)
        self.out_features = whole_number("Bilinear: out_features", out_features)
        kind = weight_dtype(device, dtype)
        self.weight = new_parameter((out_features, in1_features, in2_features), kind)
        self.register_parameter("bias", new_parameter((out_features,), kind) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        bound = 1 / math.sqrt(self.in1_features)
        for each in self.parameters():
            init.uniform_(each, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return functional.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class CosineSimilarity(Module):
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) along `dim`.

    >>> import thalweg as tw
    >>> CosineSimilarity()(tw.tensor([[1.0, 0.0]]), tw.tensor([[1.0, 1.0]]))
    tensor([0.7071])
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return functional.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """The p-norm of x1 - x2 + eps along the last axis; its argument is called `p`, of the norm.

    >>> import thalweg as tw
    >>> PairwiseDistance()(tw.tensor([[3.0, 0.0]]), tw.tensor([[0.0, 4.0]]))
    tensor([5.])
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return functional.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
