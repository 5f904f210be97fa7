"""The words of a loop's row: where each buffer of a step lies, in the first step and in every step after it.

In: a kernel that is a loop, the rows of its steps, and the slots of the table that its own row is in. Out: the words
that `looping` reads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from thalweg.compile.fuse import Kernel, is_number
from thalweg.compile.loop_plan import LoopPlan, nbytes, operands_of, room_of
from thalweg.compile.looping import ABSOLUTE, IN_SCRATCH
from thalweg.compile.runtime import HEAD
from thalweg.compile.views import View
from thalweg.graph import Node
from thalweg.ops.rules import known_number

Place = tuple[int, int, int]  # slot, bytes behind it, bytes from part to part


def words_of_loop(
    kernel: Kernel, rows: np.ndarray, word_count: int, offsets: Iterable[int], slot_of: Callable[[Node], int]
) -> tuple[list[int], object]:
    """The words of the row, and what must be kept alive as long as it is used."""
    assert kernel.loop is not None
    found = _Words(kernel, kernel.loop, slot_of)
    found.inputs()
    found.outputs()
    found.arena(offsets)
    lists, held = list[int](), list[Any]([rows])
    for records in (found.staying, found.moving, found.first):
        flat = [word for record in records for word in record]
        held.append((ctypes.c_int64 * max(len(flat), 1))(*flat))
        lists += [ctypes.addressof(held[-1]), len(records)]
    held.append(found.held)
    room, plan = room_of(kernel.loop), kernel.loop
    words = [rows.ctypes.data, len(rows), plan.length, word_count, *lists, plan.pieces, room.kernels, plan.steps_each]
    return words, held


class _Words:
    """The places of one loop's buffers, in the making."""

    def __init__(self, kernel: Kernel, plan: LoopPlan, slot_of: Callable[[Node], int]) -> None:
        self.plan, self.slot_of, self.node = plan, slot_of, plan.node
        self.room = room_of(plan)
        self.results = {each.attributes["index"]: each for each in kernel.outputs}
        self.staying: list[tuple[int, ...]] = []
        self.moving: list[tuple[int, ...]] = []
        self.first: list[tuple[int, ...]] = []
        self.held: list[np.ndarray] = []

    # --- what a step reads -------------------------------------------------------------------------------------------

    def inputs(self) -> None:
        views = operands_of(self.node)
        for word, entry in enumerate(self.plan.entries, HEAD):
            inside, view = self.plan.layout.inputs[word - HEAD], views[entry.operand]
            place = self._read(view, inside, entry.is_cut)
            if entry.operand < self.plan.carries:
                here, stride = self._carry(entry.operand, inside)
                self._put(word, here, stride)
                self.first.append((*here, *place, nbytes(inside)))
            elif self.plan.is_sequence(entry.operand) and place[0] != ABSOLUTE:
                self._put(word, place, view.strides[0] * inside.dtype.itemsize)
            else:
                self._put(word, place)

    def _read(self, view: View, inside: Node, is_cut: bool) -> Place:
        """Where an operand lies in the first step; one that is a number everywhere has no memory and gets some."""
        if is_number(view.source):
            self.held.append(np.full(inside.shape, known_number(view.source), inside.dtype.numpy))
            return ABSOLUTE, self.held[-1].ctypes.data, 0
        return self.slot_of(view.source), view.start * inside.dtype.itemsize, nbytes(inside) if is_cut else 0

    def _put(self, word: int, place: Place, stride: int = 0) -> None:
        """A buffer that stays, or that is `stride` bytes farther in each step."""
        if stride:
            self.moving.append((word, *place, stride))
        else:
            self.staying.append((word, *place))

    def _carry(self, carry: int, inside: Node) -> tuple[Place, int]:
        """Where a carry is that goes into the first step, and bytes from step to step."""
        if carry not in self.results:
            return (IN_SCRATCH, self.room.own[carry], 0), 0
        is_kept = self.node.attributes["kept"][carry]
        return (self.slot_of(self.results[carry]), 0, self._part(inside)), nbytes(inside) * self.plan.parts * is_kept

    def _part(self, inside: Node) -> int:
        """Bytes from one part of the batch to the next."""
        return nbytes(inside) if self.plan.parts > 1 else 0

    # --- what it leaves ----------------------------------------------------------------------------------------------

    def outputs(self) -> None:
        plan, length = self.plan, self.plan.length
        backwards = self.node.attributes["backwards"]
        for index, inside in enumerate(plan.layout.outputs):
            word, whole = HEAD + len(plan.layout.inputs) + index, nbytes(inside) * plan.parts
            if index < plan.carries:
                (slot, offset, each), stride = self._carry(index, inside)
                self._put(word, (slot, offset + stride, each), stride)
            elif index not in self.results:
                self._put(word, (IN_SCRATCH, self.room.own[index], 0))
            else:
                is_backwards = backwards[index - plan.carries]
                place = (self.slot_of(self.results[index]), (length - 1) * whole * is_backwards, self._part(inside))
                self._put(word, place, -whole if is_backwards else whole)

    def arena(self, offsets: Iterable[int]) -> None:
        first = HEAD + self.plan.layout.slot_count
        self.staying += [(first + i, IN_SCRATCH, self.room.arena + offset, 0) for i, offset in enumerate(offsets)]
