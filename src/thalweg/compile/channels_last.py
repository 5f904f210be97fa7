"""The pass for images: convolutions compute with the channels last, and what lies between two of them does too.

In: the outputs of a program whose images are (N, C, *S), as users write them. Out: an equal program in which what comes
from a convolution is computed as (N, *S, C), through elementwise operations, reductions and movements, until something
needs it in the user's order. Conversions remain at the edges, as index maps on what reads there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.compile.convolutions import lowered, permuted
from thalweg.compile.rewriting import renewed, rewrite_into
from thalweg.compile.simplify import pass_simplify
from thalweg.graph import Node, full, toposort
from thalweg.ops import inverse_order, reshape
from thalweg.ops.rules import known_number


def pass_channels_last(outputs: Sequence[Node]) -> list[Node]:
    """The program with its convolutions made window products, and simplified again; unchanged where there are none."""
    if not any(map(is_convolution, toposort(outputs))):
        return list(outputs)
    return pass_simplify(_Rewriting().run(outputs))


def is_convolution(node: Node) -> bool:
    return node.op.kind == "contract" and "window_dilation" in node.attributes


def last_order(rank: int) -> tuple[int, ...]:
    """The order of axes that puts axis 1 behind the others."""
    return (0, *range(2, rank), 1)


class _Rewriting:
    """One run of the pass. `twins` has the value in the new order for nodes that are computed so."""

    def __init__(self) -> None:
        self.new: dict[Node, Node] = {}
        self.twins: dict[Node, Node] = {}

    def run(self, outputs: Sequence[Node]) -> list[Node]:
        return rewrite_into(self.new, outputs, self._made)

    def _made(self, node: Node) -> Node:
        twin = self._twin(node)
        if twin is None:
            return renewed(node, self.new)
        self.twins[node] = twin
        return permuted(twin, inverse_order(last_order(node.ndim)))

    def _last(self, node: Node) -> Node:
        """The value with its channels last."""
        number = known_number(node)
        order = last_order(node.ndim)
        if number is not None:
            return full(tuple(node.shape[axis] for axis in order), number, node.dtype)
        if node not in self.twins and node.op.identities.get("repeats"):  # rows of parameters: they stay repeated
            return node.op(self._last(node.inputs[0]), **_reordered(node.attributes, order))
        return self.twins[node] if node in self.twins else permuted(self.new[node], order)

    def _twin(self, node: Node) -> Node | None:
        if is_convolution(node):
            return lowered(node, self._last(node.inputs[0]), self.new[node.inputs[1]])
        if not any(each in self.twins for each in node.inputs):
            return None
        if node.op.identities.get("keeps_order"):
            return self._reshaped(node)
        if node.op.kind == "elementwise" or node.op.identities.get("by_axis"):
            attributes = _reordered(node.attributes, last_order(node.ndim))
            return node.op(*map(self._last, node.inputs), **attributes)
        return None

    def _reshaped(self, node: Node) -> Node | None:
        """The batch and the channels stay as they are: the places may be grouped in another way."""
        (x,) = node.inputs
        if node.ndim < 3 or node.shape[:2] != x.shape[:2]:
            return None
        return reshape(self._last(x), shape=(node.shape[0], *node.shape[2:], node.shape[1]))


def _reordered(attributes: Mapping[str, Any], order: tuple[int, ...]) -> dict[str, Any]:
    """What is said of each axis, for axes in another order."""
    result = dict(attributes)
    for name, value in attributes.items():
        if name == "axes":
            result[name] = tuple(sorted(order.index(axis) for axis in value))
        elif name == "axis":
            result[name] = order.index(value)
        elif isinstance(value, tuple) and len(value) == len(order):
            result[name] = tuple(value[axis] for axis in order)
    return result
