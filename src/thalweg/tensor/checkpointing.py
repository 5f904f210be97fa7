"""Activations computed again in the backward pass instead of being kept (activation checkpointing).

In: the outputs of a traced step, and what its one `backward` did: which nodes it began with, the cotangent of each.
Out: the same outputs, where the chain rules read activations of all segments but the last from a second forward pass,
which begins with what the segments hand on. Chen et al. 2016, "Training deep nets with sublinear memory cost": n layers
in √n segments keep √n activations, and at most as many are there again at a time.

The forward pass is cut behind nodes whose only readers come later. The second pass through a segment waits for the
cotangent of its last node (`ops.after`), which depends on later segments alone: so there is no circle, and a segment is
computed again when the later ones are done with. Operations, operands and random keys are the same; in a nest of other
company the compiler may add up a gradient's sum in another order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from thalweg import ops
from thalweg.gradient import Collected
from thalweg.graph import Node, next_serial, rebuild, size_of, toposort
from thalweg.ops.rules import known_number


@dataclass
class BackwardPass:
    """What a traced step's `backward` did: its nodes are those between two serials."""

    roots: Sequence[Node]
    begin: int = field(default_factory=next_serial)
    end: int = 0
    cotangents: Collected = field(default_factory=dict)


def default_segments(sweep: BackwardPass) -> int:
    """√n for n matrix products and convolutions, at least 2."""
    count = sum(node.op.kind == "contract" for node in _Forward(sweep).order)
    return max(2, round(math.sqrt(count)))


def computed_again(outputs: Sequence[Node], sweep: BackwardPass, segments: int) -> list[Node]:
    """The outputs, with activations of all but the last of so many segments computed a second time."""
    forward = _Forward(sweep)
    cuts = forward.cuts(segments, _read_by(outputs, sweep))
    return _Rewriting(forward, cuts, sweep).run(outputs) if cuts else list(outputs)


def nbytes(node: Node) -> int:
    return 0 if node.op.multiple else size_of(node.shape) * node.dtype.itemsize


def _read_by(outputs: Sequence[Node], sweep: BackwardPass) -> set[Node]:
    """What the chain rules read."""
    return {each for node in toposort(outputs) if sweep.begin < node.serial < sweep.end for each in node.inputs}


class _Forward:
    """The nodes behind the loss, in the order in which the user's code made them."""

    def __init__(self, sweep: BackwardPass) -> None:
        found = toposort(sweep.roots)
        self.order = sorted((node for node in found if node.op.kind != "leaf"), key=lambda node: node.serial)
        self.place = {node: index for index, node in enumerate(self.order)}
        self.sweep = sweep
        self.last_use = dict[Node, int]()
        for index, node in enumerate(self.order):
            for each in node.inputs:
                self.last_use[each] = index

    def cuts(self, segments: int, read: set[Node]) -> list[int]:
        """Places of the nodes behind which the pass is cut: about equal bytes between them, few bytes across them."""
        sums, across = self._kept_before(read), self._across()
        total = sums[-1] if sums else 0
        found = list[int]()
        for index in range(1, segments):
            near = [
                place
                for place in range(found[-1] + 1 if found else 0, len(self.order) - 1)
                if abs(sums[place] - total * index / segments) <= total / (2 * segments) and self._may_cut(place)
            ]
            if near:
                found.append(min(near, key=lambda place: (across[place], place)))
        return found

    def _kept_before(self, read: set[Node]) -> list[int]:
        """Bytes that the chain rules read, up to each place."""
        sums, total = [], 0
        for node in self.order:
            total += nbytes(node) if node in read and node.op.kind != "move" else 0
            sums.append(total)
        return sums

    def _across(self) -> list[int]:
        """Bytes that are made up to each place and read behind it."""
        changes = [0] * (len(self.order) + 1)
        for place, node in enumerate(self.order):
            if node.op.kind != "move" and self.last_use.get(node, place) > place:
                changes[place] += nbytes(node)
                changes[self.last_use[node]] -= nbytes(node)
        sums, total = [], 0
        for change in changes[:-1]:
            total += change
            sums.append(total)
        return sums

    def _may_cut(self, place: int) -> bool:
        node = self.order[place]
        cotangent = self.sweep.cotangents.get(node)
        return isinstance(cotangent, Node) and node.size > 0 and known_number(cotangent) is None


class _Rewriting:
    """One run: `renewed` maps nodes that the forward pass does not have, `again` those that are computed again."""

    def __init__(self, forward: _Forward, cuts: Sequence[int], sweep: BackwardPass) -> None:
        self.forward, self.sweep = forward, sweep
        self.ends = [forward.order[place] for place in cuts]
        self.segment = dict[Node, int]()
        for node, place in forward.place.items():
            self.segment[node] = sum(place > cut for cut in cuts)
        self.handed_on = {
            each
            for node in forward.order
            for each in node.inputs
            if each in self.segment and self.segment[each] < self.segment[node]
        }
        self.renewed = dict[Node, Node]()
        self.again = dict[Node, Node]()
        self.tokens = dict[int, Node]()

    def run(self, outputs: Sequence[Node]) -> list[Node]:
        stack = list(outputs)
        while stack:
            node = stack[-1]
            missing = [each for each in self._needed(node) if each not in self.renewed]
            if missing and node not in self.renewed:
                stack.extend(missing)
                continue
            stack.pop()
            if node not in self.renewed:
                self.renewed[node] = self._renew(node)
        return [self.renewed[node] for node in outputs]

    def _needed(self, node: Node) -> list[Node]:
        """What must have been renewed before: inputs, and for what is read from a second pass what that waits for."""
        if node in self.segment or node.op.kind == "leaf":
            return []
        needed = list(node.inputs)
        if self._is_backward(node):
            needed += [self._awaited(self.segment[each]) for each in node.inputs if self._is_dropped(each)]
        return needed

    def _renew(self, node: Node) -> Node:
        if node in self.segment or node.op.kind == "leaf":
            return node
        is_backward = self._is_backward(node)
        inputs = tuple(
            [
                self._second(each) if is_backward and self._is_dropped(each) else self.renewed[each]
                for each in node.inputs
            ]
        )
        return node if inputs == node.inputs else rebuild(node, inputs)

    def _is_backward(self, node: Node) -> bool:
        return self.sweep.begin < node.serial < self.sweep.end

    def _is_dropped(self, node: Node) -> bool:
        """Whether the node is not kept for the backward pass: it is of a segment that is computed again.

        Totals are kept: they are small, and in a nest of other company they might be summed up in another order.
        """
        is_again = self.segment.get(node, len(self.ends)) < len(self.ends) and node not in self.handed_on
        return is_again and node.op.kind != "reduce"

    def _awaited(self, segment: int) -> Node:
        cotangent = self.sweep.cotangents[self.ends[segment]]
        assert isinstance(cotangent, Node)
        return cotangent

    # --- the second pass ---------------------------------------------------------------------------------------------

    def _second(self, root: Node) -> Node:
        """The node as the second pass through its segment makes it."""
        for node in toposort([root], is_leaf=lambda each: each in self.again or not self._is_dropped(each)):
            if node not in self.again:
                self.again[node] = self._made_again(node) if self._is_dropped(node) else node
        return self.again[root]

    def _made_again(self, node: Node) -> Node:
        inputs = [self.again[each] for each in node.inputs]
        if any(new is not old for new, old in zip(inputs, node.inputs, strict=True)):
            return rebuild(node, tuple(inputs))
        if node.op.kind == "move" or node.op.identities.get("projection"):
            return node  # it shows what is kept, and takes no memory
        waiting = [index for index, each in enumerate(inputs) if not each.op.multiple and known_number(each) is None]
        if not waiting:
            return node
        first = min(waiting, key=lambda index: (nbytes(inputs[index]), index))
        inputs[first] = self._late(inputs[first], self.segment[node])
        return rebuild(node, tuple(inputs))

    def _late(self, node: Node, segment: int) -> Node:
        """The node, once the cotangent of the segment's last node is known."""
        token = self.tokens.get(segment)
        if token is None:
            cotangent = self.renewed[self._awaited(segment)]
            start, ones = (0,) * cotangent.ndim, (1,) * cotangent.ndim
            token = ops.reshape(ops.slice_(cotangent, start=start, stop=ones, step=ones), shape=())
            self.tokens[segment] = token
        if node.ndim:
            token = ops.broadcast(ops.reshape(token, shape=(1,) * node.ndim), shape=node.shape)
        late = ops.after(node, token)
        late.origin = node.origin
        return late
