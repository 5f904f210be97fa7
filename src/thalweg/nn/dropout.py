"""`Dropout`: a different random half of the network at every step, so that no entry relies on one other.

In: any shape, floating point.
Out: the same shape. Identity in evaluation mode.
"""

from __future__ import annotations

from thalweg.nn import functional
from thalweg.nn.expressions import need_probability
from thalweg.nn.module import Module
from thalweg.tensor.core import Tensor


class Dropout(Module):
    """Each entry 0 with probability p, the others divided by 1 - p, so that the expected value stays.

    Srivastava et al., JMLR 2014. Masks come from the default generator: `tw.manual_seed` makes them repeatable.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.Dropout(0.2).eval()(tw.ones(3))
    tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        need_probability("Dropout", p)
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return functional.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
