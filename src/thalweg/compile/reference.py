"""Evaluation on NumPy: the definition of what a program means.

In: nodes and arrays. Out: arrays. Slow and plain on purpose; everything compiled is compared with it. An error says
which module of the user's model the failing operation belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thalweg.errors import NonFiniteError, ThalwegError, TraceError, explain
from thalweg.graph import Node, describe, evaluate_node, input_leaf, toposort


def run_node(node: Node, arrays: Sequence[Any], check_finite: bool = False) -> Any:
    """One operation; a failure names the module path under which the operation was made."""
    if node.op is input_leaf:
        raise _no_value(node)
    try:
        result = evaluate_node(node, arrays)
    except ThalwegError as error:
        if node.origin and error.args:
            raise type(error)(f"{error}\n  {'layer:':<9} {node.origin}") from None
        raise
    if check_finite:
        _refuse_non_finite(node, arrays, result)
    return result


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


def _refuse_non_finite(node: Node, arrays: Sequence[Any], result: Any) -> None:
    if node.op.multiple or not node.dtype.is_floating_point or np.isfinite(result).all():
        return
    bad = tuple(int(axis[0]) for axis in np.nonzero(~np.isfinite(result)))
    inputs = "; ".join(_range_of(each, array) for each, array in zip(node.inputs, arrays, strict=True)) or "none"
    raise NonFiniteError(
        explain(
            f"{node.op.name} gave the first value that is not finite",
            received=f"{result[bad]} at position {bad} of {describe(node.shape, node.dtype)}; inputs: {inputs}",
            expected="finite numbers",
            where=node.origin or "outside any module",
            remedy="look at the inputs of this operation; lower the learning rate, scale the data or clip gradients",
        )
    )


def _range_of(node: Node, array: Any) -> str:
    if isinstance(array, np.ndarray) and array.size:
        return f"{node.op.name} in [{array.min():.4g}, {array.max():.4g}]"
    return node.op.name
