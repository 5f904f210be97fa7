"""Values with a chain rule that Python gives: what `tw.autograd.Function` and a few expressions are made of.

In: values, what they were made from, and the rule. Out: the same values, through which cotangents go by that rule and
no other. No composition can say it: the chain rules of a composition are those of its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from thalweg.errors import GradientError, explain
from thalweg.graph import Form, Node, Primitive, register
from thalweg.ops.elementwise import detach
from thalweg.ops.loop import output

Rule = Callable[[Node, list[Node | None]], Sequence[Node | None]]


class CustomNode(Node):
    """An application of `custom`. The rule is the node's, not its form's: it may hold what the forward pass saved."""

    __slots__ = ("rule",)

    def __init__(self, form: Form, inputs: tuple[Node, ...], rule: Rule) -> None:
        super().__init__(form, inputs)
        self.rule = rule


def _custom_rule(g: Any, y: Node, *inputs: Node, values: int, key: Hashable) -> tuple[Node | None, ...]:
    if not isinstance(y, CustomNode):
        raise GradientError(
            explain("a chain rule of its own does not survive a rewritten program", received="a copy of the operation",
                    expected="the operation as it was made", remedy="differentiate where the function was applied")
        )  # fmt: skip
    return (*[None] * values, *y.rule(y, g))


def _first(parts: tuple[Any, ...], values: int) -> tuple[Any, ...]:
    return parts[:values]


# custom(*values, *inputs, values=, key=): the values; nothing is computed, and the compiler drops it.
custom = register(
    Primitive(
        "custom",
        "loop",
        lambda *shapes, values, key: _first(shapes, values),
        lambda *dtypes, values, key: _first(dtypes, values),
        lambda *arrays, values, key: _first(arrays, values),
        _custom_rule,
        multiple=True,
        identities={"passes_on": True},
    )
)


def with_rule(values: Sequence[Node], inputs: Sequence[Node], rule: Rule, key: Hashable = 0) -> list[Node]:
    """The values, for which ``rule(node, cotangents)`` says how cotangents reach the inputs.

    In come one a value, None for zero; out goes one an input. In the body of a loop, and where a backward pass may be
    done again without asking the rule, `key` must tell it from all other rules.
    """
    given = (*[detach(each) for each in values], *inputs)
    shapes = tuple([each.shape for each in values])
    dtypes = tuple([each.dtype for each in values])
    place = (len(values), key, *[each.form.type for each in given])
    form = custom.forms.get(place) or custom.form(place, {"values": len(values), "key": key}, shapes, dtypes)
    node = CustomNode(form, given, rule)
    return [output(node, index=index) for index in range(len(values))]
