"""What lies between a view and its base, and between a recorded value and one written in its place.

In: nodes that movements lead to from the node of a base. Out: the same movements from another node; whether a gradient
flows along them. `core` keeps views up to date with these.
"""

from __future__ import annotations

from thalweg import ops
from thalweg.graph import Node, rebuild, zeros_like


def is_detached(view: Node, root: Node) -> bool:
    """Whether no gradient flows from the view to its base: one of the steps between them is a detach."""
    while view is not root:
        if view.op is ops.detach:
            return True
        view = view.inputs[0]
    return False


def behind_the_record(before: Node, after: Node) -> Node:
    """The value of `after` with the gradient of `before`: what a write inside no_grad does to a recorded result."""
    flow = ops.subtract(before, ops.detach(before))  # 0, with derivative 1
    flow = ops.where(ops.equal(flow, flow), flow, zeros_like(flow))  # also where inf - inf is NaN
    return ops.add(ops.detach(after), flow)


def replay(node: Node, old_root: Node, new_root: Node) -> Node:
    """The movements that lead from the old root to `node`, applied to the new root."""
    steps = []
    while node is not old_root:
        steps.append(node)
        node = node.inputs[0]
    for step in reversed(steps):
        new_root = rebuild(step, (new_root,))
    return new_root


def shown_by_another(node: Node, tensor: object) -> bool:
    holder = node.holder() if node.holder is not None else None
    return holder is not None and holder is not tensor


def disown(node: Node, tensor: object) -> None:
    """The node is no longer this tensor's: what was made of it does not lead to the leaf that the tensor becomes."""
    if node.holder is not None and node.holder() is tensor:
        node.holder = None
