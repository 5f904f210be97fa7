"""The pass for labels: one entry a row is picked by a comparison, so that it costs no pass over memory of its own.

In: gathers and scatters whose positions are the entry's own on every axis but one (`x[i, label[i]]`), as losses make
them. Out: gathers that read what is in memory already, and choices `where(place == label, value, 0)` that fuse with
their neighbours. A position out of range is met as before; lookups in tables stay what they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.compile.rewriting import rewrite
from thalweg.dtype import int32
from thalweg.graph import Node, Shape, full, toposort
from thalweg.ops import broadcast, equal, gather, iota, reshape, where
from thalweg.ops.rules import known_number

_MOST_REPEATED = 64  # operations done again for the picked entries alone


def pass_pick(outputs: Sequence[Node]) -> list[Node]:
    """Gathers go before the arithmetic on what they pick from; scatters of one entry a row become choices."""
    without_sums = rewrite(outputs, _picked)
    result = rewrite(without_sums, _total)
    if not checks(outputs) <= checks(result):
        result = without_sums  # a sum was all that looked at some label: it has to go on looking
    return rewrite(result, _chosen)


def checks(outputs: Sequence[Node]) -> set[tuple[Node, int]]:
    """Every index in the program that is read from data, with the extent that it must stay below."""
    return {each for node in toposort(outputs) for each in _checked(node)}


def _checked(node: Node) -> list[tuple[Node, int]]:
    positions = node.op.identities.get("positions")
    return [each for each in positions(node) if not _is_place(*each)] if positions else []


def _is_place(index: Node, extent: int) -> bool:
    """Whether an index is the entry's own place along one of its axes, which is in range whatever the data."""
    return _axis_of(index) is not None and index.shape[index.attributes["axis"]] <= extent


def _axis_of(index: Node) -> int | None:
    """The axis along which an index counts 0, 1, 2, ...; None where it is data."""
    return index.attributes["axis"] if index.op.identities.get("counts") else None


# --- gathers ---------------------------------------------------------------------------------------------------------


def _picked(node: Node) -> Node:
    """op(a, b)[places] = op(a[places], b[places]), where that is less work and meets every label that it met."""
    if not node.op.identities.get("picks"):
        return node
    source = node.inputs[0]
    if source.op.kind != "elementwise" or 2 * node.size > source.size:
        return node
    result = _Picking(node.inputs[1:], node.attributes["role"]).of(source)
    return result if result is not None and checks([node]) <= checks([result]) else node


class _Picking:
    """The picked entries of a value: by the arithmetic that makes it, from what that reads."""

    def __init__(self, indices: Sequence[Node], role: str) -> None:
        self.indices, self.role, self.shape = tuple(indices), role, indices[0].shape
        self.known: dict[Node, Node] = {}

    def of(self, node: Node) -> Node | None:
        """None where it would take too many operations."""
        if node not in self.known:
            if len(self.known) > _MOST_REPEATED:
                return None
            found = self._of(node)
            if found is None:
                return None
            self.known[node] = found
        return self.known[node]

    def _of(self, node: Node) -> Node | None:
        if node.op.identities.get("repeats"):
            return self._of_repeated(node)
        if node.op.kind != "elementwise":
            return self._gathered(node, self.indices)
        inputs = [self.of(each) for each in node.inputs]
        return node.op(*inputs, **node.attributes) if None not in inputs else None  # type: ignore[arg-type]

    def _of_repeated(self, node: Node) -> Node:
        """An axis along which one entry is repeated needs no index."""
        (source,), depth = node.inputs, len(self.indices)
        shape = (*self.shape, *node.shape[depth:])
        number = known_number(node)
        if number is not None:
            return full(shape, number, node.dtype)
        kept = [axis for axis in range(depth) if source.shape[axis] == node.shape[axis]]
        rest = source.shape[depth:]
        narrow = reshape(source, shape=(*[source.shape[axis] for axis in kept], *rest))
        if kept:
            narrow = self._gathered(narrow, tuple(self.indices[axis] for axis in kept))
        else:
            narrow = reshape(narrow, shape=((1,) * len(self.shape) + rest))
        return broadcast(narrow, shape=shape)

    def _gathered(self, node: Node, indices: tuple[Node, ...]) -> Node:
        is_whole = [_axis_of(each) for each in indices] == list(range(len(self.shape)))
        if is_whole and node.shape[: len(indices)] == self.shape:
            return node
        return gather(node, *indices, role=self.role)


# --- scatters --------------------------------------------------------------------------------------------------------


def _label_axis(node: Node) -> int | None:
    """Where a scatter sends one entry to each row: the axis that its only index read from data runs along."""
    if not node.op.identities.get("collects"):
        return None
    indices, rows = node.inputs[1:], node.inputs[1].shape
    axes = [_axis_of(each) for each in indices]
    if axes.count(None) != 1 or len(indices) != len(rows) + 1:
        return None
    axis, extents = axes.index(None), list(node.shape[: len(indices)])
    del axes[axis], extents[axis]
    is_every_row = axes == list(range(len(rows))) and tuple(extents) == rows
    return axis if is_every_row and node.shape[axis] < 2**31 else None


def _total(node: Node) -> Node:
    """The sum along the labels' axis of what one entry a row was sent to: that entry, or minus it of minus it."""
    if not (node.op.kind == "reduce" and node.op.identities.get("linear") and "axes" in node.attributes):
        return node
    (x,), axes = node.inputs, node.attributes["axes"]
    if x.op.kind == "elementwise" and x.op.identities.get("linear") and len(x.inputs) == 1:
        inner = _total(node.op(x.inputs[0], axes=axes))
        return node if inner.op is node.op and inner.inputs[0] is x.inputs[0] else x.op(inner, **x.attributes)
    axis = _label_axis(x)
    if axis is None or axis not in axes:
        return node
    rows = reshape(x.inputs[0], shape=_with_one(x.shape, axis))
    left = tuple(each for each in axes if each != axis)
    return node.op(rows, axes=left) if left else rows


def _chosen(node: Node) -> Node:
    """The value where the place is the label's, else 0; the label is looked up among the places, which checks it."""
    axis = _label_axis(node)
    if axis is None:
        return node
    updates, label = node.inputs[0], node.inputs[1 + axis]
    places = iota(shape=(node.shape[axis],), axis=0, dtype=int32.name)
    checked = gather(places, label, role=node.attributes["role"])
    is_here = equal(iota(shape=node.shape, axis=axis, dtype=int32.name), _along(checked, node.shape, axis))
    return where(is_here, _along(updates, node.shape, axis), full(node.shape, 0, node.dtype))


def _along(rows: Node, shape: Shape, axis: int) -> Node:
    """One value a row, repeated along an axis (and along those that the rows do not have)."""
    lines = (*rows.shape[:axis], 1, *rows.shape[axis:])
    return broadcast(reshape(rows, shape=lines + (1,) * (len(shape) - len(lines))), shape=shape)


def _with_one(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], 1, *shape[axis + 1 :])
