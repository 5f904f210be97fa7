"""`loss.backward()` of a structure that has come before: forward and backward pass run at once, as one program.

In: a loss whose graph is pending. Out: the values of the loss, of all live results and pending writes, and of the
gradients, without a node of the backward pass being made; or None, and `backward` builds the graph of the gradients.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence

import numpy as np

from thalweg import ops
from thalweg.compile import compiler
from thalweg.compile.program import Program
from thalweg.gradient import gradients, stops_gradient
from thalweg.graph import Node, full, input_leaf
from thalweg.tensor import lazy
from thalweg.tensor.core import Tensor, overwritten_at, pending_writes
from thalweg.tensor.lazy import BY_HAND, DRAWN, FIXED, OVERWRITTEN, RETURNING, SPENT, Given, Record, draw, leaf_key

_SHOWN, _TARGET = 2, 4
_HISTORY = SPENT | OVERWRITTEN | BY_HAND


class Survey:
    """The graph behind a loss: what may be differentiated, what is pending behind that, and the leaves of both.

    `key` is equal for graphs that differ only in the identity of their nodes and in their leaves' values: nodes are
    numbered in the order in which a walk from the loss meets them. A place is an index into `inner`, or ~index into
    `leaves`.
    """

    def __init__(self, root: Node, seed: Node | None) -> None:
        self.root, self.seed = root, seed
        self.is_usable = True
        self.inner, self.leaves = [root], []  # type: tuple[list[Node], list[Node]]
        self.place: dict[Node, int] = {root: 0}
        self.shown: list[tuple[int, Tensor]] = []
        self.targets: list[tuple[int, Tensor]] = []
        self._parts: list[Hashable] = ["sweep"]
        self._overwritten: list[Node] = []
        ends = self._walk_differentiable()
        self._walk_pending(ends)
        for node in self._overwritten:
            self._parts.append(tuple([each.serial < overwritten_at[node] for each in self.inner]))
        self.key = tuple(self._parts)

    def node(self, place: int) -> Node:
        return self.inner[place] if place >= 0 else self.leaves[~place]

    def expect(self, record: Record, made: int) -> None:
        """Note how large the pass is, with the nodes that were made for it, and whether it will be a program."""
        record.size = len(self.inner) + made
        if record.size <= lazy.LARGEST and not record.is_refused:
            for node in self.inner:
                node.notes |= RETURNING

    def _walk_differentiable(self) -> list[Node]:
        """The nodes that a cotangent may pass. Given back are those at which it ends."""
        inner, place, parts, ends = self.inner, self.place, self._parts, []
        for node in inner:  # which grows meanwhile
            if node.op.chain_rule is None and stops_gradient(node):
                ends.append(node)
                continue
            parts.append(node.form.number)
            parts.append(self._flags(node, True) if node.holder is not None or node.notes else node.value is not None)
            for each in node.inputs:
                where = place.get(each)
                if where is not None:
                    parts.append(where)
                elif not each.inputs or each.notes & FIXED or (each.value is not None and stops_gradient(each)):
                    parts.append(self._leaf(each, True))
                else:
                    parts.append(len(inner))
                    place[each] = len(inner)
                    inner.append(each)
        return ends

    def _walk_pending(self, ends: Sequence[Node]) -> None:
        """What has to be computed behind those nodes, for writes that wait, and for the cotangent of the loss."""
        first = len(self.inner)
        self._parts.append(first)
        for node in ends:
            self._pending(node, True)
        for tensor in pending_writes():
            self._parts.append(self._placed(tensor._node))
        if self.seed is not None:
            self._parts.append(self._placed(self.seed))
        for index in itertools.count(first):
            if index >= len(self.inner):
                break
            self._pending(self.inner[index], False)

    def _pending(self, node: Node, is_in_order: bool) -> None:
        self._parts.append(node.form.number)
        self._parts.append(self._flags(node, is_in_order))
        self._parts.extend([self._placed(each) for each in node.inputs])

    def _placed(self, node: Node) -> Hashable:
        where = self.place.get(node)
        if where is not None:
            return where
        if node.notes & DRAWN:
            draw(node)
        if not node.inputs or node.notes & FIXED or node.value is not None:
            return self._leaf(node, False)
        where = self.place[node] = len(self.inner)
        self.inner.append(node)
        return where

    def _flags(self, node: Node, is_in_order: bool) -> Hashable:
        """Whether the value is known, whether a tensor shows it, and whether its gradient is collected."""
        flags = int(node.value is not None)
        tensor = None if node.holder is None else node.holder()
        if tensor is not None:
            if not flags and tensor._node is node:
                flags = _SHOWN
                self.shown.append((self.place[node], tensor))
            if is_in_order and tensor._requires_grad and self._collects(tensor, node):
                flags |= _TARGET
                self._add_target(self.place[node], tensor)
        return self._with_history(node, flags) if node.notes & _HISTORY and is_in_order else flags

    def _leaf(self, node: Node, is_in_order: bool) -> Hashable:
        """A place for a node that is met for the first time, and what the program depends on of it."""
        where = self.place[node] = ~len(self.leaves)
        self.leaves.append(node)
        self.is_usable &= node.value is not None or node.op is not input_leaf  # that one is of a trace
        flags: Hashable = 0
        if is_in_order:
            tensor = None if node.holder is None else node.holder()
            if tensor is not None and tensor._requires_grad and self._collects(tensor, node):
                flags = _TARGET
                self._add_target(where, tensor)
            flags = self._with_history(node, flags) if node.notes & _HISTORY else flags
        return where, leaf_key(node), flags

    def _add_target(self, place: int, tensor: Tensor) -> None:
        self.targets.append((place, tensor))
        self.is_usable &= not tensor._hooks  # which are called in every pass

    @staticmethod
    def _collects(tensor: Tensor, node: Node) -> bool:
        if tensor._leaf:
            return not node.inputs or node.op is ops.detach
        return tensor._retains and tensor.node is node

    def _with_history(self, node: Node, flags: Hashable) -> Hashable:
        """A value that was overwritten: what matters is which operations were made before."""
        if node.notes & (SPENT | BY_HAND):
            self.is_usable = False
        if not node.notes & OVERWRITTEN:
            return flags
        self._overwritten.append(node)
        return flags, OVERWRITTEN


class Sweep:
    """The program of one structure, and where its inputs and outputs are among the nodes of a survey.

    `marks` are bits to be set in the notes of nodes once they have been swept.
    """

    def __init__(self, survey: Survey, marks: Sequence[tuple[int, int]]) -> None:
        root, self.marks = survey.root, marks
        seed = full(root.shape, 1.0, root.dtype) if survey.seed is None else survey.seed
        found = gradients([root], [seed], [survey.node(place) for place, _ in survey.targets])
        self.values = [place for place, _ in survey.shown]
        if root.value is None and survey.place[root] not in self.values:
            self.values.append(survey.place[root])
        self.reached = [index for index, each in enumerate(found) if each is not None]
        outputs = [*[survey.inner[place] for place in self.values], *[each for each in found if each is not None]]
        self.given = Given(outputs, survey.place)
        native = compiler.executable_for(Program(tuple(self.given.nodes), tuple(outputs))).native
        self.call = None if native is None else compiler.Caller(native)

    def run(self, survey: Survey) -> list[tuple[Tensor, np.ndarray]] | None:
        """Values go to their nodes; the gradients, each with the tensor that it is for, are returned.

        None if bad data were met: then nothing is changed.
        """
        assert self.call is not None
        arrays = self.call(self.given.arrays(lambda place: survey.node(place).value))
        if arrays is None:
            return None
        for place, array in zip(self.values, arrays, strict=False):
            survey.inner[place].value = array
        first = len(self.values)
        return [(survey.targets[index][1], arrays[first + i]) for i, index in enumerate(self.reached)]
