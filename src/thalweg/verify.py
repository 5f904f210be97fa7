"""Is this graph legal? Run after every pass in the tests, and on demand.

In: the outputs of a program. Out: nothing, or a `StructureError` that names the first node that breaks a rule: a
primitive outside the closed set, attributes that are not static, a shape or dtype other than its rules give.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.errors import StructureError, ThalwegError
from thalweg.graph import PRIMITIVES, Node, describe, toposort


def verify(outputs: Sequence[Node]) -> None:
    """Check every node that the outputs need."""
    for node in toposort(outputs):
        _verify_node(node)


def _verify_node(node: Node) -> None:
    if PRIMITIVES.get(node.op.name) is not node.op:
        raise StructureError(f"{node.op.name!r} is not one of the primitives")
    try:
        hash(tuple(node.attributes.items()))
    except TypeError as error:
        raise StructureError(f"{node.op.name}: attributes must be static and hashable: {error}") from error
    try:
        shape = node.op.shape_rule(*[each.shape for each in node.inputs], **node.attributes)
        dtype = node.op.dtype_rule(*[each.dtype for each in node.inputs], **node.attributes)
    except ThalwegError as error:
        raise StructureError(f"{node.op.name} on {[describe(i.shape, i.dtype) for i in node.inputs]}: {error}") from error
    if (shape, dtype) != (node.shape, node.dtype):
        raise StructureError(
            f"{node.op.name} says {describe(node.shape, node.dtype)}, its rules say {describe(shape, dtype)}"
        )
