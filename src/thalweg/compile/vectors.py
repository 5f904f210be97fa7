"""The pass for products with a single row: a matrix that lies by rows is read once, and not rearranged first.

In: the outputs of a program. Out: an equal program in which `x W^T` of one row x is a sum of products along the rows of
W. A microkernel wants entries of neighbouring rows side by side, which costs more than the product if nothing else
meets them. One sample at a time, which is how trained networks are often asked, is mostly such products.
"""

from __future__ import annotations

from collections.abc import Sequence

from thalweg.compile.rewriting import rewrite
from thalweg.graph import Node
from thalweg.ops import broadcast, multiply, reshape, sum_

_LONG = 64  # entries of a row: shorter ones do not fill vectors
_LARGE = 4096  # entries of the matrix


def pass_vectors(outputs: Sequence[Node]) -> list[Node]:
    """Products of a row with a matrix turned over, as sums."""
    return rewrite(outputs, _summed)


def _summed(node: Node) -> Node:
    if node.op.kind != "contract" or not node.attributes.get("transpose_b") or node.shape[-2] != 1:
        return node
    a, b = node.inputs
    inner = b.shape[-1]
    if not node.dtype.is_floating_point or inner < _LONG or b.shape[-2] * inner < _LARGE:
        return node
    row = broadcast(reshape(a, shape=(*b.shape[:-2], 1, inner)), shape=b.shape)
    return reshape(sum_(multiply(row, b), axes=(b.ndim - 1,)), shape=node.shape)
