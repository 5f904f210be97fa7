"""The pass that does less for the same result: known numbers, neutral operands, inverses, movements of movements.

In: the outputs of a program. Out: the outputs of an equal program. What may be done stands in the records
(`identities`): the pass knows what the words mean, and no operation by name. It keeps every bit where the records'
own rules do; sums are never put in another order.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from thalweg.compile.rewriting import Sharing, rewrite, with_inputs
from thalweg.dtype import DType
from thalweg.errors import ThalwegError
from thalweg.graph import Node, Primitive, Shape, evaluate_node, full, size_of
from thalweg.ops.rules import known_number

# More rewrites of one place than any chain of rules needs; two rules that undo each other would go on for ever.
_MOST_ROUNDS = 64


def pass_simplify(outputs: Sequence[Node]) -> list[Node]:
    """Every node made as simple as its record knows how, equal ones made one on the way."""
    return rewrite(outputs, Simplifier().settled)


class Simplifier:
    """One run of the pass."""

    def __init__(self) -> None:
        self.share = Sharing()
        self.done: dict[Node, Node] = {}

    def settled(self, node: Node) -> Node:
        """The node after as many rules as apply, its new inputs included."""
        found = self.done.get(node)
        if found is None:
            path: list[Node] = []
            following: Node | None = node
            while following is not None and following not in self.done and len(path) < _MOST_ROUNDS:
                current = self._with_settled_inputs(following)
                path += [following, current]
                following = self._simpler(current)
            found = self.share(current) if following is None else self.done.get(following, current)
            self.done.update(dict.fromkeys([*path, found], found))
        return found

    def _with_settled_inputs(self, node: Node) -> Node:
        return with_inputs(node, tuple(self.settled(each) for each in node.inputs)) if node.inputs else node

    def _simpler(self, node: Node) -> Node | None:
        if node.op.kind == "leaf" or node.op.multiple:
            return None
        return folded(node) or _neutral(node) or _undone(node) or _by_its_record(node)


# --- rules that hold for every record of a kind ----------------------------------------------------------------------


def folded(node: Node) -> Node | None:
    """What is computed from numbers is a number; one in a form of its own, so that equal ones are found."""
    if node.op.kind == "move":
        number = known_number(node)
        if number is None:
            return None
        plain = everywhere(number, node.shape, node.dtype)
        return None if _depth(node) <= _depth(plain) and node.op is plain.op else plain
    numbers = [known_number(each) for each in node.inputs]
    if node.op.kind != "elementwise" or any(each is None for each in numbers):
        return None
    arrays = [_array(number, each.dtype) for number, each in zip(numbers, node.inputs, strict=True)]
    try:
        return everywhere(evaluate_node(node, arrays).item(), node.shape, node.dtype)
    except ThalwegError:
        return None  # the program raises it when it runs


def everywhere(number: Any, shape: Shape, dtype: DType) -> Node:
    """The number in every place, with no more movements than that takes."""
    node = full(shape, number, dtype)
    return node.inputs[0] if shape and size_of(shape) == 1 else node


def _depth(node: Node) -> int:
    depth = 0
    while node.inputs:
        node, depth = node.inputs[0], depth + 1
    return depth


def _array(number: Any, dtype: DType) -> np.ndarray:
    return np.array(number).astype(dtype.numpy)


def _neutral(node: Node) -> Node | None:
    """x with the operand that changes nothing is x; with one that decides alone, that operand."""
    known = node.op.identities
    if len(node.inputs) != 2 or node.op.kind != "elementwise":
        return None
    neutral = known.get("right_identity", known.get("identity_element"))
    absorbing, is_commutative = known.get("absorbing_element"), known.get("commutative")
    a, b = node.inputs
    left, right = known_number(a), known_number(b)
    if right is not None and right == neutral and _leaves_alone(node.op, a.dtype, repr(right), 1):
        return a
    if left is not None and is_commutative and left == neutral and _leaves_alone(node.op, a.dtype, repr(left), 0):
        return b
    if left is not None and left == absorbing and _leaves_alone(node.op, a.dtype, repr(left), 0, decides=True):
        return a
    is_absorbed = right is not None and is_commutative and right == absorbing
    return b if is_absorbed and _leaves_alone(node.op, b.dtype, repr(right), 1, decides=True) else None


_SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -3.25, 1e-45, 3e38, float("inf"), float("-inf"), float("nan"))
_WHOLE = (0, 1, 2, 7, 100, 255)
_NAMED = {"True": True, "False": False}


@functools.cache
def _leaves_alone(record: Primitive, dtype: DType, number: str, side: int, decides: bool = False) -> bool:
    """Whether the record's own meaning agrees, bit for bit, at the values where such laws fail.

    x + 0.0 is not x where x is -0.0, and 0 x is not 0 where x is infinite: so floats add only -0.0 for nothing.
    """
    x = np.array(_SPECIAL if dtype.is_floating_point else _WHOLE).astype(dtype.numpy)
    e = np.full_like(x, _NAMED[number] if number in _NAMED else float(number))
    found = record.numpy(*((x, e) if side else (e, x)))
    expected = e if decides else x
    with np.errstate(all="ignore"):
        same = np.array_equal(found, expected, equal_nan=dtype.is_floating_point)
        is_number = ~np.isnan(expected)
        return same and bool((np.signbit(found) == np.signbit(expected))[is_number].all())


def _undone(node: Node) -> Node | None:
    """f(f(x)) is x for an involution and f(x) for an idempotent; an idempotent f(x, x) is x; `detach` is over."""
    known = node.op.identities
    if known.get("stops_gradient"):
        return node.inputs[0]
    if known.get("idempotent") and len(node.inputs) == 2:
        return node.inputs[0] if node.inputs[0] is node.inputs[1] else None
    if len(node.inputs) != 1:
        return None
    (x,) = node.inputs
    if known.get("involution") and node.op.kind == "elementwise" and _is_moved(x) and x.inputs[0].op is node.op:
        return with_inputs(x, x.inputs[0].inputs)
    if x.op is not node.op or dict(x.attributes) != dict(node.attributes):
        return None
    if known.get("involution"):
        return x.inputs[0]
    return x if known.get("idempotent") else None


def _is_moved(node: Node) -> bool:
    """Whether the node is another one's entries, moved."""
    return node.op.kind == "move" and len(node.inputs) == 1 and bool(node.op.identities.get("linear"))


def _by_its_record(node: Node) -> Node | None:
    rule = node.op.identities.get("simpler")
    return rule(node) if rule else None
