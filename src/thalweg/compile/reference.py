"""Evaluation on NumPy: the definition of what a program means.

In: nodes and arrays. Out: arrays. Slow and plain on purpose; everything compiled is compared with it. An error says
which module of the user's model the failing operation belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thalweg.errors import ThalwegError, TraceError, explain
from thalweg.graph import Node, describe, evaluate_node, input_leaf, toposort


def run_node(node: Node, arrays: Sequence[Any]) -> Any:
    """One operation; a failure names the module path under which the operation was made."""
    if node.op is input_leaf:
        raise _no_value(node)
    try:
        return evaluate_node(node, arrays)
    except ThalwegError as error:
        if node.origin and error.args:
            raise type(error)(f"{error}\n  {'layer:':<9} {node.origin}") from None
        raise


def _no_value(node: Node) -> TraceError:
    return TraceError(
        explain(
            "a tensor made inside a compiled step was used outside of it",
            received=f"a traced value, {describe(node.shape, node.dtype)}",
            expected="tensors that the step returns",
            remedy="return the tensor from the step instead of storing it in a list or an attribute",
        )
    )


def evaluate(outputs: Sequence[Node], known: Mapping[Node, np.ndarray]) -> list[Any]:
    """The values of the outputs, given those of the inputs."""
    values: dict[Node, Any] = dict(known)
    for node in toposort(outputs, is_leaf=values.__contains__):
        if node not in values:
            arrays = [values[each] for each in node.inputs]
            values[node] = node.value if node.value is not None else run_node(node, arrays)
    return [values[node] for node in outputs]
