"""Where each value of a program lies: with an input, with an output, in the arena, or nowhere because it is a number.

In: a program's inputs, outputs and written cells. Out: its kernels in order, a slot in the table of pointers for every
value that a kernel reads or writes, and the size of the arena, all known before any code is generated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from thalweg.compile.chains import chained
from thalweg.compile.crossing import spare
from thalweg.compile.epilogues import attach
from thalweg.compile.fuse import Kernel, fuse, is_checked, is_move, is_number
from thalweg.compile.kernels import scratch_bytes
from thalweg.compile.loop_plan import plan_loop, room_of
from thalweg.compile.memory import plan_loosely, plan_tightly
from thalweg.compile.operands import is_loop, read_from
from thalweg.compile.passes import run_passes
from thalweg.compile.recomputing import recompute, source_of
from thalweg.compile.schedule import levels_of
from thalweg.compile.sequence import in_order, saves_memory
from thalweg.graph import Node, toposort


@dataclass
class Layout:
    """Where each value lies: a slot of the pointer table, an offset in the arena, or a number in the code."""

    inputs: Sequence[Node]
    outputs: Sequence[Node]
    writes: Mapping[int, int] = field(default_factory=dict)  # output -> the input whose cell it is written to
    kernels: list[Kernel] = field(default_factory=list)
    slots: dict[Node, int] = field(default_factory=dict)
    offsets: dict[Node, int] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)  # outputs that wait in the arena until all cells have been read
    arena: int = 0
    scratch: int = 0
    checks: int = 0  # how many of the kernels must have run before it is known that the data are good

    def __post_init__(self) -> None:
        replaced = {self.source(self.outputs[index]): self.inputs[cell] for index, cell in self.writes.items()}
        # What a second forward pass begins with lies in memory, whatever it could be made of.
        waiting = (node for node in toposort(self.outputs) if node.op.identities.get("waits"))
        stored = [*self.outputs, *(source_of(node.inputs[0]) for node in waiting)]
        kernels = attach(spare(fuse(self.outputs), stored), self.outputs)
        kernels = recompute(kernels, stored)
        for each in kernels:
            if is_loop(each.nodes[0]):
                read = {node.attributes["index"] for node in each.outputs}
                each.loop = plan_loop(each.nodes[0], read, _layout_of_step)
        ordered = in_order(kernels, replaced)
        self.kernels = ordered if saves_memory(kernels) else chained(ordered, replaced)  # a chain keeps all its values
        self.checks = max((i + 1 for i, kernel in enumerate(self.kernels) if is_checked(kernel)), default=0)
        self.slots = {node: index for index, node in enumerate(self.inputs)}
        for index, node in enumerate(self.outputs):
            source = self.source(node)
            if source in self.slots or is_number(source) or not source.inputs:
                continue
            if index not in self.writes or self._may_write_at_once(source, self.inputs[self.writes[index]]):
                self.slots[source] = self.output_slot(index)
        self._plan()

    @property
    def slot_count(self) -> int:
        """How many addresses a caller passes."""
        return len(self.inputs) + len(self.outputs)

    def output_slot(self, index: int) -> int:
        """The slot of an output; those of the inputs come first."""
        return len(self.inputs) + index

    def source(self, node: Node) -> Node:
        """The node whose memory this one shows."""
        while node.op.identities.get("keeps_order") and not is_number(node):
            node = node.inputs[0]
        return node

    def _may_write_at_once(self, node: Node, cell: Node) -> bool:
        """Whether the cell may get its new value in the kernel that makes it: nobody reads the old one afterwards.

        The kernel itself may read it, entry for entry; and no kernel from here on can be stopped by bad data.
        """
        position = self._made_by[node]
        kernel = self.kernels[position]
        nest = kernel.epilogue or kernel
        if (
            kernel.loop
            or position < self.checks
            or node not in nest.nodes
            or nest.domain != node.shape
            or not _is_one_pass(nest)
        ):
            return False
        others = {self.source(each) for each in read_from(kernel.nodes[0])} if kernel.epilogue else set()
        mapped = others | _read_elsewhere(kernel)
        return self._last_read.get(cell, -1) <= position and cell not in mapped and cell not in self._shown

    @cached_property
    def _made_by(self) -> dict[Node, int]:
        """The position of the kernel that computes each node."""
        return {node: i for i, kernel in enumerate(self.kernels) for node in kernel.nodes}

    @cached_property
    def _last_read(self) -> dict[Node, int]:
        """The position of the last kernel that reads each value from memory."""
        return {node: i for i, kernel in enumerate(self.kernels) for node in kernel.inputs}

    @cached_property
    def _shown(self) -> set[Node]:
        """What the outputs show."""
        return set(map(self.source, self.outputs))

    @property
    def lives(self) -> tuple[dict[Node, int], dict[Node, int]]:
        """From which kernel to which each value is in the arena: two tables of positions, in the order of births."""
        births: dict[Node, int] = {}
        deaths: dict[Node, int] = {}
        first, last = 0, -1
        for time, kernel in enumerate(self.kernels):
            if time > last:
                first, last = time, time + kernel.links  # the pieces of a chain run at any time between
            for each in (*kernel.outputs, *kernel.inputs):
                deaths[each] = last
            births |= {node: first for node in kernel.outputs if node not in self.slots}
        for node in self.outputs:
            deaths[self.source(node)] = len(self.kernels)
        return births, deaths

    def _plan(self) -> None:
        births, deaths = self.lives
        sizes = {node: node.size * node.dtype.itemsize for node in births}
        plan = plan_tightly if saves_memory(self.kernels) else plan_loosely
        self.offsets, self.arena = plan([(time, node) for node, time in births.items()], sizes, deaths)
        self._hold()
        self.scratch = max((_scratch_of(k) for k in self.kernels if not k.is_nest), default=0)

    def _hold(self) -> None:
        """Cells that trade places (a <- b, b <- a): a new value that is another written cell's old one."""
        written = {self.inputs[position] for position in self.writes.values()}
        for index, position in self.writes.items():
            source = self.source(self.outputs[index])
            if source in written and source is not self.inputs[position]:
                self.held[index] = self.arena
                self.arena += -(-source.size * source.dtype.itemsize // 64) * 64


def _layout_of_step(inputs: Sequence[Node], outputs: Sequence[Node], writes: Mapping[int, int]) -> Layout:
    return Layout(inputs, run_passes(outputs), writes)


def _scratch_of(kernel: Kernel) -> int:
    return room_of(kernel.loop).size if kernel.loop else scratch_bytes(kernel.nodes[0])


def _is_one_pass(nest: Kernel) -> bool:
    """Whether it comes to each entry once: sums ride along, and nothing is computed from them for the entries."""
    return nest.axes is None or max(levels_of(nest).values()) == 0


def _read_elsewhere(kernel: Kernel) -> set[Node]:
    """What a kernel reads through index maps, also behind what it computes anew at other places."""
    found: set[Node] = set()
    memory = set(kernel.inputs)
    stack = [each for node in kernel.nodes for each in (node, *node.inputs) if is_move(each)]
    while stack:
        each = stack.pop()
        if each not in found:
            found.add(each)
            stack.extend(() if each in memory else each.inputs)
    return found
