"""What a loop need not add up step by step: sums over its steps that are one product, or one sum, after the loop.

In: what is to be summed, as a node of one step. Out: its terms; for each the values of a step that it is made of, which
the loop would have to stack, and the sum over all steps as an expression of the stacks: of products of matrices one
product, in which the steps join the inner axis; what is linear is done once, to the sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from thalweg.graph import Node, rebuild
from thalweg.ops.contract import matmul
from thalweg.ops.elementwise import add
from thalweg.ops.move import pad, permute, reshape
from thalweg.ops.reduce import sum_


@dataclass(frozen=True)
class Term:
    """One term of a sum over steps: a core, and the linear operations above it, the outermost first."""

    core: Node
    path: tuple[Node, ...]

    @property
    def is_product(self) -> bool:
        return self.core.op is matmul

    @property
    def operands(self) -> tuple[Node, ...]:
        """The values of a step that must be stacked to compute the sum after the loop."""
        return self.core.inputs if self.is_product else (self.core,)

    def in_step(self) -> Node:
        """The term in one step."""
        return self._applied(self.core)

    def over_steps(self, stacks: Mapping[Node, Node]) -> Node:
        """Its sum over all steps, given each operand of all steps on a leading axis."""
        if self.is_product:
            return self._applied(_contracted(self.core, *(stacks[each] for each in self.core.inputs)))
        return self._applied(_summed(stacks[self.core]))

    def _applied(self, node: Node) -> Node:
        for each in reversed(self.path):
            node = rebuild(each, (node,))
        return node


def terms_of(node: Node) -> list[Term]:
    """The terms whose sum the node is, as far apart as linear operations can be taken.

    >>> from thalweg.dtype import float32
    >>> from thalweg.graph import make_input
    >>> a, b = make_input((2, 3), float32), make_input((3, 2), float32)
    >>> product = matmul(a, b, transpose_a=False, transpose_b=False)
    >>> whole = add(product, reshape(product, shape=(2, 2)))
    >>> [(term.core.op.name, [each.op.name for each in term.path]) for term in terms_of(whole)]
    [('matmul', []), ('matmul', ['reshape'])]
    """
    found: list[Term] = []
    waiting: list[tuple[Node, tuple[Node, ...]]] = [(node, ())]
    while waiting:
        core, path = waiting.pop()
        if core.op is add:
            waiting += [(each, path) for each in reversed(core.inputs)]
        elif _commutes_with_sums(core):
            waiting.append((core.inputs[0], (*path, core)))
        else:
            found.append(Term(core, path))
    return found


def _commutes_with_sums(node: Node) -> bool:
    if len(node.inputs) != 1 or node.op.kind == "leaf":
        return False
    return bool(node.op.identities.get("linear")) or (node.op is pad and node.attributes["value"] == 0)


def varying(order: Iterable[Node], per_step: Iterable[Node]) -> set[Node]:
    """The nodes of a body that may differ from step to step: those that rest on what does."""
    found = set(per_step)
    for node in order:
        if not found.isdisjoint(node.inputs):
            found.add(node)
    return found


def _contracted(product: Node, a: Node, b: Node) -> Node:
    """Sum over t of A_t B_t: [A_1 A_2 ...] times B_1, B_2, ... below each other."""
    flags = product.attributes
    left = _joined(a, -2 if flags["transpose_a"] else -1)
    right = _joined(b, -1 if flags["transpose_b"] else -2)
    return matmul(left, right, **flags)


def _joined(stack: Node, inner: int) -> Node:
    """(T, ..., K, ...) with the leading axis moved into the inner one: (..., T * K, ...)."""
    axis = stack.ndim + inner
    order = (*range(1, axis), 0, *range(axis, stack.ndim))
    shape = (*stack.shape[1:axis], stack.shape[0] * stack.shape[axis], *stack.shape[axis + 1 :])
    return reshape(permute(stack, order=order) if axis > 1 else stack, shape=shape)


def _summed(stack: Node) -> Node:
    return reshape(sum_(stack, axes=(0,)), shape=stack.shape[1:])
