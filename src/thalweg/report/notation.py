"""Nodes as formulas: what an operation computes, and what its chain rule says, as a line of text.

In: a node, and the names of the nodes that end the formula. Out: text such as ``g * out_h1 * (1 - out_h1)``.
Plain ASCII, so that every terminal and every file can show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thalweg.graph import Node
from thalweg.ops.rules import known_number

# How tightly an operator binds. Any primitive that is not written with an operator reads as a function: name(operands).
_COMPARISON, _SUM, _PRODUCT, _SIGN, _ATOM = range(5)
_OPERATORS = {
    "equal": ("==", _COMPARISON),
    "not_equal": ("!=", _COMPARISON),
    "less": ("<", _COMPARISON),
    "less_equal": ("<=", _COMPARISON),
    "add": ("+", _SUM),
    "subtract": ("-", _SUM),
    "multiply": ("*", _PRODUCT),
    "chain_product": ("*", _PRODUCT),
    "divide": ("/", _PRODUCT),
    "matmul": ("@", _PRODUCT),
}
_ASSOCIATIVE = ("+", "*")
# Attributes that change what a formula means; shapes and dtypes stand elsewhere, and would drown it.
_SHOWN_ATTRIBUTES = ("axis", "axes", "order", "index")


def formula(node: Node, names: Mapping[Node, str], is_root: bool = True) -> str:
    """The node in terms of the nodes that have names; the root is spelled out also if it has one.

    >>> from thalweg.dtype import float64
    >>> from thalweg.graph import make_input
    >>> a, b = make_input((), float64), make_input((), float64)
    >>> formula(a * (1.0 - b) + b, {a: "a", b: "b"})
    'a * (1 - b) + b'
    """
    return _written(node, names, is_root)[0]


def _written(node: Node, names: Mapping[Node, str], is_root: bool = False) -> tuple[str, int]:
    if node in names and not is_root:
        return names[node], _strength_of_name(node, names[node])
    number = constant_number(node)
    if number is not None:
        return number, _SIGN if number.startswith("-") else _ATOM
    if node.op.name in _OPERATORS:
        return _infix(node, names)
    if node.op.name == "negative":
        return "-" + _within(node.inputs[0], names, _SIGN), _SIGN
    return _call(node, names), _ATOM


def _strength_of_name(node: Node, name: str) -> int:
    """A node may be named by its own formula, which then binds as the formula does."""
    if name.startswith("-"):
        return _SIGN
    is_formula = " " in name and node.op.name in _OPERATORS
    return _OPERATORS[node.op.name][1] if is_formula else _ATOM


def _infix(node: Node, names: Mapping[Node, str]) -> tuple[str, int]:
    symbol, strength = _OPERATORS[node.op.name]
    left, right = node.inputs
    flags = node.attributes
    first = _within(left, names, _ATOM if flags.get("transpose_a") else strength)
    is_chain = symbol in _ASSOCIATIVE and _OPERATORS.get(right.op.name, ("",))[0] == symbol  # a * (b * c) = a * b * c
    tighter = strength if is_chain else strength + 1
    second = _within(right, names, _ATOM if flags.get("transpose_b") else tighter)
    first += ".T" if flags.get("transpose_a") else ""
    second += ".T" if flags.get("transpose_b") else ""
    return f"{first} {symbol} {second}", strength


def _within(node: Node, names: Mapping[Node, str], strength: int) -> str:
    """In parentheses where the operator around it binds more tightly."""
    text, own = _written(node, names)
    return f"({text})" if own < strength else text


def _call(node: Node, names: Mapping[Node, str]) -> str:
    if not node.inputs:
        return names.get(node, node.op.name)
    arguments = [_written(each, names)[0] for each in node.inputs]
    arguments += [f"{key}={node.attributes[key]}" for key in _SHOWN_ATTRIBUTES if key in node.attributes]
    return f"{node.op.name}({', '.join(arguments)})"


def constant_number(node: Node) -> str | None:
    """The number that a node holds in every place because it is a constant, moved about."""
    number = known_number(node)
    return None if number is None else f"{number:.10g}"


def shorten(text: str, width: int) -> str:
    """The text, its middle left out where it is longer than `width`.

    >>> shorten("where(x <= 0, 0, g)", 12)
    'wher...0, g)'
    """
    if len(text) <= width:
        return text
    head = (width - 3) // 2
    return f"{text[:head]}...{text[len(text) - (width - 3 - head) :]}"


def unique(name: str, taken: Mapping[Any, str] | set[str]) -> str:
    """`name`, or `name_2`, `name_3`, ... where it is taken."""
    used = taken if isinstance(taken, set) else set(taken.values())
    if name not in used:
        return name
    count = 2
    while f"{name}_{count}" in used:
        count += 1
    return f"{name}_{count}"
