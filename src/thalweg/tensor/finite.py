"""Whether a step may be applied: its loss and every gradient are finite; and cells that otherwise stay as they are.

In: the loss and the gradients of a traced step, as nodes, and its writes. Out: one flag, and writes that depend on it.
The flag is part of the program, so that a NaN reaches neither weights nor the optimizer's state, however many steps
run in one call.

A gradient that is a matrix product of smaller matrices, aᵀ b with n terms an entry, is not looked at: its entries are
at most n · max|a| · max|b|, and that is what is asked to be in range. The product can then go into the update as it
leaves the registers, as it does without the flag. Elsewhere the largest entry is asked for itself.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence

from thalweg import ops
from thalweg.dtype import DType, bool_, float32
from thalweg.graph import Node, constant, full, substitute

# The largest gradient that is applied: its square, which second moments hold, and sums of such squares are finite.
_LARGEST = {"float32": 2.0**60, "float64": 2.0**500}


def largest_gradient(dtype: DType) -> float:
    """The bound in that number format: 1.15e18 in float32."""
    return _LARGEST[dtype.name]


def is_applicable(values: Iterable[Node], gradients: Iterable[Node]) -> tuple[Node, list[Node]]:
    """A flag, 0-d: whether these values (a loss, running statistics) are finite and no gradient is NaN or too large.

    And the gradients whose entries it depends on.
    """
    bounds, found = _Bounds(), [each for each in gradients if _has_numbers(each)]
    for each in found:
        bounds.note_products(each)
    flags = [_is_finite(each, bounds.extreme(each)) for each in values if _has_numbers(each)]
    flags += [ops.less(_number(bounds.of(each)), constant(largest_gradient(each.dtype), each.dtype)) for each in found]
    return functools.reduce(ops.bitwise_and, flags) if flags else constant(True, bool_), bounds.seen


def health(flag: Node) -> Node:
    """0 where the flag is set, else NaN: a float, which is what ends a run of steps in one native call."""
    return ops.where(flag, constant(0.0, float32), constant(math.nan, float32))


def guarded(writes: Sequence[tuple[Node, Node]], flag: Node, seen: Sequence[Node]) -> list[Node]:
    """New values of cells, each given with its old one: the old one where the flag is not set.

    What is made of gradients that the flag looks at is made of them after it is known. Otherwise the new values would
    be computed on the way, stored, loaded and chosen from.
    """
    late = {each: chosen(flag, each, full(each.shape, 0.0, each.dtype)) for each in seen}
    news = substitute([new for new, _ in writes], late)
    return [chosen(flag, new, old) for new, (_, old) in zip(news, writes, strict=True)]


def chosen(flag: Node, new: Node, old: Node) -> Node:
    """All entries of the one or all of the other."""
    if not new.ndim:
        return ops.where(flag, new, old)
    return ops.where(ops.broadcast(ops.reshape(flag, shape=(1,) * new.ndim), shape=new.shape), new, old)


class _Bounds:
    """Upper bounds of the magnitude of nodes, as nodes with a single entry; the largest entry of each is found once."""

    def __init__(self) -> None:
        self.extremes: dict[Node, Node] = {}
        self.operands: set[Node] = set()
        self.seen: list[Node] = []  # whose own entries were looked at

    def note_products(self, node: Node) -> None:
        """Whose largest entry will be known, since products are made of them."""
        product = _behind_movements(node)
        if _is_large_product(product):
            self.operands.update(product.inputs)

    def of(self, node: Node) -> Node:
        inner = _behind_movements(node)
        if _is_large_product(inner):
            a, b = inner.inputs
            terms = a.shape[-2 if inner.attributes["transpose_a"] else -1]
            return _times(_number(self.extreme(a)) * _number(self.extreme(b)), terms)
        if inner.op is ops.sum_ and inner.inputs[0] in self.operands:  # a bias beside its weight
            return _times(_number(self.extreme(inner.inputs[0])), inner.inputs[0].size // inner.size)
        self.seen.append(node)
        return self.extreme(inner)

    def extreme(self, node: Node) -> Node:
        """The largest magnitude of the entries; NaN if one is NaN."""
        if node not in self.extremes:
            magnitude = ops.absolute(node)
            self.extremes[node] = ops.amax(magnitude, axes=tuple(range(node.ndim))) if node.ndim else magnitude
        return self.extremes[node]


def _is_large_product(node: Node) -> bool:
    """Whether the node is a product with more entries than its operands have together."""
    return node.op is ops.matmul and _has_numbers(node) and node.size > sum(each.size for each in node.inputs)


def _behind_movements(node: Node) -> Node:
    """What a node has the entries of, in another order or shape."""
    while node.op is ops.detach or (
        node.op.kind == "move" and len(node.inputs) == 1 and node.size == node.inputs[0].size
    ):
        node = node.inputs[0]
    return node


def _number(node: Node) -> Node:
    """The only entry, 0-d."""
    return ops.reshape(node, shape=()) if node.ndim else node


def _times(node: Node, count: int) -> Node:
    return node * float(count)


def _is_finite(node: Node, extreme: Node) -> Node:
    return ops.less(_number(extreme), constant(math.inf, node.dtype))


def _has_numbers(node: Node) -> bool:
    return not node.op.multiple and node.dtype.is_floating_point and node.size > 0
