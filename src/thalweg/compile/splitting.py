"""The pass for large sums: over some axes first, then over the others, so that threads have parts to take.

In: the outputs of a program. Out: an equal program in which a sum over several axes of a large value is a sum of sums.
How it is cut depends on shapes alone, so no bit depends on threads. The sums of one sample also find it in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from thalweg.compile.rewriting import rewrite
from thalweg.graph import Node

_LARGE = 1 << 16  # entries
_ENOUGH = 8  # parts


def pass_split(outputs: Sequence[Node]) -> list[Node]:
    """Sums of sums."""
    return rewrite(outputs, _split)


def _split(node: Node) -> Node:
    known = node.op.identities
    if node.op.kind != "reduce" or not known.get("linear") or "axes" not in node.attributes:
        return node
    (x,), axes = node.inputs, node.attributes["axes"]
    if x.size < _LARGE or len(axes) < 2 or math.prod(x.shape[: axes[0]]) >= _ENOUGH:
        return node
    parts = next((n for n in range(1, len(axes)) if math.prod(x.shape[axis] for axis in axes[:n]) >= _ENOUGH), 0)
    return node.op(node.op(x, axes=axes[parts:]), axes=axes[:parts]) if parts else node
