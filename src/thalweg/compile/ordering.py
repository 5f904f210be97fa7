"""Kernel forms along one axis: running totals, and the order of entries by a merge sort.

In: a node with an `axis`, and its operand. Out: loops in the emitter's words over every line along the axis. What is
added, and which of two entries comes first, is the record's own emission.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thalweg.compile.emitter import Emitter
from thalweg.compile.values import NotEmittable, Value, literal
from thalweg.dtype import int64
from thalweg.graph import Node


def _lines(e: Emitter, node: Node, body: Any) -> None:
    """`body(at)` for each line along the node's axis, where `at(i)` is the index of entry i of the line."""
    axis = node.attributes["axis"]

    def line(index: list[Value]) -> None:
        body(lambda i: [i if each == axis else place for each, place in enumerate(index)])

    if node.size:
        e.loops(tuple(1 if each == axis else extent for each, extent in enumerate(node.shape)), line)


def form_running(e: Emitter, node: Node, operands: Sequence[Any]) -> None:
    """out[i] = out[i - 1] + x[i], or from the other end."""
    (x,), extent = operands, node.shape[node.attributes["axis"]]
    # Nothing yet is -0.0 for floats, which changes no number, not even -0.0.
    nothing = literal(-0.0 if node.dtype.is_floating_point else 0, node.dtype)
    combine = node.op.emit
    if combine is None:
        raise NotEmittable(node.op.name)

    def line(at: Any) -> None:
        def step(i: Value, values: list[Value]) -> list[Value]:
            index = at(e.subtract(e.integer(extent - 1), i) if node.attributes["reverse"] else i)
            total = combine(e, values[0], x.load(index))
            e.store("%out", e.linear(index, node.shape), total)
            return [total]

        e.repeat(extent, [nothing], step)

    _lines(e, node, line)


def form_order(e: Emitter, node: Node, operands: Sequence[Any]) -> None:
    """The positions of the entries in order: lines of 1, 2, 4, ... sorted positions are merged, ties from the left."""
    (x,), extent = operands, node.shape[node.attributes["axis"]]
    widths = [1 << round_ for round_ in range(max(extent - 1, 0).bit_length())]

    def line(at: Any) -> None:
        source, target = e.integer(0), e.integer(extent)  # two rows of positions in scratch
        with e.loop(extent) as i:
            e.store("%scratch", i, i)
        for width in widths:
            _merge(e, node, lambda i: x.load(at(i)), (source, target), width, extent)
            source, target = target, source
        with e.loop(extent) as i:
            e.store("%out", e.linear(at(i), node.shape), e.load("%scratch", e.add(source, i), int64))

    _lines(e, node, line)


def _merge(e: Emitter, node: Node, value: Any, rows: tuple[Value, Value], width: int, extent: int) -> None:
    """Neighbouring runs of `width` sorted positions become runs of twice as many; i and j are what is left of each."""
    before = node.op.emit
    if before is None:
        raise NotEmittable(node.op.name)
    source, target = rows
    end, last = e.integer(extent), e.integer(extent - 1)

    def step(place: Value, values: list[Value]) -> list[Value]:
        within = e.modulo(place, 2 * width)
        first, starts = e.subtract(place, within), e.compare("equal", within, e.integer(0))
        middle = e.minimum(e.add(first, e.integer(width)), end)
        i, j = e.select(starts, place, values[0]), e.select(starts, middle, values[1])
        stop = e.minimum(e.add(first, e.integer(2 * width)), end)
        left, right = (e.load("%scratch", e.add(source, e.minimum(each, last)), int64) for each in (i, j))
        has_left, has_right = e.compare("less", i, middle), e.compare("less", j, stop)
        is_first = before(e, value(right), value(left), **node.attributes)
        takes_right = e.bitwise("bitwise_and", has_right, e.bitwise("bitwise_or", e.invert(has_left), is_first))
        e.store("%scratch", e.add(target, place), e.select(takes_right, right, left))
        step_right = e.cast(takes_right, int64)
        return [e.add(i, e.subtract(e.integer(1), step_right)), e.add(j, step_right)]

    e.repeat(extent, [e.integer(0), e.integer(0)], step)


def scratch_of_order(node: Node) -> int:
    """Two rows of positions."""
    return 2 * node.shape[node.attributes["axis"]] * int64.itemsize
