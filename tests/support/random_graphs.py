"""Random programs for Hypothesis: every kind of operation, movement chains, shared nodes, several results.

In: Hypothesis' `draw` and a dtype. Out: a `RandomGraph` with inputs, arrays for them, and nodes to choose results from.

Values stay of moderate size. What jumps (comparisons, rounding, positions of an extreme) reads only *exact* nodes, made
of inputs without rounding, so that two ways of rounding cannot fall on different sides of a jump.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.support.compiled import LANES
from thalweg import ops
from thalweg.dtype import DType, int64
from thalweg.graph import Node, Shape, full, make_input
from thalweg.ops.convolution import Form

SHAPES: list[Shape] = [
    (), (1,), (7,), (LANES + 1,), (1, 1), (3, 5), (1, LANES + 1), (LANES + 1, 1), (2, 2 * LANES + 1), (16, 16), (4, 0),
    (2, 3, 5), (2, 1, LANES - 1), (1, 3, 1),
]  # fmt: skip
IMAGES: list[Shape] = [(2, 3, 5, 4), (1, LANES + 1, 3, 3), (3, 4, 6), (2, 2, 7, 1), (2, 1, 4, 5), (1, 2, 3, 2, 2)]
_ROWS = 5  # of the table that rows are gathered from


def above_zero(x: Node) -> Node:
    return x * x + 0.5


UNARY: list[Callable[[Node], Node]] = [
    ops.tanh, ops.sigmoid, ops.negative, ops.sin, ops.cos, ops.arctan, ops.erf, ops.softplus, ops.detach,
    lambda x: ops.exp(-ops.absolute(x)), lambda x: ops.expm1(ops.tanh(x)), lambda x: ops.log(above_zero(x)),
    lambda x: ops.log1p(x * x), lambda x: ops.sqrt(above_zero(x)), lambda x: 1.0 / above_zero(x),
    lambda x: ops.absolute(x) * 0.5, lambda x: x * 0.5 + 1.0,
]  # fmt: skip
BINARY: list[Callable[[Node, Node], Node]] = [
    ops.add, ops.subtract, ops.multiply, lambda a, b: ops.tanh(ops.chain_product(a, b)),
    lambda a, b: ops.divide(a, above_zero(b)), lambda a, b: ops.power(above_zero(a), ops.tanh(b)),
]  # fmt: skip
JUMPS: list[Callable[[Node], Node]] = [ops.floor, ops.ceil, ops.round_, ops.trunc, ops.sign]
COMPARISONS = [ops.equal, ops.not_equal, ops.less, ops.less_equal]


class RandomGraph:
    """Nodes drawn one after the other, each from those before it."""

    shapes = SHAPES

    def __init__(self, draw: Callable[[Any], Any], dtype: DType, count: int) -> None:
        self.draw, self.dtype = draw, dtype
        self.generator = np.random.default_rng(draw(st.integers(0, 2**16)))
        self.inputs: list[Node] = []
        self.arrays: list[np.ndarray] = []
        shape = draw(st.sampled_from(self.shapes))
        self.nodes = [self.real_input(shape), self.real_input(shape), self.real_input(self.row_of(shape))]
        self.table = self.real_input((_ROWS, 3))
        self.exact = {*self.nodes, self.table}
        for _ in range(count):
            node = draw(st.sampled_from(self.kinds()))(self)
            if node is not None and node.size <= 4096:
                self.nodes.append(node)

    @staticmethod
    def row_of(shape: Shape) -> Shape:
        return tuple(1 if axis else extent for axis, extent in enumerate(shape))

    @staticmethod
    def kinds() -> list[Callable[[Any], Node | None]]:
        return KINDS

    # --- inputs ------------------------------------------------------------------------------------------------------

    def real_input(self, shape: Shape) -> Node:
        return self.given(np.asarray(self.generator.uniform(-2, 2, shape)).astype(self.dtype.numpy), self.dtype)

    def positions(self, shape: Shape, bound: int) -> Node:
        return self.given(np.asarray(self.generator.integers(0, bound, shape)), int64)

    def given(self, array: np.ndarray, dtype: DType) -> Node:
        self.inputs.append(make_input(array.shape, dtype))
        self.arrays.append(array)
        return self.inputs[-1]

    # --- choosing ----------------------------------------------------------------------------------------------------

    def pick(self, among: list[Node] | None = None) -> Node:
        return self.draw(st.sampled_from(self.nodes if among is None else among))

    def pick_exact(self) -> Node:
        return self.pick([node for node in self.nodes if node in self.exact])

    def pick_like(self, x: Node) -> Node:
        return self.pick([node for node in self.nodes if node.shape == x.shape])

    def axes(self, x: Node) -> tuple[int, ...]:
        return tuple(axis for axis in range(len(x.shape)) if self.draw(st.booleans()))

    def keeps_exact(self, node: Node, *sources: Node) -> Node:
        if all(each in self.exact for each in sources):
            self.exact.add(node)
        return node

    # --- the kinds of operations -------------------------------------------------------------------------------------

    def unary(self) -> Node:
        return self.draw(st.sampled_from(UNARY))(self.pick())

    def binary(self) -> Node:
        x = self.pick()
        return self.draw(st.sampled_from(BINARY))(x, self.pick_like(x))

    def jump(self) -> Node:
        x = self.pick_exact()
        return self.keeps_exact(self.draw(st.sampled_from(JUMPS))(x), x)

    def choice(self) -> Node:
        x = self.pick_exact()
        threshold = full(x.shape, 0.25, self.dtype)
        condition = self.draw(st.sampled_from(COMPARISONS))(x, threshold)
        if self.draw(st.booleans()):
            condition = ops.bitwise_xor(condition, ops.less(threshold, ops.negative(x)))
        return ops.where(condition, self.pick_like(x), self.pick_like(x))

    def extreme_of_two(self) -> Node:
        x = self.pick_exact()
        exact = [node for node in self.nodes if node.shape == x.shape and node in self.exact]
        record, other = self.draw(st.sampled_from([ops.maximum, ops.minimum])), self.pick(exact)
        return self.keeps_exact(record(x, other), x, other)

    def total(self) -> Node:
        x = self.pick()
        return ops.sum_(x, axes=self.axes(x)) * 0.2

    def extreme(self) -> Node | None:
        x, record = self.pick(), self.draw(st.sampled_from([ops.amax, ops.amin]))
        axes = self.axes(x)
        return None if any(x.shape[axis] == 0 for axis in axes) else self.keeps_exact(record(x, axes=axes), x)

    def position_of_extreme(self) -> Node | None:
        x = self.pick_exact()
        if not x.shape or 0 in x.shape:
            return None
        axis, record = self.draw(st.integers(0, len(x.shape) - 1)), self.draw(st.sampled_from([ops.argmax, ops.argmin]))
        return ops.cast(record(x, axis=axis), dtype=self.dtype.name) * 0.1

    def spread(self) -> Node:
        x = self.pick()
        fits = [each.shape for each in self.nodes if len(each.shape) == len(x.shape)
                and all(a in (1, b) for a, b in zip(x.shape, each.shape, strict=True))]  # fmt: skip
        return self.keeps_exact(ops.broadcast(x, shape=self.draw(st.sampled_from(fits))), x)

    def reshaped(self) -> Node:
        x = self.pick()
        shapes = [(x.size,), (1, *x.shape), (*x.shape, 1), x.shape[::-1]]
        if len(x.shape) == 2 and x.shape[0] % 2 == 0:
            shapes.append((2, x.shape[0] // 2, x.shape[1]))
        return self.keeps_exact(ops.reshape(x, shape=self.draw(st.sampled_from(shapes))), x)

    def permuted(self) -> Node:
        x = self.pick()
        turned = ops.permute(x, order=tuple(self.draw(st.permutations(range(len(x.shape))))))
        return self.keeps_exact(ops.contiguous(turned) if self.draw(st.booleans()) else turned, x)

    def flipped(self) -> Node:
        x = self.pick()
        return self.keeps_exact(ops.flip(x, axes=self.axes(x)), x)

    def sliced(self) -> Node:
        x = self.pick()
        start = tuple(self.draw(st.integers(0, min(extent, 2))) for extent in x.shape)
        bounds = [(max(low, extent - 1), extent) for low, extent in zip(start, x.shape, strict=True)]
        stop = tuple(self.draw(st.integers(*each)) for each in bounds)
        step = tuple(self.draw(st.integers(1, 3)) for _ in x.shape)
        return self.keeps_exact(ops.slice_(x, start=start, stop=stop, step=step), x)

    def padded(self) -> Node:
        x = self.pick()
        low, high, interior = (tuple(self.draw(st.integers(0, 2)) for _ in x.shape) for _ in range(3))
        value = self.draw(st.sampled_from([0, 0, 0.75]))
        return self.keeps_exact(ops.pad(x, low=low, high=high, interior=interior, value=value), x)

    def joined(self) -> Node | None:
        x = self.pick()
        if not x.shape:
            return None
        other = self.pick_like(x)
        axis = self.draw(st.integers(0, len(x.shape) - 1))
        return self.keeps_exact(ops.concatenate(x, other, x, axis=axis), x, other)

    def product(self) -> Node | None:
        x = self.pick()
        if len(x.shape) < 2:
            return None
        flags = {"transpose_a": self.draw(st.booleans()), "transpose_b": self.draw(st.booleans())}
        inner = x.shape[-2 if flags["transpose_a"] else -1]
        fits = [each for each in self.nodes if len(each.shape) == len(x.shape) and each.shape[:-2] == x.shape[:-2]
                and each.shape[-1 if flags["transpose_b"] else -2] == inner]  # fmt: skip
        return ops.matmul(x, self.pick(fits), **flags) * 0.2 if fits else None

    def convolved(self) -> Node | None:
        """Over any axes, with groups where the channels allow them; a weight of its own."""
        x, draw = self.pick(), self.draw
        if len(x.shape) < 3 or len(x.shape) > 5:
            return None
        dims, inside = len(x.shape) - 2, x.shape[1]
        groups = draw(st.sampled_from([each for each in (1, 1, inside) if each]))
        kernel, stride, dilation, spread = (
            tuple(draw(st.sampled_from(each)) for _ in range(dims))
            for each in ((1, 2, 3), (1, 1, 2), (1, 1, 2), (1, 1, 2))
        )
        padding = tuple((draw(st.integers(-1, 2)), draw(st.integers(-1, 2))) for _ in range(dims))
        shape = (groups * draw(st.sampled_from([1, 2, 3])), inside // groups, *kernel)
        node = Form(stride, padding, spread, dilation, groups).apply(x, self.real_input(shape))
        return node * 0.2 if node.size else None

    def pooled(self) -> Node | None:
        """The largest of neighbours, as pooling does it."""
        x = self.pick_exact()
        if len(x.shape) < 3 or x.shape[-1] < 2 or not x.size:
            return None
        starts = [(0,) * (len(x.shape) - 1) + (first,) for first in (0, 1)]
        parts = [
            ops.slice_(x, start=start, stop=(*x.shape[:-1], x.shape[-1] - 1 + start[-1]), step=(1,) * len(x.shape))
            for start in starts
        ]
        return self.keeps_exact(ops.maximum(*parts), x)

    def gathered(self) -> Node:
        positions = self.positions(self.draw(st.sampled_from([(), (3,), (2, 5)])), _ROWS)
        return ops.gather(self.table, positions, role="index")

    def scattered(self) -> Node | None:
        x = self.pick()
        if not x.shape:
            return None
        index, shape = self.positions(x.shape[:1], _ROWS), (_ROWS, *x.shape[1:])
        if self.draw(st.booleans()):
            return ops.scatter_add(x, index, shape=shape, role="index")
        if x.shape[0] > _ROWS:
            return None
        base = [node for node in self.nodes if node.shape == shape] or [full(shape, 0.5, self.dtype)]
        index = self.given(self.generator.permutation(_ROWS)[: x.shape[0]], int64)
        return ops.index_put(self.pick(base), x, index, role="index")

    def counted(self) -> Node | None:
        x = self.pick()
        if not x.shape or x.shape[-1] == 0:
            return None
        if self.draw(st.booleans()):
            return ops.iota(shape=x.shape, axis=len(x.shape) - 1, dtype=self.dtype.name) * 0.1
        labels = self.positions(x.shape[:-1], x.shape[-1])
        return ops.one_hot(labels, size=x.shape[-1], dtype=self.dtype.name, role="index")

    def drawn(self) -> Node:
        shape = self.draw(st.sampled_from([node.shape for node in self.nodes]))
        bits = ops.random_bits(self.given(self.generator.integers(0, 1000, 2), int64), shape=shape)
        return ops.cast(bits, dtype=self.dtype.name) * 2.0**-32

    def whole(self) -> Node:
        """A detour through whole numbers: their division and remainder."""
        x = self.pick_exact()
        n = ops.cast(ops.floor(x * 8.0), dtype="int64")
        by = full(n.shape, self.draw(st.sampled_from([1, 3, -5])), int64)
        result = ops.floor_divide(n, by) if self.draw(st.booleans()) else ops.remainder(n, by)
        return ops.cast(result, dtype=self.dtype.name) * 0.1


KINDS: list[Callable[[RandomGraph], Node | None]] = [
    *[RandomGraph.unary, RandomGraph.binary] * 4,
    *[RandomGraph.total, RandomGraph.extreme, RandomGraph.product, RandomGraph.spread] * 2,
    RandomGraph.jump, RandomGraph.choice, RandomGraph.extreme_of_two, RandomGraph.position_of_extreme,
    RandomGraph.reshaped, RandomGraph.permuted, RandomGraph.flipped, RandomGraph.sliced, RandomGraph.padded,
    RandomGraph.joined, RandomGraph.gathered, RandomGraph.scattered, RandomGraph.counted, RandomGraph.drawn,
    RandomGraph.whole, RandomGraph.convolved,
]  # fmt: skip


class RandomImages(RandomGraph):
    """Graphs of convolutions and what lies between them: the order of axes changes there."""

    shapes = IMAGES

    @staticmethod
    def row_of(shape: Shape) -> Shape:
        """A number for each channel."""
        return (1, shape[1], *(1,) * (len(shape) - 2))

    @staticmethod
    def kinds() -> list[Callable[[Any], Node | None]]:
        return [*KINDS, *[RandomGraph.convolved] * 6, *[RandomGraph.pooled, RandomGraph.binary, RandomGraph.padded] * 2]


def used_primitives(graph: RandomGraph) -> set[str]:
    """Which records occur in it."""
    from_nodes = {node.op.name for root in graph.nodes for node in _all_behind(root)}
    return from_nodes - {"input", "constant"}


def _all_behind(root: Node) -> set[Node]:
    found, stack = set(), [root]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack.extend(node.inputs)
    return found
