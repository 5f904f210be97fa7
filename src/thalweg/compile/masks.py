"""The pass for masks: a question about an input is asked of the output that is kept anyway, so neither is stored.

In: choices such as `y = where(x <= 0, 0, x)` whose condition others ask too (the chain rule does) and whose result lies
in memory because a product reads it. Out: the others ask `y <= 0`. That is the same question: where x <= 0 held, y is
the number for which it holds; elsewhere y is x, for which it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from thalweg.compile.rewriting import users_of, with_inputs
from thalweg.dtype import bool_
from thalweg.graph import Node, evaluate_node, toposort
from thalweg.ops.rules import known_number


def pass_masks(outputs: Sequence[Node]) -> list[Node]:
    """Conditions on what is not kept become conditions on what is."""
    order = toposort(outputs)
    users = users_of(order)
    asked: dict[Node, dict[Node, Node]] = {}  # user -> condition -> the same question about the result
    for node in order:
        if node.op.identities.get("chooses") and is_kept(node, users, outputs):
            condition = node.inputs[0]
            others = [each for each in users[condition] if each is not node]
            if others and _asks_of_itself(node):
                again = with_inputs(condition, tuple(node if x is _asked(condition) else x for x in condition.inputs))
                for each in others:
                    asked.setdefault(each, {})[condition] = again
    return _rewired(outputs, asked) if asked else list(outputs)


def is_kept(node: Node, users: Mapping[Node, Sequence[Node]], outputs: Sequence[Node]) -> bool:
    """Whether the node lies in memory whatever the other kernels do: a product reads it, or it is a result."""
    if node in outputs:
        return True
    read_by = users.get(node, ())
    return any(each.op.kind == "contract" or (_is_copied(each) and is_kept(each, users, ())) for each in read_by)


def _is_copied(node: Node) -> bool:
    """Whether the node holds the same entries as its input, for who reads it: those of a convolution are padded."""
    return node.op.kind == "move" and len(node.inputs) == 1 and not node.op.identities.get("repeats")


def _asks_of_itself(choice: Node) -> bool:
    """Whether `where(c(x), k, x)` has c(k), or `where(c(x), x, k)` has not; x being computed, and not kept itself."""
    condition, yes, no = choice.inputs
    x = _asked(condition)
    if x is None or x.op.kind == "leaf" or condition.dtype is not bool_ or x not in (yes, no):
        return False
    number = known_number(no if x is yes else yes)
    return number is not None and _holds(condition, x, number) is (x is no)


def _asked(condition: Node) -> Node | None:
    """The one operand of a question that is not a number."""
    unknown = [each for each in condition.inputs if known_number(each) is None]
    return unknown[0] if condition.op.kind == "elementwise" and len(unknown) == 1 else None


def _holds(condition: Node, x: Node, number: float) -> bool:
    """The answer for that number."""
    values = [number if each is x else known_number(each) for each in condition.inputs]
    arrays = [np.array(v).astype(each.dtype.numpy) for v, each in zip(values, condition.inputs, strict=True)]
    return bool(evaluate_node(condition, arrays))


def _rewired(outputs: Sequence[Node], asked: Mapping[Node, Mapping[Node, Node]]) -> list[Node]:
    """The program in which some nodes read other inputs; a result comes before those who ask it."""

    def inputs_of(node: Node) -> tuple[Node, ...]:
        instead = asked.get(node, {})
        return tuple(instead.get(each, each) for each in node.inputs)

    new: dict[Node, Node] = {}
    for node in _sorted(outputs, inputs_of):
        new[node] = with_inputs(node, tuple(new[each] for each in inputs_of(node)))
    return [new[node] for node in outputs]


def _sorted(outputs: Sequence[Node], inputs_of: Callable[[Node], tuple[Node, ...]]) -> list[Node]:
    order: dict[Node, None] = {}
    stack = list(reversed(outputs))
    while stack:
        missing = [each for each in inputs_of(stack[-1]) if each not in order]
        if missing:
            stack.extend(missing)
        else:
            order.setdefault(stack.pop())
    return list(order)
