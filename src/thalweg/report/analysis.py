"""Backpropagation through one graph, taken apart: what every operation computes, receives and passes on.

In: the node of a loss, and names for some of its nodes. Out: `Operation`s in forward order, each with its value, the
cotangent that the reverse sweep brings to it, and for each operand the chain rule, the local derivative and the share.
Nothing is differentiated here: the cotangents are `thalweg.gradient.gradients`, the rules those of the records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thalweg.compile.reference import evaluate
from thalweg.errors import ArgumentError, explain
from thalweg.gradient import gradients, local_cotangents, reached_from, stops_gradient
from thalweg.graph import Node, full, make_input, toposort
from thalweg.report.notation import constant_number, formula, shorten, unique
from thalweg.tensor.core import Tensor

MOST_IN_FULL, MOST = 1 << 22, 1 << 27
"""Entries of all results of a forward pass: of more, local derivatives are left out; still more are refused."""
_LONGEST_FORMULA_NAME = 34
_LONGEST_RULE = 56


@dataclass(frozen=True)
class Share:
    """What an operation passes on to one of its operands.

    `derivative` is d(result)/d(operand), entry by entry: the chain rule applied to a cotangent of 1. It is None where
    the operation mixes entries (a product of matrices, a sum), whose derivative is a larger array that nobody forms;
    and in a step of more than `MOST_IN_FULL` entries.
    """

    operand: str
    rule: str
    derivative: np.ndarray | None
    product: np.ndarray


@dataclass(frozen=True)
class Operation:
    """One operation of the forward pass, with what the backward pass does at it.

    `operands` are the names of what it reads, constants left out. `gradient` is dLoss/d(result), None where no
    cotangent arrives; `shares` is empty there and at leaves.
    """

    name: str
    kind: str
    layer: str
    formula: str
    operands: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    value: np.ndarray | None
    gradient: np.ndarray | None
    shares: tuple[Share, ...]
    is_leaf: bool
    tensor: Tensor | None = field(default=None, repr=False)
    """The leaf that collects the gradient, where this is one."""

    @property
    def requires_grad(self) -> bool:
        return self.tensor is not None


def analyse(loss: Node, names: Mapping[Node, str]) -> list[Operation]:
    """Every operation that the loss needs, inputs first; constants are part of the formulas."""
    everything = toposort([loss], is_leaf=collects_gradient)
    on_path = reached_from([node for node in everything if collects_gradient(node)], everything)
    depending = _depending(everything)
    order = toposort([loss], is_leaf=lambda node: collects_gradient(node) or _is_given(node, depending, names))
    order.sort(key=lambda node: node.serial)  # as the forward pass was written, which is also inputs before users
    named = name_all(order, names)
    entries = sum(node.size for node in order if not node.op.multiple)
    _refuse_too_large(entries)
    targets = [node for node in order if node in on_path and not node.op.multiple]
    cotangents = dict(zip(targets, gradients([loss], [_one(loss)], targets), strict=True))
    plans = {node: _plan(node, cotangents.get(node), on_path, named, entries <= MOST_IN_FULL) for node in order}
    wanted = [node for node in order if not node.op.multiple]
    wanted += [each for each in cotangents.values() if each is not None]
    wanted += [each for plan in plans.values() for _, _, parts in plan for each in parts if each is not None]
    values = dict(zip(wanted, evaluate(wanted, {}), strict=True))
    return [
        _operation(node, named, values, cotangents.get(node), plans[node], _is_given(node, depending, names))
        for node in order
        if constant_number(node) is None
    ]


def _refuse_too_large(entries: int) -> None:
    """Every value and gradient is kept, which takes about five times the memory of the forward pass."""
    if entries > MOST:
        raise ArgumentError(
            explain("this step is too large to be explained", received=f"{entries:,} numbers in the forward pass",
                    expected=f"at most {MOST:,}", remedy="explain the loss of fewer, or smaller, examples")
        )  # fmt: skip


def collects_gradient(node: Node) -> bool:
    """Whether the node is the value of a leaf tensor that collects a gradient: the sweep ends there."""
    tensor = holder_of(node)
    return tensor is not None and tensor._leaf and tensor._requires_grad and (not node.inputs or stops_gradient(node))


def holder_of(node: Node) -> Any:
    """The tensor that shows the node, if it is still there."""
    return node.holder() if node.holder is not None else None


def _depending(order: Sequence[Node]) -> set[Node]:
    """The nodes whose value depends on a leaf that collects a gradient, differentiably or not."""
    found: set[Node] = set()
    for node in order:
        if collects_gradient(node) or any(each in found for each in node.inputs):
            found.add(node)
    return found


def _is_given(node: Node, depending: set[Node], names: Mapping[Node, str]) -> bool:
    """Data, as far as this loss is concerned: how they were made is another story, unless a layer made them."""
    if node in depending or constant_number(node) is not None:
        return False
    is_shown = node.value is not None or node in names or holder_of(node) is not None
    return is_shown or not node.origin


def _one(node: Node) -> Node:
    return full(node.shape, 1.0, node.dtype)


# For each operand that a share goes to: its name, the rule as text, and the nodes (local derivative or None, product).
_Plan = list[tuple[str, str, tuple[Node | None, Node]]]


def _plan(
    node: Node, cotangent: Node | None, on_path: set[Node], names: Mapping[Node, str], has_derivatives: bool
) -> _Plan:
    if cotangent is None or not node.inputs or node.op.multiple:
        return []
    wanted = [each in on_path for each in node.inputs]
    if node.op.identities.get("projection"):
        return [(names[node.inputs[0]], "g", (None, cotangent))] if wanted[0] else []
    products = _summed(node, cotangent, wanted)
    is_entry_by_entry = node.op.kind == "elementwise"
    derivatives = _summed(node, _one(node), wanted) if is_entry_by_entry and has_derivatives else {}
    arriving = make_input(node.shape, node.dtype)
    rules = _summed(node, arriving, wanted)
    known = {**names, arriving: "g"}
    return [
        (names[each], shorten(formula(rules[each], known, is_root=False), _LONGEST_RULE), (derivatives.get(each), part))
        for each, part in products.items()
    ]


def _summed(node: Node, cotangent: Node, wanted: Sequence[bool]) -> dict[Node, Node]:
    """The chain rule of a node for each distinct operand: one that is used twice gets the sum of its two shares."""
    found: dict[Node, Node] = {}
    for operand, share, is_wanted in zip(node.inputs, local_cotangents(node, cotangent, wanted), wanted, strict=True):
        if is_wanted and isinstance(share, Node):
            found[operand] = found[operand] + share if operand in found else share
    return found


def _operation(
    node: Node,
    names: Mapping[Node, str],
    values: Mapping[Node, Any],
    cotangent: Node | None,
    plan: _Plan,
    is_given: bool,
) -> Operation:
    shares = tuple(
        Share(operand, rule, None if derivative is None else values[derivative], values[product])
        for operand, rule, (derivative, product) in plan
    )
    is_leaf = is_given or not node.inputs or collects_gradient(node)
    read = [] if is_leaf else [names[each] for each in node.inputs if constant_number(each) is None]
    return Operation(
        name=names[node],
        kind=node.op.name,
        layer=node.origin,
        formula=formula(node, names),
        operands=tuple(dict.fromkeys(read)),
        shape=node.shape,
        dtype="several results" if node.op.multiple else node.dtype.name,
        value=values.get(node),
        gradient=None if cotangent is None else values[cotangent],
        shares=shares,
        is_leaf=is_leaf,
        tensor=holder_of(node) if collects_gradient(node) else None,
    )


# --- names -----------------------------------------------------------------------------------------------------------


def name_all(order: Sequence[Node], names: Mapping[Node, str]) -> dict[Node, str]:
    """A name for every node: the given one, a short formula, or the operation with a number."""
    named = dict(names)
    taken = set(named.values())
    counts: dict[str, int] = {}
    for node in order:
        if node in named:
            continue
        number, text = constant_number(node), _short_formula(node, named)
        if number is None and (text is None or text in taken):
            text = _numbered("input" if not node.inputs else node.op.name, counts, taken)
        named[node] = name = number or text or node.op.name
        taken.add(name)
    return named


def _numbered(stem: str, counts: dict[str, int], taken: set[str]) -> str:
    counts[stem] = counts.get(stem, 0) + 1
    return unique(f"{stem}_{counts[stem]}", taken)


def _short_formula(node: Node, names: Mapping[Node, str]) -> str | None:
    """Numbers are best named by how they are computed, as long as that is short; arrays read better with a name."""
    if not node.inputs or node.shape or node.op.multiple or node.op.name in ("reshape", "where"):
        return None
    text = formula(node, names)
    return text if len(text) <= _LONGEST_FORMULA_NAME else None
