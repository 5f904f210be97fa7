"""Random tensors: a generator is a key in a cell, and every draw is a program of Philox bits.

In: shapes, and a generator (the default one is seeded by `tw.manual_seed`). Out: uniform, normal, integer, Bernoulli
tensors and permutations. Inside a compiled step the key is an input and its successor an output, so each call differs.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from thalweg import ops
from thalweg.dtype import DType, as_dtype, float32, float64, int64
from thalweg.errors import ArgumentError, DTypeError, explain
from thalweg.graph import Node, make_input
from thalweg.tensor.arithmetic import (
    add,
    convert,
    divide,
    floor_divide,
    less,
    less_equal,
    log1p,
    multiply,
    remainder,
)  # fmt: skip
from thalweg.tensor.core import Tensor
from thalweg.tensor.devices import check_device
from thalweg.tensor.modes import modes
from thalweg.tensor.reductions import cumsum, sum_, topk
from thalweg.tensor.shaping import flat_ints, reshape, take_range, unsqueeze
from thalweg.tensor.templates import instantiate, templated


class Generator:
    """A source of random numbers: a seed, and the number of draws made so far.

    Two generators with the same seed give the same numbers, on any number of threads.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._cell = Tensor(np.zeros(2, np.int64))
        self.manual_seed(int.from_bytes(os.urandom(6), "little") if seed is None else seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start again from `seed`."""
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise ArgumentError(explain("a seed must be an integer", received=repr(seed), expected="an int"))
        self._set(_wrap64(int(seed)), 0)
        return self

    def _set(self, seed: int, draws: int) -> None:
        array = np.array([seed, draws], np.int64)
        if modes.trace is not None:
            self._cell._assign(modes.trace.read_array(array))
        else:
            self._cell._replace(make_input((2,), int64, array))

    def initial_seed(self) -> int:
        return int(self._cell._array()[0])

    def get_state(self) -> dict[str, int]:
        """What `set_state` needs to continue from here: plain numbers, fit for JSON."""
        seed, draws = self._cell._array().tolist()
        return {"seed": seed, "draws": draws}

    def set_state(self, state: dict[str, int]) -> None:
        self._set(state["seed"], state["draws"])

    def next_key(self) -> Node:
        """The key of one draw; the count in the cell goes up by one."""
        key = self._cell.node
        if modes.trace is None:
            seed, draws = self._cell._array().tolist()
            self._set(seed, draws + 1)
        else:
            self._cell._assign(ops.add(key, ops.iota(shape=(2,), axis=0, dtype="int64")))  # (seed, draws) + (0, 1)
        return key


def _wrap64(seed: int) -> int:
    return ((seed + 2**63) % 2**64) - 2**63


class _Mine(threading.local):
    """What stands for the default generator in this thread."""

    cell: Tensor | None = None


_mine = _Mine()


class _DefaultGenerator(Generator):
    """One for the process; while a thread draws from its own, that one under the same name."""

    @property
    def _cell(self) -> Tensor:
        return self._shared if _mine.cell is None else _mine.cell

    @_cell.setter
    def _cell(self, cell: Tensor) -> None:
        self._shared = cell


default_generator = _DefaultGenerator(0)


@contextlib.contextmanager
def drawing_from(generator: Generator) -> Iterator[None]:
    """In this thread, what would be drawn from the default generator is drawn from this one."""
    before, _mine.cell = _mine.cell, generator._cell
    try:
        yield
    finally:
        _mine.cell = before


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, which initialisation, dropout and `tw.rand*` use.

    >>> import thalweg as tw
    >>> _ = tw.manual_seed(1)
    >>> a = tw.rand(3)
    >>> _ = tw.manual_seed(1)
    >>> bool((a == tw.rand(3)).all())
    True
    """
    return default_generator.manual_seed(seed)


def _bits(shape: tuple[int, ...], generator: Generator | None) -> Node:
    if any(extent < 0 for extent in shape):
        raise ArgumentError(explain("an extent cannot be negative", received=shape, expected="sizes of at least 0"))
    return ops.random_bits((generator or default_generator).next_key(), shape=shape)


def uniform_node(shape: tuple[int, ...], dtype: DType, generator: Generator | None = None) -> Node:
    """Uniform in [0, 1): the top 24 bits of a word for float32, 53 bits of two words for float64."""
    if not dtype.is_floating_point:
        raise DTypeError(
            explain("uniform and normal numbers need a floating-point dtype", received=dtype.name,
                    expected="float32 or float64", remedy="use tw.randint for integers")
        )  # fmt: skip
    if dtype is float64:
        return _fraction53(_bits((2, *shape), generator))
    return _fraction24(_bits(shape, generator))


@templated
def _fraction53(words: Node) -> Node:
    high = multiply(convert(floor_divide(_half(words, 0), 32), float64), 2.0**-27)
    low = multiply(convert(floor_divide(_half(words, 1), 64), float64), 2.0**-53)
    return add(high, low)


@templated
def _fraction24(bits: Node) -> Node:
    return multiply(convert(floor_divide(bits, 256), float32), 2.0**-24)


def normal_node(shape: tuple[int, ...], dtype: DType, generator: Generator | None = None) -> Node:
    """Standard normal by Box and Muller (1958): sqrt(-2 ln u) cos(2 pi v), u in (0, 1]."""
    both = uniform_node((2, *shape), dtype, generator)
    u, v = _half(both, 0), _half(both, 1)
    radius = ops.sqrt(multiply(ops.log(add(ops.negative(u), 1.0)), -2.0))
    return ops.multiply(radius, ops.cos(multiply(v, 2 * math.pi)))


def _half(node: Node, index: int) -> Node:
    return reshape(take_range(node, 0, index, index + 1), node.shape[1:])


def _random(node: Node, requires_grad: bool = False) -> Tensor:
    result = Tensor._result(node)
    return result.requires_grad_() if requires_grad else result


def rand(
    *size: int | Sequence[int],
    generator: Generator | None = None,
    dtype: object = None,
    requires_grad: bool = False,
    device: object = None,
) -> Tensor:
    """Uniform random numbers in [0, 1)."""
    check_device(device)
    return _random(uniform_node(flat_ints(size), as_dtype(dtype or float32), generator), requires_grad)


def randn(
    *size: int | Sequence[int],
    generator: Generator | None = None,
    dtype: object = None,
    requires_grad: bool = False,
    device: object = None,
) -> Tensor:
    """Standard normal random numbers."""
    check_device(device)
    return _random(normal_node(flat_ints(size), as_dtype(dtype or float32), generator), requires_grad)


def randint(
    low: int,
    high: int | Any = None,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    device: object = None,
) -> Tensor:
    """Random integers, int64, low <= value < high; `randint(high, size)` starts at 0."""
    check_device(device)
    if size is None:
        low, high, size = 0, low, high  # type: ignore[assignment]
    if high is None or size is None:
        raise ArgumentError(explain("randint needs bounds and a size", expected="randint(low, high, size)"))
    if high <= low:
        raise ArgumentError(
            explain("randint has nothing to choose from", received=f"low {low}, high {high}", expected="low < high")
        )
    return _random(add(_below(high - low, flat_ints((size,)), generator), low))


def _below(count: int, shape: tuple[int, ...], generator: Generator | None) -> Node:
    """Integers in [0, count): a remainder of enough bits that no value is favoured by more than 1 in 10,000."""
    if count <= 2**18:
        return remainder(_bits(shape, generator), count)
    words = _bits((2, *shape), generator)
    wide = add(multiply(floor_divide(_half(words, 0), 2), 2**32), _half(words, 1))  # 63 bits
    return remainder(wide, count)


def rand_like(
    other: Tensor, generator: Generator | None = None, *, dtype: object = None, device: object = None
) -> Tensor:
    """Like `rand`, of the shape of another tensor, and of its dtype unless `dtype` says otherwise."""
    return rand(other.shape, generator=generator, dtype=dtype or other.dtype, device=device)


def randn_like(
    other: Tensor, generator: Generator | None = None, *, dtype: object = None, device: object = None
) -> Tensor:
    """Like `randn`, of the shape of another tensor, and of its dtype unless `dtype` says otherwise."""
    return randn(other.shape, generator=generator, dtype=dtype or other.dtype, device=device)


def bernoulli_node(p: float, shape: tuple[int, ...], generator: Generator | None = None) -> Node:
    """True with probability p."""
    return instantiate(less, [uniform_node(shape, float32, generator), p])  # type: ignore[no-any-return]


def bernoulli(probabilities: Tensor, generator: Generator | None = None) -> Tensor:
    """1 with the given probabilities, else 0."""
    with_node = probabilities.detach().node
    drawn = less(uniform_node(probabilities.shape, float32, generator), with_node)
    return _random(convert(drawn, probabilities.dtype))


def randperm(n: int, generator: Generator | None = None, *, device: object = None) -> Tensor:
    """The integers 0..n-1 in random order."""
    check_device(device)
    order = ops.argsort(_bits((n,), generator), axis=0, descending=False)
    return _random(order)


def multinomial(
    probabilities: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Positions along the last axis, drawn with the given (unnormalised) probabilities.

    Without replacement no position comes twice: the largest of p / e with exponential e, which picks in proportion.
    """
    weights = probabilities.detach()
    if not weights.dtype.is_floating_point or weights.ndim not in (1, 2):
        raise ArgumentError(
            explain("multinomial takes floating-point weights of one or two axes", received=weights._summary())
        )
    if num_samples < 1 or (not replacement and num_samples > weights.shape[-1]):
        raise ArgumentError(
            explain("multinomial cannot draw that many", received=f"num_samples={num_samples}",
                    expected=f"1 to {weights.shape[-1]} without replacement", remedy="pass replacement=True")
        )  # fmt: skip
    if replacement:
        return _with_replacement(weights, num_samples, generator)
    uniform = rand(*weights.shape, generator=generator, dtype=weights.dtype)
    exponential = add(ops.negative(log1p(ops.negative(uniform.node))), 1e-30)  # never 0, so that 0 / e is 0
    return _random(topk(divide(weights.node, exponential), num_samples).indices)


def _with_replacement(weights: Tensor, num_samples: int, generator: Generator | None) -> Tensor:
    """How many edges of the running total lie at or below a uniform number; the last edge is 1 exactly."""
    edges = cumsum(weights.node, -1)
    count = weights.shape[-1]
    edges = divide(edges, take_range(edges, edges.ndim - 1, count - 1, count))
    drawn = rand(*weights.shape[:-1], num_samples, generator=generator, dtype=weights.dtype).node
    passed = less_equal(unsqueeze(edges, -2), unsqueeze(drawn, -1))
    return _random(sum_(passed, -1))
