"""Computing pending values: when someone needs a value, its part of the graph is run.

In: nodes. Out: the same nodes, now with a `value`. The first time a structure comes it is evaluated on NumPy; when it
returns it runs as a compiled program from the cache that `tw.compile` uses. Known values are leaves.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from thalweg.compile.reference import run_node
from thalweg.graph import Node, toposort
from thalweg.tensor.modes import modes

SPENT, OVERWRITTEN = 1, 2

_EAGER = os.environ.get("THALWEG_EAGER", "") not in ("", "0")


def is_known(node: Node) -> bool:
    return node.value is not None


def compute(wanted: Sequence[Node]) -> None:
    """Give every wanted node its value; values that live tensors show are kept on the way."""
    order = toposort([node for node in wanted if node.value is None], is_leaf=is_known)
    if not order:
        return
    pending = [node for node in order if node.value is None]
    keep = set(wanted)
    showing = [
        tensor for tensor in (node.holder() for node in pending if node.holder is not None) if tensor is not None
    ]
    keep.update(tensor._node for tensor in showing)
    # A later backward pass reads the intermediate values of what still may be differentiated, as in any tape.
    keep_all = any(tensor._requires_grad and not tensor._node.notes & SPENT for tensor in showing)
    _run(pending, keep, keep_all)


def _run(pending: Sequence[Node], keep: set[Node], keep_all: bool) -> None:
    """Node by node on NumPy, forgetting a value after its last use unless it is kept."""
    last_use: dict[Node, int] = {}
    for index, node in enumerate(pending):
        for each in node.inputs:
            last_use[each] = index
    values: dict[Node, np.ndarray] = {}
    for index, node in enumerate(pending):
        inputs = [each.value if each.value is not None else values[each] for each in node.inputs]
        result = run_node(node, inputs, check_finite=modes.anomaly)
        if keep_all or node in keep:
            node.value = result
        else:
            values[node] = result
        for each in node.inputs:
            if last_use[each] == index:
                values.pop(each, None)
