"""New tensors like a given one, and in-place fills: with a number, with random numbers.

In: a tensor. Out: a new one of its dtype, or the same tensor with other values. `METHODS` says under which names users
find them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from thalweg import ops
from thalweg.dtype import float64
from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.graph import Node
from thalweg.tensor import arithmetic
from thalweg.tensor.core import Tensor
from thalweg.tensor.creation import empty, full, ones, tensor, zeros
from thalweg.tensor.lifting import lower
from thalweg.tensor.random import bernoulli as drawn_bernoulli
from thalweg.tensor.random import normal_node, randint, uniform_node

# --- like a given tensor ---------------------------------------------------------------------------------------------


def new_zeros(
    self: Tensor, *size: int | Sequence[int], dtype: object = None, device: object = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of this tensor's dtype, unless `dtype` says otherwise.

    >>> import thalweg as tw
    >>> tw.tensor([1, 2]).new_zeros(3)
    tensor([0, 0, 0])
    """
    return zeros(*size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


def new_ones(
    self: Tensor, *size: int | Sequence[int], dtype: object = None, device: object = None, requires_grad: bool = False
) -> Tensor:
    """Ones of this tensor's dtype, unless `dtype` says otherwise."""
    return ones(*size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


def new_empty(
    self: Tensor, *size: int | Sequence[int], dtype: object = None, device: object = None, requires_grad: bool = False
) -> Tensor:
    """`tw.empty` of this tensor's dtype, unless `dtype` says otherwise."""
    return empty(*size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


def new_full(
    self: Tensor, size: Sequence[int], fill_value: float, dtype: object = None, device: object = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """One number everywhere, in this tensor's dtype, unless `dtype` says otherwise."""
    return full(size, fill_value, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


def new_tensor(
    self: Tensor, data: Any, dtype: object = None, device: object = None, requires_grad: bool = False
) -> Tensor:
    """`tw.tensor(data)` in this tensor's dtype, unless `dtype` says otherwise.

    >>> import thalweg as tw
    >>> tw.ones(1).new_tensor([1, 2])
    tensor([1., 2.])
    """
    return tensor(data, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


# --- written in place ------------------------------------------------------------------------------------------------


def fill_(self: Tensor, value: float) -> Tensor:
    """Write one number everywhere."""
    flags: list[bool] = []
    node = arithmetic.as_node(lower(value, flags), self.dtype)
    if node.shape:
        raise ShapeError(
            explain("fill_ takes one number", received=f"shape {node.shape}", expected="a number or a 0-d tensor",
                    remedy="use copy_ to write a tensor")
        )  # fmt: skip
    self._assign(arithmetic.expand_to(node, self.shape), bool(flags))
    return self


def zero_(self: Tensor) -> Tensor:
    """Write 0 everywhere."""
    return fill_(self, 0)


def fill_diagonal_(self: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """Write one number at the places (i, i, ...); with `wrap` the diagonal of a tall matrix begins again below."""
    extents = set(self.shape)
    if self.ndim < 2 or (self.ndim > 2 and len(extents) > 1):
        raise ShapeError(
            explain("fill_diagonal_ needs a diagonal", received=f"shape {self.shape}",
                    expected="a matrix, or more axes of one extent")
        )  # fmt: skip
    flags: list[bool] = []
    node = lower(self, flags)
    row, *others = (ops.iota(shape=self.shape, axis=axis, dtype="int64") for axis in range(self.ndim))
    if wrap and self.ndim == 2:  # after the last column comes a row without an entry
        row = arithmetic.remainder(row, self.shape[1] + 1)
    is_on: Node = arithmetic.equal(row, others[0])
    for each in others[1:]:
        is_on = ops.bitwise_and(is_on, arithmetic.equal(row, each))
    self._assign(arithmetic.masked_fill(node, is_on, fill_value), bool(flags))
    return self


# --- random numbers in place -----------------------------------------------------------------------------------------


def uniform_(self: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Write uniform random numbers from [a, b)."""
    node = uniform_node(self.shape, self.dtype, generator)
    self._assign(arithmetic.add(arithmetic.multiply(node, b - a), a))
    return self


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Write normal random numbers."""
    node = normal_node(self.shape, self.dtype, generator)
    self._assign(arithmetic.add(arithmetic.multiply(node, std), mean))
    return self


def log_normal_(self: Tensor, mean: float = 1.0, std: float = 2.0, generator: Any = None) -> Tensor:
    """Write e^z of normal random numbers z with this mean and deviation."""
    node = normal_node(self.shape, self.dtype, generator)
    self._assign(arithmetic.exp(arithmetic.add(arithmetic.multiply(node, std), mean)))
    return self


def exponential_(self: Tensor, lambd: float = 1.0, generator: Any = None) -> Tensor:
    """Write exponential random numbers of the rate `lambd`: -log(1 - u) / lambd, u uniform in [0, 1)."""
    _check_above("exponential_: lambd", lambd)
    node = arithmetic.log1p(arithmetic.negative(uniform_node(self.shape, self.dtype, generator)))
    self._assign(arithmetic.divide(node, -lambd))
    return self


def geometric_(self: Tensor, p: float, generator: Any = None) -> Tensor:
    """Write how many trials the first success takes, 1 at least, where each succeeds with probability p."""
    if not 0 < p < 1:
        raise ArgumentError(explain("geometric_: p is a probability", received=p, expected="0 < p < 1"))
    uniform = uniform_node(self.shape, self.dtype if self.dtype.is_floating_point else float64, generator)
    trials = arithmetic.ceil(arithmetic.divide(arithmetic.log1p(arithmetic.negative(uniform)), math.log1p(-p)))
    self._assign(arithmetic.convert(arithmetic.clamp(trials, min=1.0), self.dtype))
    return self


def cauchy_(self: Tensor, median: float = 0.0, sigma: float = 1.0, generator: Any = None) -> Tensor:
    """Write Cauchy random numbers: median + sigma tan(pi (u - 1/2))."""
    _check_above("cauchy_: sigma", sigma)
    angle = arithmetic.multiply(arithmetic.subtract(uniform_node(self.shape, self.dtype, generator), 0.5), math.pi)
    self._assign(arithmetic.add(arithmetic.multiply(arithmetic.tan(angle), sigma), median))
    return self


def _check_above(what: str, value: float) -> None:
    if value <= 0:
        raise ArgumentError(explain(f"{what} is positive", received=value, expected="a number above 0"))


_LARGEST = {"float32": 2**24, "float64": 2**53, "int32": 2**31 - 1, "int64": 2**62, "uint8": 2**8 - 1, "bool": 1}


def random_(self: Tensor, low: int = 0, high: int | None = None, *, generator: Any = None) -> Tensor:
    """Write whole random numbers, low <= n < high; ``random_(high)`` begins at 0.

    Without arguments they go to the largest that the dtype holds exactly (int64: to 2^62).
    """
    if high is None and low:
        low, high = 0, low
    drawn = randint(low, _LARGEST[self.dtype.name] + 1 if high is None else high, self.shape, generator=generator)
    self._assign(arithmetic.convert(drawn.node, self.dtype))
    return self


def bernoulli_(self: Tensor, p: float | Tensor = 0.5, *, generator: Any = None) -> Tensor:
    """Write 1 with probability p, a number or a tensor of them, else 0."""
    chance = lower(p.detach() if isinstance(p, Tensor) else p, [])
    uniform = uniform_node(self.shape, float64, generator)
    if isinstance(chance, Node):
        chance = arithmetic.expand_to(chance, self.shape)
    self._assign(arithmetic.convert(arithmetic.less(uniform, chance), self.dtype))
    return self


def bernoulli(self: Tensor, p: float | None = None, *, generator: Any = None) -> Tensor:
    """1 with probability p, else 0; without p the entries themselves are the probabilities.

    >>> import thalweg as tw
    >>> tw.tensor([0.0, 1.0]).bernoulli()
    tensor([0., 1.])
    """
    if p is None:
        return drawn_bernoulli(self, generator)
    return bernoulli_(empty(self.shape, dtype=self.dtype), p, generator=generator)


METHODS: dict[str, Callable[..., Any]] = {
    "new_zeros": new_zeros, "new_ones": new_ones, "new_empty": new_empty, "new_full": new_full,
    "new_tensor": new_tensor, "fill_": fill_, "zero_": zero_, "fill_diagonal_": fill_diagonal_, "uniform_": uniform_,
    "normal_": normal_, "log_normal_": log_normal_, "exponential_": exponential_, "geometric_": geometric_,
    "cauchy_": cauchy_, "random_": random_, "bernoulli_": bernoulli_, "bernoulli": bernoulli,
}  # fmt: skip
