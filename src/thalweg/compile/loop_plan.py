"""How a loop is cut and laid out: the program of one step for a part of the batch, and where its buffers lie.

In: a `loop`. Out: a `LoopPlan`: the kernels of a step, which operand of the loop each of their inputs is, and the room
that they need. Parts of the batch run through all steps on their own where no operation mixes them, so that threads
wait for each other once a loop, not once a step. Where nothing is carried, threads share the steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thalweg import ops
from thalweg.compile.narrowing import Narrowed, narrowed
from thalweg.compile.pieces import largest_divisor
from thalweg.compile.runtime import HEAD
from thalweg.compile.views import View, row_major, view_of
from thalweg.graph import Node

_MOST_PARTS = 8
_ROWS = 8  # of a product, at least: fewer leave registers empty, and read the weights more often
_MOST_SHARES = 64  # of the steps
_ENOUGH = 4  # steps that threads can share
_WORTH = 1 << 18  # entries that all steps of a part come to, at least


@dataclass(frozen=True)
class Entry:
    """An input of a step: which operand of the loop it is, and whether a part of the batch reads a part of it."""

    operand: int
    is_cut: bool


@dataclass
class LoopPlan:
    """A loop, ready to be emitted: kernels of one step of one part of the batch."""

    node: Node
    parts: int
    entries: list[Entry]
    layout: Any  # a `Layout`, whose kernels may be loops in turn
    is_read: list[bool]  # which outputs of a step somebody reads behind the loop

    @property
    def steps_each(self) -> int:
        """How many steps a piece of the loop has: all, where it is a part of the batch or something is carried."""
        if self.parts > 1 or self.carries:
            return self.length
        return -(-self.length // min(self.length, max(1, work_of(self.node) // _WORTH), _MOST_SHARES))

    @property
    def pieces(self) -> int:
        """What threads claim: parts of the batch, or shares of the steps."""
        return self.parts if self.parts > 1 else -(-self.length // self.steps_each)

    @property
    def length(self) -> int:
        return int(self.node.attributes["length"])

    @property
    def carries(self) -> int:
        return int(self.node.attributes["carries"])

    @property
    def moving_at_most(self) -> int:
        """Buffers of a step that are elsewhere in the next one, at the most."""
        return len(self.layout.inputs) + len(self.layout.outputs)

    def is_sequence(self, operand: int) -> bool:
        return self.carries <= operand < self.carries + int(self.node.attributes["sequences"])


def plan_loop(
    node: Node, read: set[int], layout_of: Callable[[Sequence[Node], Sequence[Node], Mapping[int, int]], Any]
) -> LoopPlan:
    """The plan of a loop; `layout_of` lowers the inputs and outputs of a step, of which some overwrite an input.

    `read` are the outputs that somebody reads.

    A carry without a history has one place, which each step overwrites: a gradient is added to where it is.
    """
    body = node.attributes["body"]
    cut = _cut(node)
    if cut is None:
        cut = Narrowed(1, list(body.outputs), [(each, False, each) for each in body.inputs])
    place = {each: i for i, each in enumerate(body.inputs)}
    entries = [Entry(place[each], is_cut) for each, is_cut, _ in cut.inputs]
    kept = node.attributes["kept"]
    writes = {
        each.operand: i
        for i, each in enumerate(entries)
        if each.operand < len(kept) and not (kept[each.operand] and each.operand in read)
    }
    layout = layout_of([inside for *_, inside in cut.inputs], cut.outputs, writes)
    is_read = [i in read for i in range(len(body.outputs))]
    return LoopPlan(node, cut.parts, entries, layout, is_read)


def _cut(node: Node) -> Narrowed | None:
    """The program for a part of the batch, where all that is written and carried can be cut."""
    body, carries = node.attributes["body"], node.attributes["carries"]
    if any(not each.shape for each in body.outputs) or (not carries and node.attributes["length"] >= _ENOUGH):
        return None
    extent = math.gcd(*(each.shape[0] for each in body.outputs))
    most = min(_MOST_PARTS, work_of(node) // _WORTH)
    if any(each.op is ops.matmul and each.ndim == 2 for each in body.order):
        most = min(most, extent // _ROWS)
    parts = largest_divisor(extent, most)
    if parts < 2:
        return None
    found = narrowed(body.outputs, parts)
    if found is None or any(not is_cut for each, is_cut, _ in found.inputs if each in body.inputs[:carries]):
        return None
    return found


def work_of(loop: Node) -> int:
    """Entries that all steps make or add up, very roughly."""
    return int(loop.attributes["length"]) * sum(map(_work, loop.attributes["body"].order))


def _work(node: Node) -> int:
    if node.op.multiple:
        return work_of(node) if is_loop(node) else 0
    if not node.inputs or node.op.identities.get("projection"):
        return 0
    inner = node.inputs[0].shape[-2 if node.attributes["transpose_a"] else -1] if node.op is ops.matmul else 1
    return node.size * inner


def is_loop(node: Node) -> bool:
    """Whether the node is a loop, lowered or not."""
    return node.op in (ops.scan, ops.loop)


# --- operands --------------------------------------------------------------------------------------------------------


def operands_of(node: Node) -> list[View]:
    """Where each operand of a loop lies: those of sequences are `strides[0]` apart from step to step.

    What is cut or turned over in time is read where it is; within a step entries must lie in row-major order.
    """
    first = node.attributes["carries"]
    return [
        _readable(each, 1 if first <= i < first + node.attributes["sequences"] else 0)
        for i, each in enumerate(node.inputs)
    ]


def _readable(node: Node, free: int) -> View:
    view, plain = view_of(node), row_major(node.shape)
    inner = zip(node.shape[free:], view.strides[free:], row_major(node.shape[free:]), strict=True)
    if all(found == wanted for extent, found, wanted in inner if extent != 1):
        return view
    return View(node, 0, plain)


# --- room ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Room:
    """Bytes from the start of a loop's scratch: its table and pointers, carries, values of a step, its kernels' own."""

    own: list[int]  # for each output of a step a place for what nobody reads outside
    arena: int
    kernels: int
    size: int


def room_of(plan: LoopPlan) -> Room:
    """Where each part of a loop's scratch begins."""
    layout = plan.layout
    words = HEAD + layout.slot_count + len(layout.offsets) + len(layout.held)
    pointers = plan.moving_at_most
    place = _aligned(8 * (words + pointers))
    places = list[int]()
    for node, is_read in zip(layout.outputs, plan.is_read, strict=True):
        places.append(place)
        place = _aligned(place + (0 if is_read else nbytes(node)))
    kernels = _aligned(place + layout.arena)
    return Room(places, place, kernels, kernels + layout.scratch + 64)


def nbytes(node: Node) -> int:
    return node.size * node.dtype.itemsize


def _aligned(size: int) -> int:
    return -(-size // 64) * 64
