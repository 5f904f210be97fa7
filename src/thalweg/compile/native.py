"""Running emitted code: LLVM text to machine code, buffers, and one native call per step.

In: the inputs and outputs of a program. Out: a callable on arrays, or None where some primitive has no emission yet or
native code cannot run here. A call that meets bad data changes nothing and returns None.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from thalweg.compile.fuse import Kernel, fuse, is_checked, is_number
from thalweg.compile.kernels import emit_kernel, kernel_key, scratch_bytes
from thalweg.compile.memory import plan_arena
from thalweg.compile.nest import emit_nest
from thalweg.compile.target import host
from thalweg.compile.values import NotEmittable, Value, literal
from thalweg.graph import Node, constant_leaf, input_leaf, structure_key, toposort

_lock = threading.Lock()
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
    arena: int = 0
    scratch: int = 0
    checks: int = 0  # how many of the kernels must have run before it is known that the data are good

    def __post_init__(self) -> None:
        self.kernels = fuse(self.outputs)
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
        position = next(i for i, kernel in enumerate(self.kernels) if node in kernel.nodes)
        kernel = self.kernels[position]
        if position < self.checks or not kernel.is_nest or kernel.axes is not None or kernel.domain != node.shape:
            return False
        readers = [i for i, each in enumerate(self.kernels) if cell in each.inputs]
        mapped = any(cell in _behind_moves(each) for each in kernel.nodes)
        return all(i <= position for i in readers) and not mapped and cell not in map(self.source, self.outputs)

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
        self.scratch = max((scratch_bytes(k.nodes[0]) for k in self.kernels if not k.is_nest), default=0)


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


def emit_program(layout: Layout) -> str:
    """The module: one function a distinct kernel, and `step(table)` that calls them in order."""
    functions: dict[Hashable, tuple[str, str]] = {}
    declarations: set[str] = set()
    calls: list[str] = []
    for index, kernel in enumerate(layout.kernels):
        key, emit = _code_of(kernel)
        if key not in functions:
            name = f"k{len(functions)}_{kernel.nodes[-1].op.name}"
            text, needed = emit(name)
            functions[key] = (name, text)
            declarations |= needed
        pointers = [_pointer(layout, each) for each in _arguments(kernel)]
        rest = f"ptr %status, i64 {index + 1}" + ("" if kernel.is_nest else ", ptr %scratch")
        if index == layout.checks and index:
            calls += _leave_if_bad()
        calls.append(f"  call void @{functions[key][0]}({', '.join([*pointers, rest])})")
    if layout.checks == len(layout.kernels):
        calls += _leave_if_bad()
    body = "\n".join([*_table_loads(layout), *calls, *_copies(layout), "  br label %leave", "leave:"])
    step = f"define void @step(ptr %table) {{\nentry:\n{body}\n  ret void\n}}"
    return "\n".join([*sorted(declarations), _RECORD, *[text for _, text in functions.values()], step])


def _code_of(kernel: Kernel) -> tuple[Hashable, Callable[[str], tuple[str, set[str]]]]:
    """A key that is equal for kernels with equal code, and how to write that code."""
    if kernel.is_nest:
        key = (structure_key(kernel.outputs, kernel.inputs), kernel.domain, kernel.axes)
        return key, lambda name: emit_nest(name, kernel)
    (node,) = kernel.nodes
    numbers = [number_of(each) for each in node.inputs]
    return kernel_key(node, numbers), lambda name: emit_kernel(name, node, numbers)


def _arguments(kernel: Kernel) -> list[Node]:
    return [*kernel.outputs, *(kernel.inputs if kernel.is_nest else kernel.nodes[0].inputs)]


def number_of(node: Node) -> Value | None:
    """The number that stands in every place of the node, if that is known."""
    return literal(_constant_behind(node).attributes["value"], node.dtype) if is_number(node) else None


def _constant_behind(node: Node) -> Node:
    while node.op is not constant_leaf:
        node = node.inputs[0]
    return node


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
        f"  %a{offset} = getelementptr i8, ptr %arena, i64 {offset}" for offset in sorted(set(layout.offsets.values()))
    ]
    return lines


def _pointer(layout: Layout, node: Node) -> str:
    node = layout.source(node)
    if is_number(node):
        return "ptr null"
    return f"ptr %p{layout.slots[node]}" if node in layout.slots else f"ptr %a{layout.offsets[node]}"


def _copies(layout: Layout) -> list[str]:
    """Outputs that are not computed where they belong: copied at the end."""
    lines = []
    for index, node in enumerate(layout.outputs):
        slot = len(layout.inputs) + index
        size = node.size * node.dtype.itemsize
        if not is_number(node) and size and layout.slots.get(layout.source(node)) != slot:
            lines.append(
                f"  call void @llvm.memcpy.p0.p0.i64(ptr %p{slot}, {_pointer(layout, node)}, i64 {size}, i1 false)"
            )
    return lines


class NativeProgram:
    """Machine code with its arena. One call at a time: the arena is shared between calls."""

    def __init__(self, layout: Layout, text: str) -> None:
        self.layout = layout
        self.text = text
        self._library, address = _load(text)
        self.step = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
        self._arena = np.empty(layout.arena + layout.scratch + 64, np.uint8)
        self.status = (ctypes.c_int64 * 3)()
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
            destinations[index] if index in destinations and not is_number(node) else self._new(node)
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
            return np.full(node.shape, _constant_behind(node).attributes["value"], node.dtype.numpy)
        return np.empty(node.shape, node.dtype.numpy)


def _load(text: str) -> tuple[object, int]:
    """Optimise and link one module. LLVM is not re-entrant, so one at a time."""
    import llvmlite.binding as llvm

    with _lock:
        machine = host().machine()
        module = llvm.parse_assembly(text)
        module.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        options.loop_vectorization = True
        llvm.create_pass_builder(machine, options).getModulePassManager().run(
            module, llvm.create_pass_builder(machine, options)
        )
        engine = llvm.create_lljit_compiler(machine, use_jit_link=False, suppress_errors=False)
        library = (
            llvm.JITLibraryBuilder()
            .add_object_img(machine.emit_object(module))
            .add_current_process()
            .export_symbol("step")
        )
        tracker = library.link(engine, f"step{id(text)}")
        return (engine, tracker, machine), tracker["step"]


def build(
    inputs: Sequence[Node], outputs: Sequence[Node], writes: Mapping[int, int] = MappingProxyType({})
) -> NativeProgram | None:
    """The program as machine code, or None where something in it has no emission."""
    if any(node.op is input_leaf and node not in set(inputs) for node in toposort(outputs)):
        return None  # a value known before the trace: only the interpreter holds it
    layout = Layout(inputs, outputs, writes)
    try:
        text = emit_program(layout)
    except NotEmittable:
        return None
    return NativeProgram(layout, text)
