"""Where in a sequence something stands: sinusoidal, learned and rotary positions, for attention, which sees no order.

In: embeddings (..., L, E), or queries and keys (..., L, D). Out: the same shape. `start` says at which position the
first row stands, for sequences that are generated piece by piece.
"""

from __future__ import annotations

import numpy as np

from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.graph import Node
from thalweg.nn import init
from thalweg.nn.applying import apply
from thalweg.nn.expressions import need_dtype_of, need_floating
from thalweg.nn.module import Module
from thalweg.nn.parameter import Parameter
from thalweg.nn.settings import new_parameter, weight_dtype, whole_number
from thalweg.tensor.arithmetic import add, multiply, negative
from thalweg.tensor.core import Tensor
from thalweg.tensor.shaping import cat, take_range


class _Positions(Module):
    """A table with a row for each position."""

    def __init__(self, width: int, max_len: int) -> None:
        super().__init__()
        self.d_model = whole_number(f"{type(self).__name__}: d_model", width, 1)
        self.max_len = whole_number(f"{type(self).__name__}: max_len", max_len, 1)

    def _check(self, x: Tensor, start: int) -> int:
        name = type(self).__name__
        shape = tuple(x.shape)
        if len(shape) < 2 or shape[-1] != self.d_model:
            expected = f"(..., L, {self.d_model})"
            raise ShapeError(explain(f"{name}: the input does not fit", received=shape, expected=expected))
        stop = whole_number(f"{name}: start", start) + shape[-2]
        if stop > self.max_len:
            raise ArgumentError(
                explain(f"{name}: the sequence is longer than the table", received=f"positions up to {stop}",
                        expected=f"at most max_len={self.max_len}", remedy="a larger max_len, or shorter sequences")
            )  # fmt: skip
        return start

    def extra_repr(self) -> str:
        return f"{self.d_model}, max_len={self.max_len}"


class SinusoidalPositionalEncoding(_Positions):
    """x + P with P[t, 2i] = sin(t / base^(2i / E)), P[t, 2i + 1] = cos(likewise). Vaswani et al., NeurIPS 2017.

    Shapes: (..., L, d_model) to the same; L + `start` at most `max_len` (default 5,000); `base` is 10,000. It has no
    parameters, and its table is not part of the state. Raises ArgumentError for positions behind the table.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.SinusoidalPositionalEncoding(2)(tw.zeros(3, 2))
    tensor([[ 0.    ,  1.    ],
            [ 0.8415,  0.5403],
            [ 0.9093, -0.4161]])
    """

    table: Tensor

    def __init__(
        self, d_model: int, max_len: int = 5000, base: float = 10000.0, *, device: object = None, dtype: object = None
    ) -> None:
        super().__init__(d_model, max_len)
        angles = _angles(max_len, -(-d_model // 2), d_model, base)
        table = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(max_len, -1)[:, :d_model]
        self.register_buffer("table", Tensor(table.astype(weight_dtype(device, dtype).numpy)), persistent=False)

    def forward(self, input: Tensor, start: int = 0) -> Tensor:
        start = self._check(input, start)
        return apply(_with_rows, input, self.table, start=start)


class LearnedPositionalEncoding(_Positions):
    """x + W[start : start + L], one learned row for each of `max_len` positions.

    Shapes: (..., L, d_model) to the same. State: `weight` (max_len, d_model), N(0, 0.02^2) as in GPT-2 (Radford et al.,
    2019). Raises ArgumentError for positions behind the table.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.LearnedPositionalEncoding(8, max_len=16)(tw.zeros(2, 5, 8)).shape
    (2, 5, 8)
    """

    weight: Parameter

    def __init__(self, d_model: int, max_len: int, *, device: object = None, dtype: object = None) -> None:
        super().__init__(d_model, max_len)
        self.weight = new_parameter((max_len, d_model), weight_dtype(device, dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight, 0.0, 0.02)

    def forward(self, input: Tensor, start: int = 0) -> Tensor:
        start = self._check(input, start)
        return apply(_with_rows, input, self.weight, start=start)


class RotaryPositionalEmbedding(_Positions):
    """Pairs of numbers turned by an angle that grows with the position, so that q k^T depends on distances only.

    The pair (x_i, x_(i + D/2)) is turned by t / base^(2i / D). Su et al., RoFormer, 2021, with the pairs of Llama.
    Apply it to queries and keys, not to values. Shapes: (..., L, dim) to the same, `dim` even. No parameters.

    >>> import thalweg as tw
    >>> from thalweg import nn
    >>> nn.RotaryPositionalEmbedding(2)(tw.tensor([[1.0, 0.0], [1.0, 0.0]]))
    tensor([[1.    , 0.    ],
            [0.5403, 0.8415]])
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self, dim: int, max_len: int = 4096, base: float = 10000.0, *, device: object = None, dtype: object = None
    ) -> None:
        super().__init__(dim, max_len)
        if dim % 2:
            raise ArgumentError(
                explain("RotaryPositionalEmbedding turns pairs", received=f"dim={dim}", expected="an even number")
            )
        angles = _angles(max_len, dim // 2, dim, base)
        kind = weight_dtype(device, dtype)
        for name, function in (("cos", np.cos), ("sin", np.sin)):
            self.register_buffer(name, Tensor(function(angles).astype(kind.numpy)), persistent=False)

    def forward(self, input: Tensor, start: int = 0) -> Tensor:
        start = self._check(input, start)
        return apply(_turned, input, self.cos, self.sin, start=start)


def _angles(length: int, pairs: int, width: int, base: float) -> np.ndarray:
    """(positions, pairs)."""
    rates = base ** (-2.0 * np.arange(pairs) / width)
    return np.arange(length)[:, None] * rates


def _with_rows(x: Node, table: Node, start: int) -> Node:
    need_floating("positional encoding", x)
    need_dtype_of("positional encoding", x, table)
    return add(x, take_range(table, 0, start, start + x.shape[-2]))


def _turned(x: Node, cos: Node, sin: Node, start: int) -> Node:
    """As a rotation of each pair: (a, b) to (a cos - b sin, a sin + b cos)."""
    need_dtype_of("rotary embedding", x, cos)
    half = x.shape[-1] // 2
    cos, sin = (take_range(each, 0, start, start + x.shape[-2]) for each in (cos, sin))
    a, b = take_range(x, x.ndim - 1, 0, half), take_range(x, x.ndim - 1, half, 2 * half)
    turned = cat([negative(b), a], -1)
    return add(multiply(x, cat([cos, cos], -1)), multiply(turned, cat([sin, sin], -1)))
