"""Products that contract axes: matmul with PyTorch's rules for vectors and batches, linear, outer, einsum.

In: nodes of any rank. Out: nodes of the one batched `matmul` record (or sums of products where no axis is shared);
operands are brought to it by movements that the compiler folds into its loads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from thalweg import ops
from thalweg.errors import ArgumentError, ShapeError, explain
from thalweg.graph import Node, size_of
from thalweg.tensor.arithmetic import add, broadcast_shapes, expand_to, meet_dtype, multiply, need_tensor
from thalweg.tensor.shaping import permute, reshape, squeeze, unsqueeze


def _product(a: Node, b: Node) -> Node:
    """The record, with a transposition of the last two axes read as its flag rather than moved."""
    a, transpose_a = _untransposed(a)
    b, transpose_b = _untransposed(b)
    return ops.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)


def _untransposed(x: Node) -> tuple[Node, bool]:
    swap = (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
    if x.op is ops.permute and x.attributes["order"] == swap:
        return x.inputs[0], True
    return x, False


def matmul(a: Node, b: Node) -> Node:
    """PyTorch's `@`: vectors are a row or a column, leading axes broadcast.

    A batch times one matrix is folded into a single product of (batch x rows, inner) by (inner, columns).
    """
    need_tensor("matmul", a, b)
    if not a.ndim or not b.ndim:
        raise ShapeError(
            explain(
                "matmul needs at least one axis on each side",
                received=f"{a.shape} @ {b.shape}",
                expected="vectors, matrices or batches of them",
                remedy="use * to scale",
            )
        )
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ShapeError(
            explain(
                "matmul: the inner extents differ",
                received=f"{a.shape} @ {b.shape}",
                expected="the last axis of the left as long as the second-to-last of the right",
                remedy="transpose one of them, for example with .T",
            )
        )
    a, b = meet_dtype("matmul", a, b)
    if a.ndim == 1:
        product = matmul(unsqueeze(a, 0), b)
        return squeeze(product, -1 if b.ndim == 1 else -2)
    if b.ndim == 1:
        return squeeze(matmul(a, unsqueeze(b, 1)), -1)
    if b.ndim == 2 and a.ndim > 2:
        folded = _product(reshape(a, (size_of(a.shape[:-1]), a.shape[-1])), b)
        return reshape(folded, (*a.shape[:-1], b.shape[1]))
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2], name="matmul (batch axes)")
    return _product(expand_to(a, batch + a.shape[-2:]), expand_to(b, batch + b.shape[-2:]))


def linear(x: Node, weight: Node, bias: Node | None = None) -> Node:
    """x W^T + b for x (*, in_features), W (out_features, in_features), b (out_features,)."""
    if not x.ndim or x.shape[-1] != weight.shape[-1]:
        raise ShapeError(
            explain(
                "linear: the input does not fit the weight",
                received=f"input of shape {x.shape}",
                expected=f"(..., {weight.shape[-1]}): in_features is {weight.shape[-1]}",
                remedy="set in_features to the input's last extent, or flatten the input first",
            )
        )
    product = matmul(x, permute(weight, 1, 0) if weight.ndim == 2 else weight)
    return product if bias is None else add(product, bias)


def _of_ranks(name: str, rank_a: int, rank_b: int, about: str) -> Callable[[Node, Node], Node]:
    def product(a: Node, b: Node) -> Node:
        need_tensor(name, a, b)
        if (a.ndim, b.ndim) != (rank_a, rank_b):
            raise ShapeError(
                explain(f"{name} takes tensors of {rank_a} and {rank_b} axes", received=f"{a.shape} and {b.shape}",
                        remedy="use @, which takes vectors, matrices and batches of them")
            )  # fmt: skip
        return matmul(a, b)

    product.__name__, product.__doc__ = name, about
    return product


mm = _of_ranks("mm", 2, 2, "The product of two matrices, (N, K) and (K, M).")
mv = _of_ranks("mv", 2, 1, "The product of a matrix (N, K) and a vector (K).")
bmm = _of_ranks("bmm", 3, 3, "The products of two batches of matrices, (B, N, K) and (B, K, M).")


def outer(a: Node, b: Node) -> Node:
    """The matrix of all a_i b_j."""
    if a.ndim != 1 or b.ndim != 1:
        raise ShapeError(explain("outer takes two vectors", received=f"{a.shape} and {b.shape}"))
    return multiply(unsqueeze(a, 1), unsqueeze(b, 0))


def dot(a: Node, b: Node) -> Node:
    """The sum of a_i b_i of two vectors of one length."""
    if a.ndim != 1 or b.ndim != 1:
        raise ShapeError(explain("dot takes two vectors", received=f"{a.shape} and {b.shape}", expected="1-d tensors"))
    return matmul(a, b)


def einsum(equation: str, *operands: Node | Sequence[Node]) -> Node:
    """Einstein's summation: ``einsum("bij,bjk->bik", a, b)``; two operands at a time, from the left.

    Letters that appear on one operand only and not in the result are summed first, shared ones that stay are batch
    axes, shared ones that go are contracted by one matrix product. `...` stands for leading axes.
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    need_tensor("einsum", *operands)
    nodes: list[Node] = list(operands)  # type: ignore[arg-type]
    inputs, result = _parse_einsum(equation, nodes)
    terms = [_diagonals(labels, node) for labels, node in zip(inputs, nodes, strict=True)]
    while len(terms) > 1:
        (labels_a, a), (labels_b, b), *rest = terms
        keep = set(result).union(*(labels for labels, _ in rest)) if rest else set(result)
        terms = [_contract(labels_a, a, labels_b, b, keep), *rest]
    labels, node = terms[0]
    labels, node = _sum_out(labels, node, set(result))
    return permute(node, [labels.index(each) for each in result]) if result else node


def _parse_einsum(equation: str, operands: Sequence[Node]) -> tuple[list[str], str]:
    left, arrow, result = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    for labels in (*inputs, result):
        letters = labels.replace("...", "", 1)
        if letters and not (letters.isascii() and letters.isalpha()):
            raise ArgumentError(
                explain("einsum: labels are letters", received=repr(equation),
                        expected="letters, at most one `...` an operand, commas and one ->")
            )  # fmt: skip
    if len(set(result)) != len(result.replace("...", ".")):
        raise ArgumentError(explain("einsum: an axis stands twice in the result", received=repr(result)))
    if len(inputs) != len(operands):
        raise ArgumentError(
            explain(
                "einsum: the equation names another number of operands",
                received=f"{len(operands)} operands",
                expected=f"{len(inputs)} in {equation!r}",
            )
        )
    spare = [chr(code) for code in range(ord("А"), ord("А") + 32)]  # letters nobody types stand for `...`
    depth = max(
        (
            node.ndim - len(labels.replace("...", ""))
            for labels, node in zip(inputs, operands, strict=True)
            if "..." in labels
        ),
        default=0,
    )
    expanded = []
    for labels, node in zip(inputs, operands, strict=True):
        count = node.ndim - len(labels.replace("...", ""))
        labels = labels.replace("...", "".join(spare[depth - count : depth])) if "..." in labels else labels
        if len(labels) != node.ndim:
            raise ShapeError(
                explain("einsum: labels and axes differ in number", received=f"{labels!r} for shape {node.shape}")
            )
        expanded.append(labels)
    every = "".join(expanded)
    if not arrow:
        result = "".join(spare[:depth]) + "".join(
            sorted(c for c in set(every) if every.count(c) == 1 and c not in spare)
        )
    result = result.replace("...", "".join(spare[:depth]))
    unknown = set(result) - set(every)
    if unknown:
        raise ArgumentError(explain("einsum: the result names unknown axes", received="".join(sorted(unknown))))
    return expanded, result


def _diagonals(labels: str, node: Node) -> tuple[str, Node]:
    """A label that stands twice on one operand picks the diagonal of those axes."""
    for label in set(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            if node.shape[first] != node.shape[second]:
                raise _two_extents(label, node.shape[first], node.shape[second])
            position = ops.iota(shape=(node.shape[first],), axis=0, dtype="int64")
            order = [first, second, *[i for i in range(node.ndim) if i not in (first, second)]]
            node = ops.gather(permute(node, order), position, position, role="index")
            labels = label + "".join(labels[i] for i in order[2:])
    return labels, node


def _sum_out(labels: str, node: Node, keep: set[str]) -> tuple[str, Node]:
    axes = tuple(i for i, label in enumerate(labels) if label not in keep)
    if not axes:
        return labels, node
    kept = ops.sum_(node, axes=axes)
    shape = tuple(extent for i, extent in enumerate(node.shape) if i not in axes)
    return "".join(label for label in labels if label in keep), reshape(kept, shape)


def _contract(labels_a: str, a: Node, labels_b: str, b: Node, keep: set[str]) -> tuple[str, Node]:
    labels_a, a = _sum_out(labels_a, a, keep | set(labels_b))
    labels_b, b = _sum_out(labels_b, b, keep | set(labels_a))
    sizes = _einsum_sizes(((labels_a, a), (labels_b, b)))
    shared = [label for label in labels_a if label in labels_b]
    batch = [label for label in shared if label in keep]
    inner = [label for label in shared if label not in keep]
    rows = [label for label in labels_a if label not in labels_b]
    columns = [label for label in labels_b if label not in labels_a]

    def group(labels: str, node: Node, *groups: list[str]) -> Node:
        flat = [label for each in groups for label in each]
        node = permute(node, [labels.index(label) for label in flat])
        node = expand_to(node, tuple(sizes[label] for label in flat))
        extents = tuple(size_of(tuple(sizes[label] for label in each)) for each in groups[1:])
        return reshape(node, (*[sizes[label] for label in groups[0]], *extents))

    left, right = meet_dtype(
        "einsum", group(labels_a, a, batch, rows, inner), group(labels_b, b, batch, inner, columns)
    )
    product = ops.matmul(left, right, transpose_a=False, transpose_b=False)
    labels = [*batch, *rows, *columns]
    return "".join(labels), reshape(product, tuple(sizes[label] for label in labels))


def _einsum_sizes(terms: Sequence[tuple[str, Node]]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for labels, node in terms:
        for label, extent in zip(labels, node.shape, strict=True):
            known = sizes.get(label, 1)
            if known != 1 and extent not in (1, known):
                raise _two_extents(label, known, extent)
            sizes[label] = extent if known == 1 else known
    return sizes


def _two_extents(label: str, first: int, second: int) -> ShapeError:
    return ShapeError(
        explain(
            f"einsum: the axis {label!r} has two extents", received=f"{first} and {second}", expected="equal extents"
        )
    )
