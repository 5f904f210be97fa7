"""The tools of passes: walk a program inputs first and rebuild what changed.

In: the outputs of a program and what to do with a node. Out: the outputs of the new program; untouched parts are
shared, nothing that no output needs is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from thalweg.graph import Node, form_key, rebuild, scope, toposort


def rewrite(outputs: Sequence[Node], simpler: Callable[[Node], Node]) -> list[Node]:
    """The program with `simpler` applied to every node, inputs first."""
    new: dict[Node, Node] = {}
    return rewrite_into(new, outputs, lambda node: simpler(renewed(node, new)))


def rewrite_into(new: dict[Node, Node], outputs: Sequence[Node], make: Callable[[Node], Node]) -> list[Node]:
    """The program with `make(node)` in the place of every node, inputs first; `new` is filled on the way."""
    before = scope.path
    try:
        for node in toposort(outputs):
            scope.path = node.origin  # what takes the place of a node comes from the same line of the user's code
            new[node] = make(node)
    finally:
        scope.path = before
    return [new[node] for node in outputs]


def renewed(node: Node, new: Mapping[Node, Node]) -> Node:
    """The same operation on what has taken the place of its inputs."""
    return with_inputs(node, tuple([new[each] for each in node.inputs]))


def with_inputs(node: Node, inputs: tuple[Node, ...]) -> Node:
    """The same operation on these inputs; the node itself where they are its own."""
    return node if inputs == node.inputs else rebuild(node, inputs)


class Sharing:
    """Common subexpressions: one node for equal operations on equal inputs."""

    def __init__(self) -> None:
        self.seen: dict[object, Node] = {}

    def __call__(self, node: Node) -> Node:
        if node.op.name == "input":
            return node
        return self.seen.setdefault((form_key(node), node.inputs), node)


def users_of(order: Iterable[Node]) -> dict[Node, list[Node]]:
    """Who reads each node, in order."""
    users: dict[Node, list[Node]] = {}
    for node in order:
        for each in dict.fromkeys(node.inputs):
            users.setdefault(each, []).append(node)
    return users
