"""Copies that turn a value over: what lies side by side in the source comes to lie far apart, and the other way round.

In: a movement that is needed in memory, and the strides by which it reads its source. Out: loops over square blocks
that are loaded along one axis, turned over in registers and stored along the other, so that both sides are whole
vectors. Weights are brought into the order of a convolution's loops so, and their gradients back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from thalweg.compile.emitter import Emitter
from thalweg.compile.packing import before, share_of_piece
from thalweg.compile.pieces import Pieces, cut, wanted_pieces
from thalweg.compile.remembering import remembered
from thalweg.compile.target import current_target
from thalweg.compile.values import Value
from thalweg.compile.views import View, view_of
from thalweg.dtype import float32, float64
from thalweg.graph import Node
from thalweg.ops.rules import known_number

_SHORT = 4  # entries: shorter axes are read well one by one
_WORTH = 256  # entries
_CYCLES = 1.5  # for each entry


@dataclass(frozen=True)
class Axis:
    """Steps along an axis, and how far one is in the source and in the copy."""

    extent: int
    in_source: int
    in_copy: int


@dataclass(frozen=True)
class Turning:
    """The axes of a copy, and where it begins in the source and in itself.

    Along `along_source` and `along_copy` entries lie side by side there; blocks are squares of them.
    """

    outer: tuple[Axis, ...]
    along_source: Axis
    along_copy: Axis
    in_source: int
    in_copy: int
    lanes: int

    @property
    def units(self) -> int:
        """What threads claim: rows of blocks."""
        return math.prod(axis.extent for axis in self.outer) * -(-self.along_copy.extent // self.lanes)

    @property
    def cycles(self) -> float:
        entries = self.units * self.lanes * -(-self.along_source.extent // self.lanes) * self.lanes
        return _CYCLES * entries

    @property
    def pieces(self) -> Pieces:
        return cut(self.units, wanted_pieces(self.cycles))


def turning_of(node: Node) -> Turning | None:
    """How a movement turns its source over; None where it does not, or not much."""
    if node.op.kind != "move" or node.dtype not in (float32, float64) or node.size < _WORTH:
        return None
    return _turning(node)


@remembered
def _turning(node: Node) -> Turning | None:
    view = copied_view(node)
    if view is None:
        return None
    start, axes = _axes(node, view)
    if not axes or axes[-1].in_source in (0, 1) or axes[-1].extent < _SHORT:
        return None
    along = next((axis for axis in axes if axis.in_source == 1 and axis.extent >= _SHORT), None)
    if along is None:
        return None
    outer = tuple(axis for axis in axes[:-1] if axis is not along)
    return Turning(outer, along, axes[-1], *start, current_target().vector_bytes // node.dtype.itemsize)


def copied_view(node: Node) -> View | None:
    """What a movement that only puts entries in another order shows of the memory behind it."""
    if node.op.identities.get("view"):
        view = view_of(node)
    elif node.op.identities.get("linear") and len(node.inputs) == 1:
        view = view_of(node.inputs[0])
    else:
        return None
    return None if view.source is node or known_number(view.source) is not None else view


def _axes(node: Node, view: View) -> tuple[tuple[int, int], list[Axis]]:
    """Where the copy begins in both, and its axes; those of extent 1 left out, and neighbours made one where they are.

    An axis along which the source is read backwards is walked from its end: the copy is then written backwards. The
    last one is not, for it is what vectors of the copy lie along.
    """
    axes: list[Axis] = []
    in_copy = node.size
    for extent, stride in zip(node.shape, view.strides, strict=True):
        in_copy //= extent
        if extent == 1:
            continue
        if axes and axes[-1].in_source == extent * stride:
            axes[-1] = Axis(axes[-1].extent * extent, stride, in_copy)
        else:
            axes.append(Axis(extent, stride, in_copy))
    start, begin = view.start, 0
    for i, axis in enumerate(axes[:-1]):
        if axis.in_source < 0:
            start += (axis.extent - 1) * axis.in_source
            begin += (axis.extent - 1) * axis.in_copy
            axes[i] = Axis(axis.extent, -axis.in_source, -axis.in_copy)
    return (start, begin), axes


def emit_turning(e: Emitter, node: Node, turning: Turning, source: str) -> None:
    """The blocks of this piece."""
    share = share_of_piece(e, e.piece(), turning.pieces)
    rows = -(-turning.along_copy.extent // turning.lanes)
    with e.loop(share.count) as i:
        *index, block = e.delinear(e.add(share.first, i), (*(axis.extent for axis in turning.outer), rows))
        places = [e.integer(turning.in_source), e.integer(turning.in_copy)]
        for axis, step in zip(turning.outer, index, strict=True):
            strides = axis.in_source, axis.in_copy
            places = [e.add(p, e.multiply(step, e.integer(s))) for p, s in zip(places, strides, strict=True)]
        whole, rest = divmod(turning.along_source.extent, turning.lanes)
        first = e.multiply(block, e.integer(turning.lanes))
        if whole:
            with e.loop(whole) as column:
                _block(
                    e, node, turning, source, places, first, e.multiply(column, e.integer(turning.lanes)), turning.lanes
                )
        if rest:
            _block(e, node, turning, source, places, first, e.integer(whole * turning.lanes), rest)


def _block(
    e: Emitter, node: Node, turning: Turning, source: str, places: list[Value], row: Value, column: Value, width: int
) -> None:
    """Entries `column` to `column + width` along the source's axis, for a vector of them along the copy's."""
    lanes, along = turning.lanes, turning.along_copy
    mask, rows = e.first_lanes(width, lanes), []
    for i in range(lanes):
        step = e.add(row, e.integer(i))
        if along.extent % lanes:
            step = e.minimum(step, e.integer(along.extent - 1))
        place = e.add(e.add(places[0], column), e.multiply(step, e.integer(along.in_source)))
        rows.append(e.load(source, place, node.dtype, lanes, mask))
    edge = before(e, row, along.extent, lanes) if along.extent % lanes else None
    for i, vector in enumerate(e.transpose(rows)[:width]):
        step = e.multiply(e.add(column, e.integer(i)), e.integer(turning.along_source.in_copy))
        e.store("%out", e.add(e.add(places[1], step), row), vector, edge)
