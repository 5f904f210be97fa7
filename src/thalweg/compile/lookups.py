"""The pass for tables: a product of rows that are looked up is one of the table, where that has fewer rows.

In: the outputs of a program in which an embedding goes into a linear layer (2,048 characters, of which 65 differ). Out:
an equal program: the table is multiplied and the results are looked up. Backwards the gradients of equal rows are added
up first, and both products have the table's rows only: X[i] W = (X W)[i], and the rules of the two sides of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from thalweg.compile.rewriting import Sharing, renewed, rewrite, rewrite_into, users_of
from thalweg.graph import Node, toposort
from thalweg.ops import gather, matmul, permute, reshape, scatter_add

_FEWER = 2  # times as many rows are looked up as the table has, at least: they are read and written once more
_LONG = 32  # entries of the inner axis, at least: fewer are multiplied as fast as they are added up


def pass_lookups(outputs: Sequence[Node]) -> list[Node]:
    """The program with products of tables; unchanged where nothing is looked up."""
    order = toposort(outputs)
    if not any(node.op in (gather, scatter_add) for node in order):
        return list(outputs)
    users, shown, new = users_of(order), set(outputs), dict[Node, Node]()

    def make(node: Node) -> Node:
        again = renewed(node, new)
        if node.op is matmul:
            return _product(again) or again
        if _moves_rows(node) and node.inputs[0].op is matmul and again.inputs[0].op is gather:
            found = _lookup(again)
            return gather(found.table, found.index, role=found.role) if found else again
        if node.op is scatter_add and _is_only_for(node, node.inputs[0], users, shown):
            return _collected(again) or again
        return again

    return rewrite(rewrite_into(new, outputs, make), Sharing())


def _is_only_for(reader: Node, node: Node, users: dict[Node, list[Node]], shown: set[Node]) -> bool:
    """Whether nobody else needs the product that the node shows."""
    while True:
        if node in shown or users[node] != [reader]:
            return False
        if node.op is matmul or not node.inputs:
            return True
        reader, node = node, node.inputs[0]


@dataclass(frozen=True)
class _Lookup:
    """Rows of a table, and which."""

    table: Node
    index: Node
    role: str

    @property
    def pays(self) -> bool:
        return _pays(self.index, *self.table.shape)


def _pays(index: Node, rows: int, inner: int) -> bool:
    """Whether a product of `rows`, with an inner axis so long, takes less than one of the rows that are looked up."""
    return index.size >= _FEWER * rows and inner >= _LONG


def _lookup(node: Node) -> _Lookup | None:
    """What a matrix of rows is looked up in, if it is, through movements of whole rows."""
    if node.op is gather:
        table, *indices = node.inputs
        return _Lookup(table, indices[0], node.attributes["role"]) if len(indices) == 1 and table.ndim == 2 else None
    if not _moves_rows(node):
        return None
    found = _lookup(node.inputs[0])
    if found is None:
        return None
    if node.op is reshape:
        return replace(found, index=reshape(found.index, shape=node.shape[:-1]))
    return replace(found, index=permute(found.index, order=node.attributes["order"][:-1]))


def _moves_rows(node: Node) -> bool:
    """Whether a movement leaves the last axis as it is."""
    if node.op is reshape:
        return node.ndim > 1 and node.inputs[0].ndim > 1 and node.shape[-1] == node.inputs[0].shape[-1]
    return node.op is permute and node.attributes["order"][-1] == node.ndim - 1


def _product(node: Node) -> Node | None:
    """A product one side of which is looked up."""
    if node.ndim != 2 or not node.dtype.is_floating_point:
        return None
    (a, b), flags = node.inputs, node.attributes
    if not flags["transpose_a"]:
        found = _lookup(a)  # X[i] W
        if found is None or not found.pays:
            return None
        return gather(matmul(found.table, b, **flags), found.index, role=found.role)
    if flags["transpose_b"]:
        return None
    found = _lookup(b)  # G^T X[i]
    if found is not None and found.pays:
        return matmul(_sums(a, found), found.table, **flags)
    found = _lookup(a)  # X[i]^T G
    if found is not None and found.pays:
        return matmul(found.table, _sums(b, found), **flags)
    return None


def _sums(rows: Node, found: _Lookup) -> Node:
    """The sums of those rows that belong to the same row of the table."""
    shape = (found.table.shape[0], rows.shape[1])
    return scatter_add(rows, found.index, shape=shape, role=found.role)


def _collected(node: Node) -> Node | None:
    """Sums of rows of a product, where they go: the product of the sums."""
    updates, *indices = node.inputs
    if len(indices) != 1 or node.ndim != 2 or not node.dtype.is_floating_point:
        return None
    (index,) = indices
    while _moves_rows(updates):
        order = updates.attributes.get("order")
        if order is None:
            index = reshape(index, shape=updates.inputs[0].shape[:-1])
        else:
            index = permute(index, order=tuple(order[:-1].index(axis) for axis in range(len(order) - 1)))
        updates = updates.inputs[0]
    if updates.op is not matmul or updates.ndim != 2 or updates.attributes["transpose_a"]:
        return None
    a, b = updates.inputs
    if not _pays(index, *node.shape):
        return None
    sums = scatter_add(a, index, shape=(node.shape[0], a.shape[1]), role=node.attributes["role"])
    return matmul(sums, b, **updates.attributes)
