"""Running emitted code: LLVM text to machine code, buffers, and one native call per step.

In: the inputs and outputs of a program. Out: a callable on arrays, or None where some primitive has no emission yet or
native code cannot run here. A call that meets bad data changes nothing and returns None.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from thalweg.compile.emitter import NotEmittable, Value, literal
from thalweg.compile.kernels import emit_kernel, kernel_key, scratch_bytes
from thalweg.compile.memory import plan_arena
from thalweg.compile.target import host
from thalweg.graph import Node, constant_leaf, input_leaf, toposort

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
    """Where each node's value lies: a slot of the pointer table, an offset in the arena, or a number."""

    inputs: Sequence[Node]
    outputs: Sequence[Node]
    written: frozenset[int] = frozenset()  # outputs that go to cells: copied at the end, after the status word is seen
    order: list[Node] = field(default_factory=list)
    numbers: dict[Node, Value] = field(default_factory=dict)
    same_as: dict[Node, Node] = field(default_factory=dict)
    slots: dict[Node, int] = field(default_factory=dict)
    offsets: dict[Node, int] = field(default_factory=dict)
    arena: int = 0
    scratch: int = 0

    def __post_init__(self) -> None:
        self.order = toposort(self.outputs)
        for node in self.order:
            self._classify(node)
        self.slots = {node: index for index, node in enumerate(self.inputs)}
        for index, node in enumerate(self.outputs):
            source = self.source(node)
            if index not in self.written and source.inputs and source not in self.slots and source not in self.numbers:
                self.slots[source] = len(self.inputs) + index
        self._plan()

    def _classify(self, node: Node) -> None:
        if node.op is constant_leaf:
            self.numbers[node] = literal(node.attributes["value"], node.dtype)
        elif node.op.kind == "move" and len(node.inputs) == 1 and node.op.identities.get("linear"):
            source = node.inputs[0]
            if source in self.numbers:  # one number everywhere stays so wherever it is moved
                self.numbers[node] = self.numbers[source]
            elif node.op.identities.get("keeps_order"):
                self.same_as[node] = self.source(source)

    def source(self, node: Node) -> Node:
        return self.same_as.get(node, node)

    def _plan(self) -> None:
        kernels = self.kernels()
        deaths: dict[Node, int] = {}
        for time, node in enumerate(kernels):
            for each in (node, *node.inputs):
                deaths[self.source(each)] = time
        for node in self.outputs:
            deaths[self.source(node)] = len(kernels)
        sizes = {node: node.size * node.dtype.itemsize for node in kernels if node not in self.slots}
        self.offsets, self.arena = plan_arena(kernels, sizes, deaths)
        self.scratch = max(map(scratch_bytes, kernels), default=0)

    def kernels(self) -> list[Node]:
        """The nodes that need code of their own, in order."""
        return [
            node
            for node in self.order
            if node.op.kind != "leaf" and node not in self.numbers and node not in self.same_as
        ]


def emit_program(layout: Layout) -> str:
    """The module: one function a distinct kernel, and `step(table)` that calls them in order."""
    functions: dict[Hashable, tuple[str, str]] = {}
    declarations: set[str] = set()
    calls: list[str] = []
    for index, node in enumerate(layout.kernels()):
        numbers = [layout.numbers.get(each) for each in node.inputs]
        key = kernel_key(node, numbers)
        if key not in functions:
            name = f"k{len(functions)}_{node.op.name}"
            text, needed = emit_kernel(name, node, numbers)
            functions[key] = (name, text)
            declarations |= needed
        pointers = [_pointer(layout, each) for each in (node, *node.inputs)]
        calls.append(
            f"  call void @{functions[key][0]}({', '.join(pointers)}, ptr %status, i64 {index + 1}, ptr %scratch)"
        )
    body = "\n".join([*_table_loads(layout), *calls, *_copies(layout)])
    step = f"define void @step(ptr %table) {{\nentry:\n{body}\n  ret void\n}}"
    return "\n".join([*sorted(declarations), _RECORD, *[text for _, text in functions.values()], step])


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
    if node in layout.numbers:
        return "ptr null"
    return f"ptr %p{layout.slots[node]}" if node in layout.slots else f"ptr %a{layout.offsets[node]}"


def _copies(layout: Layout) -> list[str]:
    """Outputs that are not computed in place: copied at the end, unless bad data were met."""
    lines = ["  %code = load i64, ptr %status", "  %good = icmp eq i64 %code, 0",
             "  br i1 %good, label %copy, label %leave", "copy:"]  # fmt: skip
    for index, node in enumerate(layout.outputs):
        slot = len(layout.inputs) + index
        size = node.size * node.dtype.itemsize
        if node not in layout.numbers and size and layout.slots.get(layout.source(node)) != slot:
            lines.append(
                f"  call void @llvm.memcpy.p0.p0.i64(ptr %p{slot}, {_pointer(layout, node)}, i64 {size}, i1 false)"
            )
    return [*lines, "  br label %leave", "leave:"]


class NativeProgram:
    """Machine code with its arena. One call at a time: the arena is shared between calls."""

    def __init__(self, layout: Layout, text: str) -> None:
        self.layout = layout
        self.text = text
        self._library, address = _load(text)
        self._step = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
        self._arena = np.empty(layout.arena + layout.scratch + 64, np.uint8)
        self._status = np.zeros(3, np.int64)
        start = -(-self._arena.ctypes.data // 64) * 64
        self._table = (ctypes.c_void_p * (_slot_count(layout) + 3))()
        self._table[-3], self._table[-2], self._table[-1] = start, self._status.ctypes.data, start + layout.arena
        self._lock = threading.Lock()

    def __call__(
        self, arrays: Sequence[np.ndarray], destinations: Mapping[int, np.ndarray] = MappingProxyType({})
    ) -> list[np.ndarray] | None:
        """All outputs; None if an index in the data was out of range, with nothing changed."""
        held = [np.ascontiguousarray(array).reshape(array.shape) for array in arrays]
        results = [
            destinations[index] if index in destinations and node not in self.layout.numbers else self._new(node)
            for index, node in enumerate(self.layout.outputs)
        ]
        with self._lock:
            self._status[:] = 0
            for index, array in enumerate((*held, *results)):
                self._table[index] = array.ctypes.data
            self._step(ctypes.addressof(self._table))
            return results if self._status[0] == 0 else None

    def _new(self, node: Node) -> np.ndarray:
        if node in self.layout.numbers:
            source = node
            while source.op is not constant_leaf:
                source = source.inputs[0]
            return np.full(node.shape, source.attributes["value"], node.dtype.numpy)
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
    inputs: Sequence[Node], outputs: Sequence[Node], written: frozenset[int] = frozenset()
) -> NativeProgram | None:
    """The program as machine code, or None where something in it has no emission."""
    if any(node.op is input_leaf and node not in set(inputs) for node in toposort(outputs)):
        return None  # a value known before the trace: only the interpreter holds it
    layout = Layout(inputs, outputs, written)
    try:
        text = emit_program(layout)
    except NotEmittable:
        return None
    return NativeProgram(layout, text)
