"""A program for a part of the batch: each value that has the batch as its first axis, with fewer of its entries.

In: the outputs of a program and into how many parts their first axis is cut. Out: the program of one part, and which
inputs it reads a part of: part i of each output is made of part i of those, and of the others as a whole. None where
some operation mixes the entries of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from thalweg import ops
from thalweg.graph import Node, Shape, full, input_leaf, make_input, toposort
from thalweg.ops.rules import known_number


class _Mixes(Exception):
    """An operation in which one part of the batch needs another."""


@dataclass
class Narrowed:
    """The program of one part. `inputs` are (the input of the whole program, whether it is cut, what stands for it)."""

    parts: int
    outputs: list[Node] = field(default_factory=list)
    inputs: list[tuple[Node, bool, Node]] = field(default_factory=list)


def narrowed(outputs: Sequence[Node], parts: int) -> Narrowed | None:
    """The program of one of so many parts of the outputs' first axes."""
    narrowing = _Narrowing(parts)
    try:
        made = [narrowing.part(each) for each in outputs]
    except _Mixes:
        return None
    result = Narrowed(parts, made)
    result.inputs = [(node, is_cut, inside) for (node, is_cut), inside in narrowing.inputs.items()]
    result.inputs += [(node, False, node) for node in narrowing.whole_inputs()]
    return result


class _Narrowing:
    def __init__(self, parts: int) -> None:
        self.parts = parts
        self.done: dict[Node, Node] = {}
        self.inputs: dict[tuple[Node, bool], Node] = {}
        self.wholes: dict[Node, None] = {}

    def whole_inputs(self) -> list[Node]:
        return [node for node in toposort(self.wholes) if node.op is input_leaf]

    def whole(self, node: Node) -> Node:
        """A value that does not have the batch as its first axis."""
        self.wholes[node] = None
        return node

    def part(self, node: Node) -> Node:
        """One part of a value."""
        found = self.done.get(node)
        if found is None:
            found = self.done[node] = self._made(node)
        return found

    def shape(self, shape: Shape) -> Shape:
        if not shape or shape[0] % self.parts:
            raise _Mixes
        return (shape[0] // self.parts, *shape[1:])

    def _made(self, node: Node) -> Node:
        shape, number = self.shape(node.shape), known_number(node)
        if number is not None:
            return full(shape, number, node.dtype)
        if node.op is input_leaf:
            return self.inputs.setdefault((node, True), make_input(shape, node.dtype))
        if node.op.kind == "elementwise":
            return node.op(*[self.part(each) for each in node.inputs], **node.attributes)
        if node.op.kind == "reduce" and 0 not in node.attributes.get("axes", (node.attributes.get("axis"),)):
            return node.op(*[self.part(each) for each in node.inputs], **node.attributes)
        make = _RULES.get(node.op)
        if make is None:
            raise _Mixes
        return make(self, node, shape)


def _matmul(n: _Narrowing, node: Node, shape: Shape) -> Node:
    a, b = node.inputs
    if node.ndim == 2:
        if node.attributes["transpose_a"]:
            raise _Mixes
        return ops.matmul(n.part(a), n.whole(b), **node.attributes)
    return ops.matmul(*[n.part(each) if each.shape[0] == node.shape[0] else n.whole(each) for each in (a, b)],
                      **node.attributes)  # fmt: skip


def _reshape(n: _Narrowing, node: Node, shape: Shape) -> Node:
    return ops.reshape(n.part(node.inputs[0]), shape=shape)


def _broadcast(n: _Narrowing, node: Node, shape: Shape) -> Node:
    (x,) = node.inputs
    return ops.broadcast(n.whole(x) if x.shape[0] == 1 else n.part(x), shape=shape)


def _permute(n: _Narrowing, node: Node, shape: Shape) -> Node:
    if node.attributes["order"][0] != 0:
        raise _Mixes
    return ops.permute(n.part(node.inputs[0]), **node.attributes)


def _slice(n: _Narrowing, node: Node, shape: Shape) -> Node:
    (x,), known = node.inputs, node.attributes
    if (known["start"][0], known["stop"][0], known["step"][0]) != (0, x.shape[0], 1):
        raise _Mixes
    return ops.slice_(n.part(x), start=known["start"], stop=(shape[0], *known["stop"][1:]), step=known["step"])


def _pad(n: _Narrowing, node: Node, shape: Shape) -> Node:
    known = node.attributes
    if known["low"][0] or known["high"][0] or known["interior"][0]:
        raise _Mixes
    return ops.pad(n.part(node.inputs[0]), **known)


def _flip(n: _Narrowing, node: Node, shape: Shape) -> Node:
    if 0 in node.attributes["axes"]:
        raise _Mixes
    return ops.flip(n.part(node.inputs[0]), **node.attributes)


def _concatenate(n: _Narrowing, node: Node, shape: Shape) -> Node:
    if node.attributes["axis"] == 0:
        raise _Mixes
    return ops.concatenate(*[n.part(each) for each in node.inputs], **node.attributes)


def _contiguous(n: _Narrowing, node: Node, shape: Shape) -> Node:
    return ops.contiguous(n.part(node.inputs[0]), **node.attributes)


def _iota(n: _Narrowing, node: Node, shape: Shape) -> Node:
    if node.attributes["axis"] == 0:
        raise _Mixes
    return ops.iota(**{**node.attributes, "shape": shape})


_RULES = {
    ops.matmul: _matmul,
    ops.reshape: _reshape,
    ops.broadcast: _broadcast,
    ops.permute: _permute,
    ops.slice_: _slice,
    ops.pad: _pad,
    ops.flip: _flip,
    ops.concatenate: _concatenate,
    ops.contiguous: _contiguous,
    ops.iota: _iota,
}
