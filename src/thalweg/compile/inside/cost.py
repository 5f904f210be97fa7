"""What a kernel has to do at the least: floating-point operations, bytes read and bytes written.

In: a fused kernel. Out: a `Cost`. Operations are counted where the record writes them, so that an exponential counts as
its polynomial; bytes are counted once for each entry of a buffer, however often the kernel reads it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable
from dataclasses import dataclass

from thalweg.compile.emitter import Emitter
from thalweg.compile.fuse import Kernel, is_number
from thalweg.compile.operands import reads_windows
from thalweg.compile.values import NotEmittable, Value
from thalweg.dtype import DType, as_dtype
from thalweg.graph import PRIMITIVES, Node, exactly

# A multiplication and an addition in one instruction are two operations; what moves bits is none.
_OPERATIONS = {"fadd": 1, "fsub": 1, "fmul": 1, "fdiv": 1, "frem": 1, "fneg": 0, "fma": 2}


@dataclass(frozen=True)
class Cost:
    """Useful work: padding, recomputation and waiting are not in it."""

    flops: int = 0
    read: int = 0
    written: int = 0

    @property
    def bytes(self) -> int:
        return self.read + self.written

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.flops + other.flops, self.read + other.read, self.written + other.written)


def cost_of(kernel: Kernel) -> Cost:
    """The cost of one run of the kernel."""
    written = sum(node.size * node.dtype.itemsize for node in kernel.outputs)
    if kernel.loop:
        steps = sum((cost_of(each) for each in kernel.loop.layout.kernels), Cost())
        read = sum(node.size * node.dtype.itemsize for node in kernel.inputs)
        return Cost(kernel.loop.length * kernel.loop.parts * steps.flops, read, written)
    return Cost(sum(flops_of(node) for node in kernel.nodes), _bytes_read(kernel), written)


def flops_of(node: Node) -> int:
    """Floating-point operations of one node."""
    if not node.dtype.is_floating_point and not any(each.dtype.is_floating_point for each in node.inputs):
        return 0
    if node.op.kind == "contract" and "transpose_a" in node.attributes:
        inner = node.inputs[0].shape[-2 if node.attributes["transpose_a"] else -1]
        return 2 * node.size * inner
    if reads_windows(node):
        return 2 * node.size * math.prod(node.inputs[1].shape[node.attributes["lead"] : -1])
    if node.op.kind == "reduce":
        return node.inputs[0].size if "axes" in node.attributes else 0
    if node.op.kind == "elementwise":
        return node.size * _per_entry(node.op.name, tuple(x.dtype.name for x in node.inputs), exactly(node.attributes))
    return node.inputs[0].size if node.op.identities.get("form") == "scatter" else 0


@functools.cache
def _per_entry(name: str, dtypes: tuple[str, ...], attributes: tuple[tuple[str, Hashable], ...]) -> int:
    """What the record's emission of one entry comes to."""
    e = _Counting()
    operands = [Value(f"%x{i}", as_dtype(each)) for i, each in enumerate(dtypes)]
    emission = PRIMITIVES[name].emit
    if emission is None:
        return 1
    try:
        emission(e, *operands, **dict(attributes))
    except NotEmittable:
        return 1
    return e.total


class _Counting(Emitter):
    """An emitter that counts the arithmetic in what it writes."""

    total = 0

    def emit(self, dtype: DType, text: str, lanes: int = 1) -> Value:
        if dtype.is_floating_point:
            self.total += _operations_in(text)
        return super().emit(dtype, text, lanes)


def _operations_in(text: str) -> int:
    word, _, rest = text.partition(" ")
    if word != "call":
        return _OPERATIONS.get(word, 0)
    function = rest.partition("@")[2].removeprefix("llvm.").partition(".")[0].partition("(")[0]
    return _OPERATIONS.get(function, 0 if function in ("fabs", "masked") else 1)


def _bytes_read(kernel: Kernel) -> int:
    """Each input's entries that some node of the kernel looks at, at most all of them."""
    looks: dict[Node, int] = {}  # what is looked at, and how many entries of it
    for node in kernel.nodes:
        for position, each in enumerate(node.inputs):
            is_table = node.op.kind == "index" and position == 0 and node.op.identities.get("form") != "scatter"
            looks[each] = max(looks.get(each, 0), node.size if is_table else each.size)
    entries = dict.fromkeys((each for each in kernel.inputs if not is_number(each)), 0)
    for each, count in looks.items():
        _follow(each, count, entries)
    return sum(min(count, each.size) * each.dtype.itemsize for each, count in entries.items())


def _follow(node: Node, count: int, entries: dict[Node, int]) -> None:
    """Through index maps to the inputs; a map never makes more entries be read than it has."""
    stack = [(node, count)]
    while stack:
        each, wanted = stack.pop()
        if each in entries:
            entries[each] += min(wanted, each.size)
        elif each.op.kind == "move":
            stack.extend((source, min(wanted, source.size)) for source in each.inputs)
