"""The pass for padding: what a convolution wants padded is computed with its zeros around it, not copied there.

In: the outputs of a program in which window products read padded values. Out: an equal program in which the elementwise
operations before such a padding run over the padded entries, zeros at the ends, and everybody else reads the middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.compile.fuse import may_be_refused
from thalweg.compile.operands import reads_windows
from thalweg.compile.rewriting import renewed, rewrite_into
from thalweg.compile.views import view_of
from thalweg.dtype import bool_
from thalweg.graph import Node, full, toposort
from thalweg.ops import broadcast, pad, slice_, where
from thalweg.ops.rules import known_number

_MOST_NODES = 24  # operations done once more where others need the values in between


def pass_paddings(outputs: Sequence[Node]) -> list[Node]:
    """The program with what is padded made so; unchanged where nothing is."""
    wanted = _wanted(toposort(outputs))
    return _Rewriting(wanted).run(outputs) if wanted else list(outputs)


def _wanted(order: Sequence[Node]) -> dict[Node, Node]:
    """The padding of each elementwise value that a window product reads so; of several, the widest."""
    wanted: dict[Node, Node] = {}
    for node in filter(reads_windows, order):
        for operand in node.inputs:
            source = view_of(operand).source
            if _is_padding(source):
                inner = source.inputs[0]
                wanted[inner] = max(wanted.get(inner, source), source, key=lambda each: each.size)
    return wanted


def _is_padding(node: Node) -> bool:
    if node.op is not pad or any(node.attributes["interior"]) or node.attributes["value"] != 0:
        return False
    inner = node.inputs[0]
    return inner.op.kind == "elementwise" and known_number(inner) is None and bool(inner.size)


@dataclass(frozen=True)
class Whole:
    """A value with zeros around it, and how many of them come first along each axis."""

    node: Node
    low: tuple[int, ...]

    def fits(self, padding: Node) -> bool:
        return self.node.shape == padding.shape and self.low == padding.attributes["low"]


class _Rewriting:
    """One run of the pass."""

    def __init__(self, wanted: dict[Node, Node]) -> None:
        self.wanted = wanted
        self.new: dict[Node, Node] = {}
        self.padded: dict[Node, Whole] = {}  # of a value: it with zeros around

    def run(self, outputs: Sequence[Node]) -> list[Node]:
        return rewrite_into(self.new, outputs, self._made)

    def _made(self, node: Node) -> Node:
        if node.op is pad and self.wanted.get(node.inputs[0]) is node:
            return self.padded[self.new[node.inputs[0]]].node
        padding = self.wanted.get(node)
        again = renewed(node, self.new)
        return again if padding is None else self._inside(again, padding)

    def _inside(self, node: Node, padding: Node) -> Node:
        """The middle of the value that is computed with its zeros."""
        widened = _Widened(padding, self.padded).of(node)
        zeros = full(padding.shape, 0, node.dtype)
        whole = where(_is_inside(padding), widened, zeros)
        low = padding.attributes["low"]
        stop = tuple(start + extent for start, extent in zip(low, node.shape, strict=True))
        result = slice_(whole, start=low, stop=stop, step=(1,) * node.ndim)
        self.padded[result] = Whole(whole, low)
        return result


def _is_inside(padding: Node) -> Node:
    """Where the padding has an entry of what it pads."""
    return pad(full(padding.inputs[0].shape, True, bool_), **padding.attributes)


class _Widened:
    """An elementwise value over the places of a padding; at the ends it may be anything."""

    def __init__(self, padding: Node, padded: dict[Node, Whole]) -> None:
        self.padding, self.padded = padding, padded
        self.known: dict[Node, Node] = {}
        self.room = _MOST_NODES

    def of(self, node: Node) -> Node:
        if node not in self.known:
            self.known[node] = self._of(node)
        return self.known[node]

    def _of(self, node: Node) -> Node:
        number = known_number(node)
        if number is not None:
            return full(self.padding.shape, number, node.dtype)
        if node in self.padded and self.padded[node].fits(self.padding):
            return self.padded[node].node
        if node.op.identities.get("waits"):  # what it shows is in memory, and must not be made again of what made it
            return node.op(pad(node.inputs[0], **self.padding.attributes), self.of(node.inputs[1]))
        if node.op.kind == "elementwise" and self.room and not may_be_refused(node):
            self.room -= 1
            return node.op(*map(self.of, node.inputs), **node.attributes)
        if node.op.identities.get("repeats") and self._repeats_along_widths(node):
            return broadcast(node.inputs[0], shape=self.padding.shape)
        return pad(node, **self.padding.attributes)

    def _repeats_along_widths(self, node: Node) -> bool:
        """Whether the value is repeated along every axis that is widened: then it may go on."""
        extents = zip(node.inputs[0].shape, node.shape, self.padding.shape, strict=True)
        return all(source == 1 or inner == outer for source, inner, outer in extents)
