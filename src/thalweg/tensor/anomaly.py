"""Finding the operation that made the first NaN or infinity, for `tw.detect_anomaly`.

In: a node whose value and whose history are known. Out: nothing, or a `NonFiniteError` that names the operation, the
layer and what it received. A NaN that a later `where` discards is none: the search starts at values that users see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from thalweg.errors import NonFiniteError, explain
from thalweg.graph import Node, describe


def refuse_non_finite(shown: Iterable[Node]) -> None:
    """Raise for the first shown value that holds a NaN, or an infinity that no leaf brought in."""
    for node in shown:
        if not _is_float(node):
            continue
        if _holds(np.isnan, node):
            raise _error(_maker(np.isnan, node), np.isnan)
        if _holds(np.isinf, node):
            maker = _maker(np.isinf, node)
            if maker.inputs:  # an infinity that the user wrote down (a mask of -inf) is no anomaly
                raise _error(maker, np.isinf)


def _is_float(node: Node) -> bool:
    return not node.op.multiple and node.dtype.is_floating_point and isinstance(node.value, np.ndarray)


def _holds(is_bad: Callable[[np.ndarray], np.ndarray], node: Node) -> bool:
    return _is_float(node) and bool(is_bad(np.asarray(node.value)).any())


def _maker(is_bad: Callable[[np.ndarray], np.ndarray], node: Node) -> Node:
    """Back along the inputs that are bad already, to the operation whose inputs are not."""
    while True:
        bad = [each for each in node.inputs if _holds(is_bad, each)]
        if not bad:
            return node
        node = bad[0]


def _error(node: Node, is_bad: Callable[[np.ndarray], np.ndarray]) -> NonFiniteError:
    array = node.value
    assert isinstance(array, np.ndarray)
    bad = tuple(int(axis[0]) for axis in np.nonzero(is_bad(array)))
    found = f"{array[bad]} at position {bad} of {describe(node.shape, node.dtype)}"
    if not node.inputs:
        return NonFiniteError(
            explain("an input holds a value that is not a number", received=found, expected="finite numbers",
                    remedy="clean the data: drop or fill missing values before training")
        )  # fmt: skip
    return NonFiniteError(
        explain(
            f"{node.op.name} gave the first value that is not finite",
            received=f"{found}; its inputs: {'; '.join(map(_range_of, node.inputs))}",
            expected="finite numbers",
            where=node.origin or "outside any module",
            remedy="look at the inputs of this operation; lower the learning rate, scale the data or clip gradients",
        )
    )


def _range_of(node: Node) -> str:
    array = node.value
    if isinstance(array, np.ndarray) and array.size:
        return f"{node.op.name} in [{array.min():.4g}, {array.max():.4g}]"
    return node.op.name
