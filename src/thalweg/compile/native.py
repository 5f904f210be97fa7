"""Running emitted code: LLVM text to machine code, buffers, and one native call per step.

In: the inputs and outputs of a program. Out: a callable on arrays, or None where some primitive has no emission yet or
native code cannot run here. A call that meets bad data changes nothing and returns None.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from thalweg.compile.codegen import load
from thalweg.compile.epilogues import attach, emit_with_epilogue, operands_of
from thalweg.compile.fuse import Kernel, fuse, is_checked, is_number
from thalweg.compile.inside.debug import stage
from thalweg.compile.kernels import emit_kernel, kernel_key, scratch_bytes
from thalweg.compile.memory import empty_array, plan_arena
from thalweg.compile.nest import emit_nest
from thalweg.compile.values import NotEmittable, Value, literal, memory_type
from thalweg.dtype import bool_
from thalweg.graph import Node, input_leaf, structure_key, toposort
from thalweg.ops.rules import known_number

_RECORD = """
define internal void @record(ptr %status, i64 %kernel, i64 %position, i64 %value) noinline {
entry:
  %seen = load i64, ptr %status
  %first = icmp eq i64 %seen, 0
  br i1 %first, label %write, label %done
write:
  store i64 %kernel, ptr %status
  %p1 = getelementptr i64, ptr %status, i64 1
  store i64 %position, ptr %p1
  %p2 = getelementptr i64, ptr %status, i64 2
  store i64 %value, ptr %p2
  br label %done
done:
  ret void
}
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
"""


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
        self.kernels = attach(fuse(self.outputs), self.outputs)
        self.checks = max((i + 1 for i, kernel in enumerate(self.kernels) if is_checked(kernel)), default=0)
        self.slots = {node: index for index, node in enumerate(self.inputs)}
        for index, node in enumerate(self.outputs):
            source = self.source(node)
            if source in self.slots or is_number(source) or not source.inputs:
                continue
            if index not in self.writes or self._may_write_at_once(source, self.inputs[self.writes[index]]):
                self.slots[source] = len(self.inputs) + index
        self._plan()

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
        if position < self.checks or node not in nest.nodes or nest.axes is not None or nest.domain != node.shape:
            return False
        others = {self.source(each) for each in kernel.nodes[0].inputs} if kernel.epilogue else set()
        mapped = others.union(*map(_behind_moves, kernel.nodes))
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

    def _plan(self) -> None:
        births: list[tuple[int, Node]] = []
        deaths: dict[Node, int] = {}
        for time, kernel in enumerate(self.kernels):
            for each in (*kernel.outputs, *kernel.inputs):
                deaths[each] = time
            births += [(time, node) for node in kernel.outputs if node not in self.slots]
        for node in self.outputs:
            deaths[self.source(node)] = len(self.kernels)
        sizes = {node: node.size * node.dtype.itemsize for _, node in births}
        self.offsets, self.arena = plan_arena(births, sizes, deaths)
        self._hold()
        self.scratch = max((scratch_bytes(k.nodes[0]) for k in self.kernels if not k.is_nest), default=0)

    def _hold(self) -> None:
        """Cells that trade places (a <- b, b <- a): a new value that is another written cell's old one."""
        written = {self.inputs[position] for position in self.writes.values()}
        for index, position in self.writes.items():
            source = self.source(self.outputs[index])
            if source in written and source is not self.inputs[position]:
                self.held[index] = self.arena
                self.arena += -(-source.size * source.dtype.itemsize // 64) * 64


def _behind_moves(node: Node) -> set[Node]:
    """What a node reads through index maps."""
    found: set[Node] = set()
    stack = [each for each in node.inputs if each.op.kind == "move"]
    while stack:
        each = stack.pop()
        if each.op.kind == "move":
            stack.extend(each.inputs)
        else:
            found.add(each)
    return found


def emit_program(layout: Layout, body: Callable[[Layout, list[str]], list[str]] | None = None) -> str:
    """The module: one function a distinct kernel, and `step(table)` that calls them in order, or has another `body`."""
    functions, declarations, calls = emit_kernels(layout)
    lines = (body or _in_order)(layout, calls)
    step = "\n".join(["define void @step(ptr %table) {", "entry:", *_table_loads(layout), *lines, "  ret void", "}"])
    return "\n".join([*sorted(declarations), _RECORD, *functions, *_fills(layout), step])


def emit_kernels(layout: Layout) -> tuple[list[str], set[str], list[str]]:
    """The functions of the distinct kernels, what they need declared, and for each kernel the call of its function."""
    functions: dict[Hashable, tuple[str, str]] = {}
    declarations: set[str] = set()
    calls: list[str] = []
    for index, kernel in enumerate(layout.kernels):
        key, emit = code_of(kernel)
        if key not in functions:
            name = f"k{len(functions)}_{name_of(kernel)}"
            text, needed = emit(name)
            functions[key] = (name, text)
            declarations |= needed
        pointers = [_pointer(layout, each) for each in arguments_of(kernel)]
        rest = f"ptr %status, i64 {index + 1}" + ("" if kernel.is_nest else ", ptr %scratch")
        calls.append(f"  call void @{functions[key][0]}({', '.join([*pointers, rest])})")
    return [text for _, text in functions.values()], declarations, calls


def _in_order(layout: Layout, calls: list[str]) -> list[str]:
    lines: list[str] = []
    for index, call in enumerate(calls):
        if index == layout.checks and index:
            lines += _leave_if_bad()
        lines.append(call)
    if layout.checks == len(calls):
        lines += _leave_if_bad()
    return [*lines, *copies(layout), "  br label %leave", "leave:"]


def code_of(kernel: Kernel) -> tuple[Hashable, Callable[..., tuple[str, set[str]]]]:
    """A key that is equal for kernels with equal code, and how to write that code: by a name, in an emitter's words."""
    if kernel.is_nest:
        key = (structure_key(kernel.outputs, kernel.inputs), kernel.domain, kernel.axes)
        return key, lambda name, e=None: emit_nest(name, kernel, e)
    node = kernel.nodes[0]
    numbers = [number_of(each) for each in node.inputs]
    product = kernel_key(node, numbers)
    if kernel.epilogue is None:
        return product, lambda name, e=None: emit_kernel(name, node, numbers, e)
    nest = kernel.epilogue
    rest = structure_key(nest.outputs, [node, *operands_of(kernel)]), nest.domain, node in kernel.outputs
    return (product, rest), lambda name, e=None: emit_with_epilogue(name, kernel, numbers, e)


def name_of(kernel: Kernel) -> str:
    """What the kernel does in a word or two: its last operation, and the product before it."""
    last = kernel.nodes[-1].op.name
    return f"{kernel.nodes[0].op.name}_{last}" if kernel.epilogue else last


def arguments_of(kernel: Kernel) -> list[Node]:
    """What the kernel's function takes a pointer to: its outputs, then its inputs."""
    return [*kernel.outputs, *(kernel.inputs if kernel.is_nest else [*kernel.nodes[0].inputs, *operands_of(kernel)])]


def number_of(node: Node) -> Value | None:
    """The number that stands in every place of the node, if that is known."""
    number = known_number(node)
    return None if number is None else literal(number, node.dtype)


def _leave_if_bad() -> list[str]:
    """Before anything is written: stop if bad data were met."""
    return ["  %code = load i64, ptr %status", "  %good = icmp eq i64 %code, 0",
            "  br i1 %good, label %go_on, label %leave", "go_on:"]  # fmt: skip


def _slot_count(layout: Layout) -> int:
    return len(layout.inputs) + len(layout.outputs)


def _table_loads(layout: Layout) -> list[str]:
    lines = []
    names = [f"%p{i}" for i in range(_slot_count(layout))] + ["%arena", "%status"]
    lines.append(f"  %scratch_table = getelementptr ptr, ptr %table, i64 {len(names)}")
    lines.append("  %scratch = load ptr, ptr %scratch_table")
    for index, name in enumerate(names):
        lines.append(f"  %t{index} = getelementptr ptr, ptr %table, i64 {index}")
        lines.append(f"  {name} = load ptr, ptr %t{index}")
    lines += [
        f"  %a{offset} = getelementptr i8, ptr %arena, i64 {offset}"
        for offset in sorted({*layout.offsets.values(), *layout.held.values()})
    ]
    return lines


def _pointer(layout: Layout, node: Node) -> str:
    node = layout.source(node)
    if is_number(node):
        return "ptr null"
    return f"ptr %p{layout.slots[node]}" if node in layout.slots else f"ptr %a{layout.offsets[node]}"


def copies(layout: Layout) -> list[str]:
    """Outputs that are not computed where they belong: copied at the end, old values of cells before any is new."""
    first, last = [], []
    for index, node in enumerate(layout.outputs):
        slot, size = len(layout.inputs) + index, node.size * node.dtype.itemsize
        if is_number(node):
            last += [f"  call void @fill{index}(ptr %p{slot})"] * (index in layout.writes)
        elif index in layout.held:
            first.append(_copy(f"%a{layout.held[index]}", _pointer(layout, node), size))
            last.append(_copy(f"%p{slot}", f"ptr %a{layout.held[index]}", size))
        elif size and layout.slots.get(layout.source(node)) != slot:
            lines = last if index in layout.writes else first
            lines.append(_copy(f"%p{slot}", _pointer(layout, node), size))
    return [*first, *last]


def _copy(place: str, source: str, size: int) -> str:
    return f"  call void @llvm.memcpy.p0.p0.i64(ptr {place}, {source}, i64 {size}, i1 false)"


def _fills(layout: Layout) -> list[str]:
    """For each cell that gets one number in every place, the function that puts it there."""
    return [
        _fill(index, node) for index, node in enumerate(layout.outputs) if index in layout.writes and is_number(node)
    ]


def _fill(index: int, node: Node) -> str:
    number, kind = number_of(node), memory_type(node.dtype)
    value = str(int(number.name == "true")) if number.dtype is bool_ else number.name  # type: ignore[union-attr]
    return f"""define internal void @fill{index}(ptr %out) {{
entry:
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %j, %write ]
  %more = icmp ult i64 %i, {node.size}
  br i1 %more, label %write, label %done
write:
  %place = getelementptr {kind}, ptr %out, i64 %i
  store {kind} {value}, ptr %place
  %j = add i64 %i, 1
  br label %next
done:
  ret void
}}"""


class NativeProgram:
    """Machine code with its arena. One call at a time: the arena is shared between calls."""

    def __init__(self, layout: Layout, text: str, notes: int = 0) -> None:
        self.layout = layout
        self.text = text
        self._library, address = load(text)
        self.step: Callable[[int], Any] = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
        self._arena = np.empty(layout.arena + layout.scratch + 64, np.uint8)
        self.status = (ctypes.c_int64 * (3 + notes))()  # notes: numbers that a variant of the step leaves or reads
        self._table = self.new_table()
        self.lock = threading.Lock()

    def new_table(self) -> Any:
        """A table of pointers for `step`: inputs, outputs (both to be filled in), arena, status word, scratch."""
        start = -(-self._arena.ctypes.data // 64) * 64
        table = (ctypes.c_void_p * (_slot_count(self.layout) + 3))()
        table[-3], table[-2], table[-1] = start, ctypes.addressof(self.status), start + self.layout.arena
        return table

    def __call__(
        self, arrays: Sequence[np.ndarray], destinations: Mapping[int, np.ndarray] = MappingProxyType({})
    ) -> list[np.ndarray] | None:
        """All outputs; None if an index in the data was out of range, with nothing changed."""
        held = [np.ascontiguousarray(array).reshape(array.shape) for array in arrays]
        results = [
            destinations[index] if index in destinations else self._new(node)
            for index, node in enumerate(self.layout.outputs)
        ]
        with self.lock:
            self.status[0] = 0
            for index, array in enumerate((*held, *results)):
                self._table[index] = array.ctypes.data
            self.step(ctypes.addressof(self._table))
            return results if self.status[0] == 0 else None

    def _new(self, node: Node) -> np.ndarray:
        if is_number(node):
            return np.full(node.shape, known_number(node), node.dtype.numpy)
        return empty_array(node.shape, node.dtype)


def build(
    inputs: Sequence[Node], outputs: Sequence[Node], writes: Mapping[int, int] = MappingProxyType({})
) -> NativeProgram | None:
    """The program as machine code, or None where something in it has no emission."""
    known = set(inputs)
    if any(node.op is input_leaf and node not in known for node in toposort(outputs)):
        return None  # a value known before the trace: only the interpreter holds it
    with stage("fuse"):
        layout = Layout(inputs, outputs, writes)
    try:
        with stage("emit"):
            text = emit_program(layout)
    except NotEmittable:
        return None
    return NativeProgram(layout, text)
