"""What a kernel that is no nest reads from memory: its operands, or what lies behind them.

In: the node of such a kernel. Out: the nodes whose memory it gets pointers to. A kernel that walks by strides needs no
copy of an operand that is only permuted, cut or turned over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.compile.emitter import Emitter
from thalweg.compile.loop_plan import operands_of
from thalweg.compile.turning import copied_view, turning_of
from thalweg.compile.values import Value
from thalweg.compile.window_tiling import operand_views
from thalweg.dtype import DType
from thalweg.graph import Node, Shape


def reads_windows(node: Node) -> bool:
    """Whether the kernel reads its operands by strides, through the movements that they are made of."""
    return node.op.identities.get("form") == "windows" and bool(node.size)


def is_loop(node: Node) -> bool:
    return node.op.identities.get("form") == "loop"


def read_from(node: Node) -> list[Node]:
    """One node for each operand."""
    if is_loop(node):
        return [view.source for view in operands_of(node)]
    view = copied_view(node) if turning_of(node) else None
    if view is not None:
        return [view.source]
    return [view.source for view in operand_views(node)] if reads_windows(node) else list(node.inputs)


@dataclass(frozen=True)
class Operand:
    """An input of a kernel: a buffer in row-major order, or one number that stands in every place."""

    e: Emitter
    pointer: str
    shape: Shape
    dtype: DType
    number: Value | None = None

    def load(self, index: Sequence[Value]) -> Value:
        return self.at(self.e.linear(index, self.shape)) if self.number is None else self.number

    def at(self, place: Value) -> Value:
        return self.number or self.e.load(self.pointer, place, self.dtype)

    def checked(self, index: Sequence[Value], extent: int) -> Value:
        """An index read from data, clamped to 0 <= i < extent; one out of range is recorded in the status word."""
        place = self.e.linear(index, self.shape)
        return self.e.clamped(self.at(place), extent, place)
