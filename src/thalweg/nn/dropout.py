"""Dropout: a different random half of the network at every step, so that no entry relies on one other.

In: any shape, floating point; (N, C, L), (N, C, H, W) and (N, C, D, H, W) for those that drop whole channels.
Out: the same shape. Identity in evaluation mode.
"""

from __future__ import annotations

from thalweg.nn import functional
from thalweg.nn.expressions import need_probability
from thalweg.nn.module import Module
from thalweg.tensor.core import Tensor


class _Dropout(Module):
    """Something dropped with probability p."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        need_probability(type(self).__name__, p)
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Each entry 0 with probability p, the others divided by 1 - p, so that the expected value stays.

    Srivastava et al., JMLR 2014. Masks come from the default generator: `tw.manual_seed` makes them repeatable.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.Dropout(0.2).eval()(tw.ones(3))
    tensor([1., 1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """Each channel of (N, C, L) or (C, L) 0 with probability p, the others divided by 1 - p.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.Dropout1d(0.2).eval()(tw.ones(1, 3))
    tensor([[1., 1., 1.]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Each channel of (N, C, H, W) 0 with probability p, the others divided by 1 - p.

    Neighbouring pixels say nearly the same, so that dropping single ones drops little. Tompson et al., CVPR 2015.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.Dropout2d(0.2).eval()(tw.ones(1, 1, 1, 3))
    tensor([[[[1., 1., 1.]]]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """Each channel of (N, C, D, H, W) 0 with probability p, the others divided by 1 - p.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.Dropout3d(0.2).eval()(tw.ones(1, 1, 1, 1, 3))
    tensor([[[[[1., 1., 1.]]]]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout for networks of `SELU`: mean 0 and variance 1 stay. Klambauer et al., NeurIPS 2017.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.AlphaDropout(0.2).eval()(tw.ones(3))
    tensor([1., 1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_Dropout):
    """`AlphaDropout` of whole channels of (N, C, ...).

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.FeatureAlphaDropout(0.2).eval()(tw.ones(1, 1, 3))
    tensor([[[1., 1., 1.]]])
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.feature_alpha_dropout(input, self.p, self.training, self.inplace)
