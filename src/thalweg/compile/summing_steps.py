"""Sums over the batch and all steps, made after a loop: those of a bias, whose gradient every step adds to.

In: the outputs of a program with `scan`s. Out: the same, in which a carry that only collects `sum(g)` of every step is
a sum of the stacked g behind the loop. Within the steps it would make all of the batch wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thalweg import ops
from thalweg.compile.rewriting import renewed, rewrite_into, users_of
from thalweg.graph import Node, toposort


def sum_after_steps(outputs: Sequence[Node]) -> list[Node]:
    """The program with its sums behind the loops."""
    order = toposort(outputs)
    users, shown = users_of(order), set(outputs)
    found = {node: _sums(node, users, shown) for node in order if node.op is ops.scan}
    if not any(found.values()):
        return list(outputs)
    new: dict[Node, Node] = {}

    def make(node: Node) -> Node:
        node_now = renewed(node, new)
        if found.get(node):
            return _without(node_now, found[node])
        read = node.inputs[0] if node.inputs else node
        if read.op is ops.output and (total := found.get(read.inputs[0], {}).get(read.attributes["index"])):
            return total.behind(new[read.inputs[0]], node.shape)
        return node_now

    return rewrite_into(new, outputs, make)


@dataclass(frozen=True)
class _Sum:
    """What a carry collects: `sum(terms, axes)` of each step, in another shape."""

    carry: int
    terms: Node
    axes: tuple[int, ...]
    result: int  # which output of the loop has the terms

    def behind(self, scan: Node, shape: tuple[int, ...]) -> Node:
        """Its last value."""
        stacked = ops.output(scan, index=self.result)
        total = ops.sum_(stacked, axes=(0, *[axis + 1 for axis in self.axes]))
        return ops.reshape(scan.inputs[self.carry], shape=shape) + ops.reshape(total, shape=shape)


def _sums(scan: Node, users: dict[Node, list[Node]], shown: set[Node]) -> dict[int, _Sum]:
    """By the carry."""
    known = scan.attributes
    body, carries, length = known["body"], known["carries"], known["length"]
    found: dict[int, _Sum] = {}
    readers = users_of(body.order)
    outputs = list(body.outputs)
    for each in users.get(scan, ()):
        i = each.attributes["index"]
        if i >= carries or each in shown or not all(_is_last(user, length) for user in users.get(each, ())):
            continue
        carry, after = body.inputs[i], body.outputs[i]
        is_only_added = len(readers.get(carry, ())) == 1 and outputs.count(carry) == 0 and outputs.count(after) == 1
        if not is_only_added or after.op is not ops.add or carry not in after.inputs or after in readers:
            continue
        (term,) = [x for x in after.inputs if x is not carry] or [carry]
        total = term.inputs[0] if term.op is ops.reshape else term
        if total.op is ops.sum_ and 0 in total.attributes["axes"] and total.inputs[0].ndim > 1:
            terms = total.inputs[0]
            if terms not in outputs[carries:]:
                outputs.append(terms)
            found[i] = _Sum(i, terms, total.attributes["axes"], carries + outputs[carries:].index(terms))
    return found


def _is_last(node: Node, length: int) -> bool:
    return (
        node.op is ops.slice_ and node.attributes["start"][0] == length and node.shape[1:] == node.inputs[0].shape[1:]
    )


def _without(scan: Node, sums: dict[int, _Sum]) -> Node:
    """The loop with carries that stay as they are, which nobody reads, and with the terms among its results."""
    known = scan.attributes
    body, carries = known["body"], known["carries"]
    outputs = [body.inputs[i] if i in sums else each for i, each in enumerate(body.outputs)]
    for each in sums.values():
        if each.terms not in outputs[carries:]:
            outputs.append(each.terms)
    return ops.scan(*scan.inputs, **{**known, "body": ops.Body(body.inputs, tuple(outputs))})
