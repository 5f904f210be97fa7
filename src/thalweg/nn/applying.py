"""From expressions on nodes to functions on tensors, with the checks that every function of this room shares.

In: a function of nodes, and tensors or NumPy arrays. Out: a tensor that requires a gradient if an operand does.
The expressions themselves are in `expressions` and `loss_expressions`; their public faces are in `functional`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from thalweg import ops
from thalweg.errors import DTypeError, explain
from thalweg.graph import Node, next_serial, scope
from thalweg.tensor.core import Tensor
from thalweg.tensor.lifting import lower
from thalweg.tensor.modes import set_recording
from thalweg.tensor.templates import instantiate


def apply(function: Callable[..., Node], *operands: Any, **options: Any) -> Tensor:
    """The tensor of `function(nodes of the operands, options)`; an operand that may be left out is None."""
    flags: list[bool] = []
    nodes = [None if each is None else operand_node(function.__name__, each, flags) for each in operands]
    return Tensor._result(instantiate(function, nodes, options), bool(flags))


def operand_node(name: str, operand: Any, flags: list[bool]) -> Node:
    if not isinstance(operand, (Tensor, np.ndarray)):
        raise DTypeError(
            explain(
                f"{name} takes tensors",
                received=type(operand).__name__,
                expected="a tensor or a NumPy array",
                remedy="convert it with tw.tensor(...)",
            )
        )
    return lower(operand, flags)  # type: ignore[no-any-return]


def apply_loss(function: Callable[..., Node], *operands: Any, **options: Any) -> Tensor:
    """`apply`, and nodes made outside any module carry the name of the loss, so that errors and drawings can say it."""
    before = scope.path
    scope.path = before or function.__name__
    try:
        return apply(function, *operands, **options)
    finally:
        scope.path = before


def apply_activation(function: Callable[..., Node], x: Any, inplace: bool = False, **options: Any) -> Tensor:
    """`apply`; with `inplace` the result replaces the value of `x`, as PyTorch's `inplace=True` does."""
    if not inplace or not isinstance(x, Tensor):
        return apply(function, x, **options)
    flags: list[bool] = []
    since = next_serial()
    x._assign(instantiate(function, [operand_node(function.__name__, x, flags)], options), bool(flags), since)
    return x


def write(cell: Tensor, node: Node) -> None:
    """Make `node` the value of a cell; nothing of how it was made is recorded for backpropagation."""
    with set_recording(False):
        cell._assign(ops.detach(node))
