"""A kernel as a module of its own: the unit that is compiled, cached, and shared by all programs of a process.

In: a kernel. Out: a `Module`, LLVM text with one function that everybody can call. Its buffers are found through the
caller's table of pointers, so the text holds no address and no place in a program: equal kernels have equal text.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from thalweg.compile.emitter import Emitter
from thalweg.compile.epilogues import emit_with_epilogue, operands_of
from thalweg.compile.fuse import Kernel
from thalweg.compile.kernels import emit_kernel, kernel_key
from thalweg.compile.loop_plan import LoopPlan
from thalweg.compile.nest import emit_nest
from thalweg.compile.operands import read_from
from thalweg.compile.runtime import ENTRY, STATUS
from thalweg.compile.target import current_name
from thalweg.compile.values import NotEmittable, Value, literal, memory_type
from thalweg.dtype import bool_
from thalweg.graph import Node, attribute_key, structure_key
from thalweg.ops.rules import known_number

# What a body may call, and the text that then stands before it.
_HELPERS = {
    "@record(": """define internal void @record(ptr %status, i64 %kernel, i64 %position, i64 %value) noinline {
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
}""",
    "@llvm.memcpy.p0.p0.i64(": "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
    "@llvm.memset.p0.i64(": "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)",
}

_FILL = """define internal void @body(ptr %out, ptr %status, i64 %kernel, i64 %piece, ptr %scratch) {{
entry:
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %j, %write ]
  %more = icmp ult i64 %i, {size}
  br i1 %more, label %write, label %done
write:
  %place = getelementptr {kind}, ptr %out, i64 %i
  store {kind} {number}, ptr %place
  %j = add i64 %i, 1
  br label %next
done:
  ret void
}}"""


@dataclass(frozen=True)
class Module:
    """LLVM text, and the function in it that a row of a program calls."""

    symbol: str
    helpers: tuple[str, ...]  # what the functions call, declared or defined; modules may have it in common
    functions: str

    @property
    def text(self) -> str:
        return "\n".join([*self.helpers, self.functions])


_modules: dict[Hashable, Module] = {}


def module_of(kernel: Kernel) -> Module:
    """The module of a kernel for the current target; it is written once in a process."""
    key, emit = code_of(kernel)
    key = (current_name(), key)
    if key not in _modules:
        text, declarations = emit("body")
        helpers = [helper for call, helper in _HELPERS.items() if call in text]
        _modules[key] = _module(name_of(kernel), len(arguments_of(kernel)), [*sorted(declarations), *helpers], text)
    return _modules[key]


def fill_module(node: Node) -> Module:
    """Writes the number that the node is in every place."""
    value, kind = number_of(node), memory_type(node.dtype)
    assert value is not None
    number = str(int(value.name == "true")) if node.dtype is bool_ else value.name
    return _module("fill", 1, [], _FILL.format(kind=kind, size=node.size, number=number))


def _module(symbol: str, pointers: int, helpers: Sequence[str], body: str) -> Module:
    """The function that rows call: it takes the kernel's pointers from the table and hands them to the kernel."""
    symbol = f"kernel_{symbol}"
    lines = [f"define void @{symbol}({ENTRY}) {{", "entry:", f"  %status = getelementptr i64, ptr %table, i64 {STATUS}"]
    for i in range(pointers):
        lines += [
            f"  %a{i} = getelementptr i64, ptr %slots, i64 {i}", f"  %s{i} = load i64, ptr %a{i}",
            f"  %q{i} = getelementptr ptr, ptr %table, i64 %s{i}", f"  %p{i} = load ptr, ptr %q{i}",
        ]  # fmt: skip
    arguments = [*(f"ptr %p{i}" for i in range(pointers)), "ptr %status, i64 %number, i64 %piece, ptr %scratch"]
    lines += [f"  call void @body({', '.join(arguments)})", "  ret void", "}"]
    return Module(symbol, tuple(helpers), "\n".join([body, *lines]))


def code_of(kernel: Kernel) -> tuple[Hashable, Callable[..., tuple[str, set[str]]]]:
    """A key that is equal for kernels with equal code, and how to write that code: by a name, in an emitter's words."""
    if kernel.is_nest:
        key = (structure_key(kernel.outputs, kernel.inputs), kernel.domain, kernel.axes, kernel.parts)
        return key, lambda name, e=None: emit_nest(name, kernel, e)
    node = kernel.nodes[0]
    if kernel.loop:
        return _code_of_loop(kernel.loop)
    numbers = [number_of(each) for each in read_from(node)]
    product = kernel_key(node, numbers), kernel.parts
    if kernel.epilogue is None:
        return product, lambda name, e=None: emit_kernel(name, node, numbers, e, kernel.parts)
    nest = kernel.epilogue
    rest = structure_key(nest.outputs, [node, *operands_of(kernel)]), nest.domain, node in kernel.outputs
    return (product, rest), lambda name, e=None: emit_with_epilogue(name, kernel, numbers, e)


def _code_of_loop(loop: LoopPlan) -> tuple[Hashable, Callable[..., tuple[str, set[str]]]]:
    """It has no text of its own, only that of the kernels of its steps."""

    def emit(name: str, e: Emitter | None = None) -> tuple[str, set[str]]:
        raise NotEmittable("a loop, which is rows of a table")

    steps = structure_key(loop.layout.outputs, loop.layout.inputs)
    return ("loop", steps, loop.parts, tuple(loop.entries), attribute_key(loop.node)), emit


def name_of(kernel: Kernel) -> str:
    """What the kernel does in a word or two: its last operation, and the product before it."""
    last = "loop" if kernel.loop else kernel.nodes[-1].op.name
    return f"{kernel.nodes[0].op.name}_{last}" if kernel.epilogue else last


def arguments_of(kernel: Kernel) -> list[Node]:
    """What the kernel's function takes a pointer to: its outputs, then its inputs."""
    return [
        *kernel.outputs,
        *(kernel.inputs if kernel.is_nest else [*read_from(kernel.nodes[0]), *operands_of(kernel)]),
    ]


def number_of(node: Node) -> Value | None:
    """The number that stands in every place of the node, if that is known."""
    number = known_number(node)
    return None if number is None else literal(number, node.dtype)
