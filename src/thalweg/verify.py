"""Is this graph legal? Run after every pass in the tests, and on demand.

In: the outputs of a program. Out: nothing, or a `StructureError` that names the first node that breaks a rule: a
cycle, a primitive outside the closed set, attributes that are not static, a shape or dtype other than its rules give,
several results read as if they were one, a value that is not what the node says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thalweg.errors import StructureError, ThalwegError
from thalweg.graph import PRIMITIVES, Node, describe, toposort
from thalweg.ops import Body


def verify(outputs: Sequence[Node]) -> None:
    """Check every node that the outputs need, and every node of the programs that are attributes."""
    done: set[Node] = set()
    for node in toposort(outputs):
        if not done.issuperset(node.inputs):
            raise StructureError(f"{node.op.name} depends on itself: the graph has a cycle")
        _verify_primitive(node)
        _verify_attributes(node)
        _verify_reading(node)
        _verify_rules(node)
        _verify_value(node)
        done.add(node)


def _verify_primitive(node: Node) -> None:
    if PRIMITIVES.get(node.op.name) is not node.op:
        raise StructureError(f"{node.op.name!r} is not one of the primitives")


def _verify_attributes(node: Node) -> None:
    try:
        hash(tuple(node.attributes.items()))
    except TypeError as error:
        raise StructureError(f"{node.op.name}: attributes must be static and hashable: {error}") from error
    for value in node.attributes.values():
        if isinstance(value, Body):
            verify(value.outputs)


def _verify_reading(node: Node) -> None:
    """Several results are read through a projection, and a projection reads nothing else."""
    reads_parts = bool(node.op.identities.get("projection"))
    for each in node.inputs:
        if each.op.multiple != reads_parts:
            results = "several results" if each.op.multiple else "one result"
            raise StructureError(f"{node.op.name} reads {each.op.name}, which has {results}")


def _verify_rules(node: Node) -> None:
    received = [describe(each.shape, each.dtype) for each in node.inputs]
    try:
        shape = node.op.shape_rule(*[each.shape for each in node.inputs], **node.attributes)
        dtype = node.op.dtype_rule(*[each.dtype for each in node.inputs], **node.attributes)
    except (ThalwegError, TypeError, ValueError, IndexError) as error:  # also a wrong number of inputs or attributes
        raise StructureError(f"{node.op.name} on {received}: {error}") from error
    if (shape, dtype) != (node.shape, node.dtype):
        raise StructureError(
            f"{node.op.name} says {describe(node.shape, node.dtype)}, its rules say {describe(shape, dtype)}"
        )


def _verify_value(node: Node) -> None:
    if node.value is None:
        return
    parts: Any = (node.value, node.shape, node.dtype)
    for value, shape, dtype in zip(*parts, strict=True) if node.op.multiple else [parts]:
        if value.shape != shape or value.dtype != dtype.numpy:
            raise StructureError(
                f"{node.op.name} says {describe(shape, dtype)}, its value is {value.dtype.name}{list(value.shape)}"
            )
