"""Backpropagation: the reverse sweep, one function from a graph to a graph.

In: outputs of a program, a cotangent for each (dLoss/dOutput), and the target nodes. Out: the nodes of dLoss/dTarget.
Because the result is a graph, eager, compiled and second derivatives are this same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from thalweg.errors import StructureError
from thalweg.graph import Node, Origin, describe, scope, toposort
from thalweg.ops import add

Collected = dict[Node, Node | list[Node | None]]
Arrived = Callable[[Node, Node], Node]


def gradients(
    outputs: Sequence[Node],
    cotangents: Sequence[Node | None],
    targets: Sequence[Node],
    collected: Collected | None = None,
    arrived: Arrived | None = None,
) -> list[Node | None]:
    """The cotangent of each target: the sum over all paths of the products of local derivatives.

    None is a symbolic zero: a target that no output depends on. Only nodes on a path from a target are visited. A
    target's cotangent is the whole of it, also where one target lies on the path of another. `collected` is filled with
    the cotangents of all nodes on the way. `arrived` is asked for what goes on from a node whose cotangent is whole;
    then the sweep goes in the order in which the nodes were made, the last first, as PyTorch's does.
    """
    order = toposort(outputs, is_leaf=stops_gradient)
    order = order if arrived is None else _as_made(order)
    on_path = reached_from(targets, order)
    collected = {} if collected is None else collected
    for node, cotangent in zip(outputs, cotangents, strict=True):
        if cotangent is not None:
            _check(cotangent, node, node.shape, node.dtype)
            if node in on_path:
                _accumulate(collected, node, cotangent)
    for node in reversed(order):
        if node not in on_path or node not in collected:
            continue
        if arrived is not None and not node.op.multiple:
            collected[node] = arrived(node, collected[node])  # type: ignore[arg-type]
        if not any(each in on_path for each in node.inputs):
            continue
        wanted = [each in on_path for each in node.inputs]
        for each, arriving in zip(node.inputs, local_cotangents(node, collected[node], wanted), strict=True):
            if arriving is not None and each in on_path:
                _accumulate(collected, each, arriving)
    return [collected.get(target) for target in targets]  # type: ignore[misc]


def _as_made(order: Sequence[Node]) -> list[Node]:
    """By the time of construction; leaves just before the first node that reads them, the last of its inputs first."""
    first: dict[Node, tuple[int, int, int]] = {}
    for node in order:
        for position, each in enumerate(node.inputs):
            first[each] = min(first.get(each, (node.serial, 0, 0)), (node.serial, -1, -position))
    return sorted(
        order, key=lambda node: first[node] if stops_gradient(node) and node in first else (node.serial, 0, 0)
    )


def stops_gradient(node: Node) -> bool:
    """Whether no cotangent passes the node: its primitive is constant almost everywhere."""
    return node.op.chain_rule is None and not node.op.identities.get("projection")


def reached_from(targets: Sequence[Node], order: Sequence[Node]) -> set[Node]:
    """The nodes through which some target's cotangent must come: those that depend on one differentiably."""
    reached = set(targets)
    for node in order:
        if node in reached or stops_gradient(node):
            continue
        if any(each in reached for each in node.inputs):
            reached.add(node)
    return reached


def local_cotangents(
    node: Node, cotangent: Node | list[Node | None], wanted: Sequence[bool]
) -> Sequence[Node | tuple[int, Node] | None]:
    """The chain rule of one node: its cotangent times its local derivative, for each input.

    A rule that takes the reverse sweep itself is also told which inputs' cotangents are `wanted`.
    """
    record = node.op
    if record.identities.get("projection"):
        return ((node.attributes["index"], cotangent),)  # type: ignore[return-value]
    if record.chain_rule is None:
        return (None,) * len(node.inputs)
    attributes: dict[str, Any] = dict(node.attributes)
    if record.identities.get("takes_gradients"):
        attributes |= {"gradients": gradients, "wanted": tuple(wanted)}
    path, scope.path = scope.path, _made_by_rule_of(node)  # what the rule makes belongs to the same layer
    try:
        return record.chain_rule(cotangent, node, *node.inputs, **attributes)
    finally:
        scope.path = path


def _made_by_rule_of(node: Node) -> str:
    origin = node.origin
    return Origin(origin, origin.line, node.op.name) if type(origin) is Origin else origin


def _accumulate(
    collected: dict[Node, Node | list[Node | None]], node: Node, cotangent: Node | tuple[int, Node]
) -> None:
    """Add to what has arrived at the node; a cotangent has the shape and dtype of what it belongs to."""
    if isinstance(cotangent, tuple):
        index, part = cotangent
        _check(part, node, node.shape[index], node.dtype[index])
        parts = collected.setdefault(node, [None] * len(node.shape))
        assert isinstance(parts, list)
        before = parts[index]
        parts[index] = part if before is None else add(before, part)
        return
    _check(cotangent, node, node.shape, node.dtype)
    before = collected.get(node)  # type: ignore[assignment]
    collected[node] = cotangent if before is None else add(before, cotangent)


def _check(cotangent: Node, node: Node, shape: object, dtype: object) -> None:
    if cotangent.shape != shape or cotangent.dtype is not dtype:
        raise StructureError(
            f"the cotangent of {node.op.name} is {describe(cotangent.shape, cotangent.dtype)}, "
            f"but its value is {describe(shape, dtype)}"
        )
