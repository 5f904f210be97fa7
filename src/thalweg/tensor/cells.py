"""Whether a cell may be written where it lies, and what happens if not: who else holds its value keeps it.

In: cells (parameters, buffers, gradients, state) and arrays. Out: the array of a cell that nobody else holds, or the
cell showing another array.
"""

from __future__ import annotations

import sys

import numpy as np

from thalweg.compile.memory import has_own_memory
from thalweg.dtype import dtype_of_array
from thalweg.graph import Node, make_input, next_serial
from thalweg.tensor.core import Tensor, note_overwritten

# The references to a cell's node and array when nobody else holds them: the owner, the list of inputs (array only), a
# local name, and the argument of getrefcount itself.
_OWN_NODE, BY_NODE_ONLY, AS_INPUT = 3, 3, 4


def own_array(tensor: Tensor, held: int = AS_INPUT) -> np.ndarray | None:
    """The cell's array if it may be written in place: nothing pending reads it and no one else shows it."""
    node = tensor._node
    array: np.ndarray = node.value
    if node.inputs or sys.getrefcount(node) > _OWN_NODE or sys.getrefcount(array) > held:
        return None
    return array if has_own_memory(array) and array.flags.c_contiguous and array.flags.writeable else None


def move_to(tensor: Tensor, array: np.ndarray) -> None:
    """The cell shows another array from now on; whoever holds the old one keeps it."""
    before, node = tensor._node, known(array)
    node.holder = before.holder
    note_overwritten(before, next_serial())
    tensor._node = node


def known(array: np.ndarray) -> Node:
    """A leaf with that value."""
    return make_input(array.shape, dtype_of_array(array), array)


def nothing() -> None:
    """A weak reference to nothing."""
