"""The compiler as a visible list of passes, each from a graph to a graph.

In: the outputs of a program. Out: the outputs of an equal program. Printing, timing and verifying are done around the
list, not inside a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thalweg.graph import Node, attribute_key, rebuild, toposort


@dataclass(frozen=True)
class Pass:
    name: str
    run: Callable[[Sequence[Node]], list[Node]]


def pass_drop_identities(outputs: Sequence[Node]) -> list[Node]:
    """Operations that give back their input: `detach` (the sweep is over), a reshape or cast to the same."""

    def simpler(node: Node) -> Node:
        if node.op.identities.get("stops_gradient"):
            return node.inputs[0]
        if not node.op.identities.get("keeps_order"):
            return node
        source = node.inputs[0]
        if source.op is node.op:
            source = source.inputs[0]
        return source if node.shape == source.shape else rebuild(node, (source,))

    return rewrite(outputs, simpler)


def pass_share(outputs: Sequence[Node]) -> list[Node]:
    """Common subexpressions: one node for equal operations on equal inputs."""
    seen: dict[object, Node] = {}

    def shared(node: Node) -> Node:
        if node.op.kind == "leaf" and node.op.name == "input":
            return node
        return seen.setdefault((node.op.name, attribute_key(node), node.inputs), node)

    return rewrite(outputs, shared)


def rewrite(outputs: Sequence[Node], simpler: Callable[[Node], Node]) -> list[Node]:
    """The program with `simpler` applied to every node, inputs first."""
    new: dict[Node, Node] = {}
    for node in toposort(outputs):
        inputs = tuple(new[each] for each in node.inputs)
        same = all(a is b for a, b in zip(inputs, node.inputs, strict=True))
        new[node] = simpler(node if same else rebuild(node, inputs))
    return [new[node] for node in outputs]


PASSES = [Pass("drop_identities", pass_drop_identities), Pass("share", pass_share)]


def run_passes(outputs: Sequence[Node]) -> list[Node]:
    """Every pass in order."""
    result = list(outputs)
    for each in PASSES:
        result = each.run(result)
    return result
