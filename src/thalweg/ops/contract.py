"""Matrix multiplication, batched, with either operand transposed.

In: `a` (*batch, M, K) and `b` (*batch, K, N), each with its last two axes swapped where its flag says so; batch axes
equal (broadcasting is explicit). Out: (*batch, M, N). The chain rule is two products of the same record.
"""

from __future__ import annotations

import math

import numpy as np

from thalweg.errors import ShapeError, explain
from thalweg.graph import Node, Primitive, Probe, Shape, register
from thalweg.ops.rules import NUMERIC, known_number, op, quietly, same_dtype


def _matmul_shape(a: Shape, b: Shape, *, transpose_a: bool, transpose_b: bool) -> Shape:
    if min(len(a), len(b)) < 2:
        raise ShapeError(
            explain(
                "matmul needs matrices",
                received=f"{a} and {b}",
                expected="at least two axes each",
                remedy="reshape a vector to (1, n) or (n, 1)",
            )
        )
    if a[:-2] != b[:-2]:
        raise ShapeError(
            explain(
                "matmul: batch axes differ",
                received=f"{a} and {b}",
                expected="equal leading axes",
                remedy="broadcast them first",
            )
        )
    rows, inner_a = (a[-1], a[-2]) if transpose_a else (a[-2], a[-1])
    inner_b, columns = (b[-1], b[-2]) if transpose_b else (b[-2], b[-1])
    if inner_a != inner_b:
        raise ShapeError(
            explain(
                "matmul: inner extents differ",
                received=f"{inner_a} against {inner_b}, in {a} times {b}",
                expected="as many columns on the left as rows on the right",
                remedy="check the layer's sizes",
            )
        )
    return (*a[:-2], rows, columns)


@quietly
def _matmul(a: np.ndarray, b: np.ndarray, *, transpose_a: bool, transpose_b: bool) -> np.ndarray:
    return np.matmul(a.swapaxes(-1, -2) if transpose_a else a, b.swapaxes(-1, -2) if transpose_b else b)


def _matmul_rule(g: Node, y: Node, a: Node, b: Node, *, transpose_a: bool, transpose_b: bool) -> tuple[Node, Node]:
    # Y = A B: dA = G B^T and dB = A^T G; for a transposed operand the transpose of that.
    by_a = _product(b, g, transpose_b, True) if transpose_a else _product(g, b, False, not transpose_b)
    by_b = _product(g, a, True, transpose_a) if transpose_b else _product(a, g, not transpose_a, False)
    return by_a, by_b


def _product(a: Node, b: Node, transpose_a: bool, transpose_b: bool) -> Node:
    return matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)


def _simpler_matmul(node: Node) -> Node | None:
    """An operand turned over is a flag; a matrix of one number takes sums of the other's rows or columns."""
    flags = dict(node.attributes)
    for side, each in zip("ab", node.inputs, strict=True):
        if _swaps_last(each):
            inputs = [x.inputs[0] if x is each else x for x in node.inputs]
            turned = [f"transpose_{name}" for name, x in zip("ab", node.inputs, strict=True) if x is each]
            return matmul(*inputs, **(flags | {name: not flags[name] for name in turned}))
        number = known_number(each)
        if number is not None and math.isfinite(number) and node.size:
            other = node.inputs[side == "a"]
            inner = -2 if (side == "a") != flags[f"transpose_{'b' if side == 'a' else 'a'}"] else -1
            return _repeated(node, other, other.ndim + inner, is_row=side == "a") * number
    return None


def _swaps_last(node: Node) -> bool:
    """Whether the node is another one with its last two axes swapped, and nothing else."""
    if node.op.kind != "move" or "order" not in node.attributes or node.ndim < 2:
        return False
    return node.attributes["order"] == (*range(node.ndim - 2), node.ndim - 1, node.ndim - 2)


def _repeated(node: Node, other: Node, inner: int, is_row: bool) -> Node:
    """The sums of one operand over the inner axis, as every row (or column) of the product."""
    total = op("sum")(other, axes=(inner,))
    lines = (*node.shape[:-2], 1, node.shape[-1]) if is_row else (*node.shape[:-1], 1)
    return op("broadcast")(op("reshape")(total, shape=lines), shape=node.shape)


def _flags(transpose_a: bool, transpose_b: bool) -> dict[str, bool]:
    return {"transpose_a": transpose_a, "transpose_b": transpose_b}


matmul = register(
    Primitive(
        "matmul",
        "contract",
        _matmul_shape,
        same_dtype("matmul", NUMERIC),
        _matmul,
        _matmul_rule,
        identities={"multilinear": True, "simpler": _simpler_matmul},
        probes=(
            Probe(((3, 4), (4, 2)), attributes=_flags(False, False)),
            Probe(((4, 3), (4, 2)), attributes=_flags(True, False)),
            Probe(((3, 4), (2, 4)), attributes=_flags(False, True)),
            Probe(((4, 3), (2, 4)), attributes=_flags(True, True)),
            Probe(((2, 3, 4), (2, 4, 5)), attributes=_flags(False, False)),
            Probe(((2, 1, 3, 1), (2, 1, 3, 7)), attributes=_flags(True, False)),
            Probe(((3, 0), (0, 2)), attributes=_flags(False, False)),
            Probe(((0, 3, 4), (0, 5, 4)), attributes=_flags(False, True)),
            Probe(((1, 1), (1, 1)), attributes=_flags(True, True)),
        ),
    )
)
