"""`Explanation`: the two passes of backpropagation through one graph, as data and as text.

In: a loss whose graph is still there, and names. Out: an object whose `str()` lists every operation with its value,
its local derivatives, the gradient that arrives and what it passes on; a graph too long to read is summed up by layer.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from thalweg.errors import ArgumentError, GradientError, explain
from thalweg.graph import Node
from thalweg.report.analysis import Operation, Share, analyse
from thalweg.report.columns import root_mean_square, shape_of, show, table
from thalweg.report.notation import shorten
from thalweg.tensor.core import Tensor

MOST_OPERATIONS = 120  # that are listed one by one
_FORMULA_WIDTH = 64
_OPERAND_WIDTH = 34


@dataclass(frozen=True)
class Factor:
    """One factor of a chain: d(result)/d(operand), with every operation between the two multiplied up."""

    result: str
    operand: str
    value: float


@dataclass(frozen=True)
class Layer:
    """What the operations of one layer come to: its last result, and the gradient that arrives there."""

    name: str
    operations: int
    shape: tuple[int, ...]
    value: np.ndarray | None
    gradient: np.ndarray | None


class Explanation:
    """Backpropagation from one loss, operation by operation; made by `tw.explain`.

    `operations` are in forward order; `operation(name)` is one of them; `gradients` maps the names of the leaves to
    dLoss/dleaf; `layers` sums up by module path. `str()` is the whole as text, `_repr_html_` the same for notebooks.
    """

    def __init__(self, loss: Tensor, names: Mapping[Node, str]) -> None:
        _refuse(loss)
        self.operations = analyse(loss.node, names)
        self.loss = float(np.asarray(self.operations[-1].value).reshape(-1)[0])

    # --- as data ----------------------------------------------------------------------------------------------------

    @cached_property
    def _by_name(self) -> dict[str, Operation]:
        return {each.name: each for each in self.operations}

    def operation(self, name: str) -> Operation:
        """The operation (or leaf) of that name."""
        if name not in self._by_name:
            some = ", ".join(list(self._by_name)[:12])
            raise ArgumentError(explain("no operation has this name", received=repr(name), expected=f"one of {some}"))
        return self._by_name[name]

    @property
    def gradients(self) -> dict[str, np.ndarray]:
        """dLoss/dleaf for every leaf that collects a gradient, by name; zero where none arrives."""
        return {
            each.name: each.gradient if each.gradient is not None else np.zeros(each.shape)
            for each in self.operations
            if each.requires_grad
        }

    def received(self, name: str) -> list[tuple[Operation, Share]]:
        """The shares that arrive at `name`, with the operations they come from: their sum is its gradient."""
        return self._received.get(name, [])

    @cached_property
    def _received(self) -> dict[str, list[tuple[Operation, Share]]]:
        found: dict[str, list[tuple[Operation, Share]]] = {}
        for operation in reversed(self.operations):
            for share in operation.shares:
                found.setdefault(share.operand, []).append((operation, share))
        return found

    def chain(self, name: str, stops: Iterable[str], milestones: Iterable[str]) -> list[Factor]:
        """The local derivatives from `name` up to the first of `stops`, multiplied up between `milestones`.

        The path must not fork before it stops: every operation on it is used once. Numbers only, no arrays.
        """
        ends, named = set(stops), set(milestones) | set(stops)
        factors: list[Factor] = []
        operand, product = name, 1.0
        while name not in ends:
            received = self.received(name)
            if len(received) != 1:
                break
            operation, share = received[0]
            assert share.derivative is not None
            product *= share.derivative.item()
            name = operation.name
            if name in named:
                factors.append(Factor(name, operand, product))
                operand, product = name, 1.0
        return factors

    @cached_property
    def layers(self) -> list[Layer]:
        """The operations grouped by the module they were made in, in forward order."""
        groups: dict[str, list[Operation]] = {}
        for each in self.operations:
            if not each.is_leaf:
                groups.setdefault(each.layer, []).append(each)
        place = {each.name: index for index, each in enumerate(self.operations)}
        in_order = sorted(groups.items(), key=lambda item: place[item[1][-1].name])
        return [_layer(name, members) for name, members in in_order]

    # --- as text ----------------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        parameters = [each for each in self.operations if each.requires_grad]
        count = sum(1 for each in self.operations if not each.is_leaf)
        value = show(self.operations[-1].value)
        lines = [f"loss {value}, operations {count}, leaves that collect a gradient {len(parameters)}", ""]
        if count <= MOST_OPERATIONS:
            lines += ["FORWARD", *self.forward_lines(), "", "BACKWARD", *self.backward_lines(), ""]
            if joined := self.joined_lines():
                lines += ["WHERE PATHS MEET, the shares are added", *joined, ""]
        lines += ["GRADIENTS", *self.gradient_lines()]
        if len(self.layers) > 1:
            lines += ["", "BY LAYER", *self.layer_lines()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<explanation of a loss of {self.loss:.6g}: {len(self.operations)} operations and leaves>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def forward_lines(self) -> list[str]:
        """Every operation: how it is computed, and its value."""
        rows: list[tuple[str, str, str]] = []
        layers: list[str] = []
        for each in self.operations:
            if not each.is_leaf:
                is_own_name = each.name == each.formula
                text = each.formula if is_own_name else f"{each.name} = {each.formula}"
                rows.append((shorten(text, _FORMULA_WIDTH), shape_of(each.shape), show(each.value)))
                layers.append(each.layer)
        return _grouped(table(("operation", "shape", "value"), rows, points=[2]), layers)

    def backward_lines(self) -> list[str]:
        """Every operation from the loss backwards: what arrives, and for each operand the rule and what it gets."""
        rows: list[tuple[str, ...]] = []
        layers: list[str] = []
        for each in reversed(self.operations):
            for index, share in enumerate(each.shares):
                own = (shorten(each.name, _OPERAND_WIDTH), show(each.gradient)) if not index else ("", "")
                operand = shorten(share.operand, _OPERAND_WIDTH)
                rows.append((*own, operand, share.rule, show(share.derivative), show(share.product)))
                layers.append(each.layer)
        header = ("result", "arrives: g", "operand", "rule", "local derivative", "passed on")
        return _grouped(table(header, rows, points=[1, 4, 5]), layers)

    def joined_lines(self) -> list[str]:
        """The places where several shares arrive, and their sums."""
        rows = []
        for each in reversed(self.operations):
            received = self.received(each.name)
            if len(received) > 1 and each.gradient is not None:
                for index, (operation, share) in enumerate(received):
                    name = shorten(each.name, _OPERAND_WIDTH) if not index else ""
                    rows.append((name, show(share.product), f"by {shorten(operation.name, _OPERAND_WIDTH)}"))
                rows.append(("", show(each.gradient), "together"))
        return table(("", "", ""), rows, points=[1]) if rows else []

    def gradient_lines(self) -> list[str]:
        """The leaves with their values and gradients."""
        rows = [
            (each.name, shape_of(each.shape), show(each.value), show(self.gradients[each.name]))
            for each in self.operations
            if each.requires_grad
        ]
        return table(("leaf", "shape", "value", "gradient"), rows, points=[2, 3])

    def layer_lines(self) -> list[str]:
        """One line a layer: its last result, and the size of the gradient that arrives there."""
        rows = [
            (
                each.name or "(no module)",
                str(each.operations),
                shape_of(each.shape),
                _size(each.value),
                _size(each.gradient),
            )
            for each in self.layers
        ]
        return table(("layer", "operations", "result", "rms of result", "rms of gradient"), rows, points=[3, 4])


def _grouped(lines: list[str], layers: Sequence[str]) -> list[str]:
    """A heading above the lines of each layer, where there are several layers."""
    if len(set(layers)) < 2:
        return lines
    result, before = [lines[0]], None
    for line, layer in zip(lines[1:], layers, strict=True):
        if layer != before:
            result.append(f"{layer or '(no module)'}:")
            before = layer
        result.append(line)
    return result


def _layer(name: str, members: list[Operation]) -> Layer:
    floating = [each for each in members if each.dtype.startswith("float")]
    last = floating[-1] if floating else members[-1]
    return Layer(name, len(members), last.shape, last.value, last.gradient)


def _size(array: np.ndarray | None) -> str:
    return "" if array is None else show(np.asarray(root_mean_square(array), np.float32))


def _refuse(loss: Tensor) -> None:
    """A loss is one number that depends on a leaf with a gradient, by a graph that is still there."""
    if loss.numel() != 1:
        raise GradientError(
            explain("only a single number can be explained as a loss", received=loss._summary(), expected="one entry",
                    remedy="reduce it with .mean() or .sum() first")
        )  # fmt: skip
    if not loss.requires_grad or not loss.node.inputs:
        raise GradientError(
            explain(
                "there is no graph to explain: nothing is recorded behind this value",
                received=loss._summary(),
                expected="a loss that depends on a tensor with requires_grad=True",
                remedy="call tw.explain(loss) before loss.backward(), outside no_grad() and outside a compiled step",
            )
        )
