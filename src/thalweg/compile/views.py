"""Movements as strides: where the entries of a permuted, sliced, flipped or repeated value lie in the memory behind it.

In: a node that only moves entries. Out: the node whose memory it shows, where its first entry lies there, and how far
it is along each axis from one entry to the next. A kernel that knows strides reads such operands where they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from thalweg.graph import Node, Shape


@dataclass(frozen=True)
class View:
    """Entry (i, j, ...) of a value is entry `start + i strides[0] + j strides[1] + ...` of `source`."""

    source: Node
    start: int
    strides: tuple[int, ...]


_found: WeakKeyDictionary[Node, tuple[int, int, tuple[int, ...]]] = WeakKeyDictionary()


def view_of(node: Node) -> View:
    """The view through as many movements as strides can express; at least the node itself, in row-major order."""
    if node not in _found:
        chain = [node]
        while chain[-1].op.identities.get("view") and chain[-1].size:
            chain.append(chain[-1].inputs[0])
        through = _through(chain)
        while through is None:
            chain.pop()
            through = _through(chain)
        _found[node] = len(chain) - 1, *through  # not the source, which would keep itself alive
    depth, start, strides = _found[node]
    for _ in range(depth):
        node = node.inputs[0]
    return View(node, start, strides)


def keeps_slabs(start: int, strides: tuple[int, ...], shape: Shape, entries: int) -> bool:
    """Whether what a view shows at index i of its first axis lies in slab i of its source, `entries` each.

    >>> keeps_slabs(6, (30, 6, 1), (4, 3, 6), 30), keeps_slabs(6, (30, 6, 1), (4, 5, 6), 30)
    (True, False)
    """
    ends = [(extent - 1) * stride for extent, stride in zip(shape[1:], strides[1:], strict=True)]
    low, high = (start + sum(pick(0, end) for end in ends) for pick in (min, max))
    return strides[0] == entries and low >= 0 and high < entries


def _through(chain: list[Node]) -> tuple[int, tuple[int, ...]] | None:
    """The first node of a chain as a view of the last: where it starts there, and its strides.

    None where a reshape between them would have to copy.

    NumPy's own meanings of the movements are asked, on an array of single bytes that is never read.
    """
    source = chain[-1]
    array = _strided(source.shape, row_major(source.shape))
    begin = _address(array)
    for node in reversed(chain[:-1]):
        if node.op.identities.get("keeps_order"):
            strides = reshaped_strides(array.shape, array.strides, node.shape)
            if strides is None:
                return None
            array = np.lib.stride_tricks.as_strided(array, node.shape, strides)
        else:
            array = node.op.numpy(array, **node.attributes)
    return _address(array) - begin, array.strides


def step_of(node: Node) -> View | None:
    """The view that a movement shows of its own operand; None where no strides do it."""
    through = _through([node, node.inputs[0]]) if node.op.identities.get("view") and node.size else None
    return View(node.inputs[0], *through) if through else None


def _strided(shape: Shape, strides: tuple[int, ...]) -> np.ndarray:
    return np.lib.stride_tricks.as_strided(np.empty(1, np.uint8), shape, strides)


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def row_major(shape: Shape) -> tuple[int, ...]:
    """The strides of a shape whose last axis is the closest."""
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def reshaped_strides(shape: Shape, strides: tuple[int, ...], new: Shape) -> tuple[int, ...] | None:
    """The strides of the same entries in another shape; None where no strides do it.

    >>> reshaped_strides((4, 6), (6, 1), (2, 2, 6)), reshaped_strides((4, 6), (1, 4), (24,))
    ((12, 6, 1), None)
    """
    runs = _runs(shape, strides)
    result: list[int] = []
    extent, stride = runs.pop() if runs else (1, 1)
    for wanted in reversed(new):
        if wanted == 1:
            result.append(stride)
            continue
        if extent == 1 and runs:
            extent, stride = runs.pop()
        if extent % wanted:
            return None
        result.append(stride)
        extent, stride = extent // wanted, stride * wanted
    return tuple(reversed(result))


def _runs(shape: Shape, strides: tuple[int, ...]) -> list[tuple[int, int]]:
    """(extent, stride) of axes made one where they lie in memory as one."""
    runs: list[tuple[int, int]] = []
    for extent, stride in zip(shape, strides, strict=True):
        if extent == 1:
            continue
        if runs and runs[-1][1] == extent * stride:
            runs[-1] = runs[-1][0] * extent, stride
        else:
            runs.append((extent, stride))
    return runs
