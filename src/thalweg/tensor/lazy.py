"""Computing pending values: when someone needs a value, its part of the graph is run.

In: nodes. Out: the same nodes, now with a `value`. The first time a structure comes it is evaluated on NumPy; when it
returns it runs as a compiled program from the cache that `tw.compile` uses. Known values are leaves.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from thalweg.compile.program import Executable, Program, executable_for
from thalweg.compile.reference import run_node
from thalweg.graph import Node, structure_key, toposort
from thalweg.tensor.anomaly import refuse_non_finite
from thalweg.tensor.modes import modes

# Bits of Node.notes: used up by a backward pass; no longer its tensor's value; on the path of a backward pass.
SPENT, OVERWRITTEN, SWEPT = 1, 2, 4

# Evaluate every operation when it is made, for debugging: the switch THALWEG_EAGER=1.
eager = os.environ.get("THALWEG_EAGER", "") not in ("", "0")


def is_known(node: Node) -> bool:
    return node.value is not None


# A structure is compiled once it has cost this many interpreted operations: about what compiling it costs. Counting
# operations rather than seconds keeps the decision, and so the bits, the same from run to run.
COMPILE_AFTER = 3000
_SMALLEST = 8  # operations; below that, the key costs more than the program saves
_LARGEST = 4096  # operations; above that, compiling takes longer than anyone expects of an undecorated line
_seen: dict[Hashable, int] = {}
_MOST_SEEN = 4096
_programs: dict[Hashable, Executable] = {}


# Of a node that was differentiated: the gradients, to be computed together with it, so that the forward pass is shared.
companions: weakref.WeakKeyDictionary[Node, list[weakref.ref[Any]]] = weakref.WeakKeyDictionary()


def _with_companions(wanted: Sequence[Node]) -> list[Node]:
    found = list(wanted)
    for node in wanted:
        if node.value is None:
            tensors = (reference() for reference in companions.pop(node, ()))
            found += [tensor._node for tensor in tensors if tensor is not None and tensor._base is None]
    return found


def compute(wanted: Sequence[Node]) -> None:
    """Give every wanted node its value; values that live tensors show are kept on the way."""
    if companions:
        wanted = _with_companions(wanted)
    order = toposort([node for node in wanted if node.value is None], is_leaf=is_known)
    pending = [node for node in order if node.value is None]
    if not pending:
        return
    keep = {node for node in wanted if node.value is None}
    showing = [tensor for node in pending if node.holder is not None and (tensor := node.holder()) is not None]
    keep.update(tensor._node for tensor in showing if tensor._node.value is None)
    # A later backward pass reads the intermediate values of what still may be differentiated, as in any tape.
    keep_all = any(tensor._requires_grad and not tensor._leaf and not tensor._node.notes & SWEPT for tensor in showing)
    is_plain = keep_all or modes.anomaly or eager or not _SMALLEST <= len(pending) <= _LARGEST
    if is_plain or not _run_compiled(order, pending, keep):
        _run(pending, keep, keep_all or modes.anomaly)
    if modes.anomaly:
        refuse_non_finite([node for node in pending if node in keep])
    for tensor in showing:
        tensor._when_known()


def _run_compiled(order: Sequence[Node], pending: Sequence[Node], keep: set[Node]) -> bool:
    """Run the work as a compiled program if its structure has come often enough; say whether that was done."""
    outputs = [node for node in pending if node in keep]
    leaves = [node for node in order if node.value is not None]
    if any(node.op.multiple for node in order):
        return False
    key = structure_key(outputs, leaves, list(order))
    count = _seen.pop(key, 0) + 1
    _seen[key] = count  # the newest last, so that the oldest is forgotten first
    if len(_seen) > _MOST_SEEN:
        del _seen[next(iter(_seen))]
    if count < 2 or count * len(pending) < COMPILE_AFTER:  # the first time always on NumPy
        return False
    program = _programs.get(key)
    if program is None:
        program = _programs[key] = executable_for(Program(tuple(leaves), tuple(outputs)))
    for node, value in zip(outputs, program([leaf.value for leaf in leaves]), strict=True):
        node.value = value
    return True


def _run(pending: Sequence[Node], keep: set[Node], keep_all: bool) -> None:
    """Node by node on NumPy, forgetting a value after its last use unless it is kept."""
    last_use: dict[Node, int] = {}
    for index, node in enumerate(pending):
        for each in node.inputs:
            last_use[each] = index
    values: dict[Node, np.ndarray] = {}
    for index, node in enumerate(pending):
        inputs = [each.value if each.value is not None else values[each] for each in node.inputs]
        result = run_node(node, inputs)
        if keep_all or node in keep:
            node.value = result
        else:
            values[node] = result
        for each in node.inputs:
            if last_use[each] == index:
                values.pop(each, None)
