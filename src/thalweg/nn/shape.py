"""Modules that change the shape, or nothing: `Flatten`, `Unflatten`, `Identity`.

In: a tensor.
Out: the same entries in another shape; no parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thalweg.nn.module import Module
from thalweg.nn.settings import whole_number
from thalweg.tensor import shaping
from thalweg.tensor.core import Tensor
from thalweg.tensor.lifting import as_tensor, lift_view

_flatten = lift_view(shaping.flatten)
_unflatten = lift_view(shaping.unflatten)


class Flatten(Module):
    """The axes from `start_dim` to `end_dim` as one: (N, C, H, W) becomes (N, C * H * W).

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.Flatten()(tw.ones(32, 1, 5, 5)).shape
    (32, 25)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return _flatten(as_tensor(input), self.start_dim, self.end_dim)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One axis as several; one of `unflattened_size` may be -1.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.Unflatten(1, (2, 5, 5))(tw.ones(3, 50)).shape
    (3, 2, 5, 5)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = dim
        self.unflattened_size = tuple(
            whole_number("Unflatten: unflattened_size", each, at_least=-1) for each in unflattened_size
        )

    def forward(self, input: Tensor) -> Tensor:
        return _unflatten(as_tensor(input), self.dim, self.unflattened_size)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Identity(Module):
    """The input. Takes and forgets any arguments, so that it can stand in for any layer.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.Identity(54, unused=True)(tw.ones(2))
    tensor([1., 1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input
