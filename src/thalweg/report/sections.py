"""The parts of an explanation as rows: written once, shown as text and as HTML.

In: operations with their values and gradients. Out: `Section`s: what the forward pass computes, what the backward pass
passes on, where paths meet, the gradients, the update, and the same by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from thalweg.report.analysis import Operation, Share
from thalweg.report.columns import MOST_ENTRIES, root_mean_square, shape_of, show, table
from thalweg.report.notation import shorten
from thalweg.tensor.markup import escaped, html_table

_FORMULA_WIDTH = 64
_OPERAND_WIDTH = 34
Received = Callable[[str], list[tuple[Operation, Share]]]


@dataclass(frozen=True)
class Section:
    """Rows under a heading; `points` are the columns of numbers, `layers` the module path of each row."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    points: tuple[int, ...] = ()
    layers: Sequence[str] = ()
    note: str = ""

    def lines(self) -> list[str]:
        """As text: aligned columns, the rows of each layer under its name where there are several layers."""
        return _grouped(table(self.header, self.rows, points=self.points), self.layers) if self.rows else []

    def html(self) -> str:
        """As HTML: one table, the rows of each layer under its name where there are several."""
        several = len(set(self.layers)) > 1
        groups = [layer or "(no module)" for layer in self.layers] if several else []
        note = f"<p>{escaped(self.note)}</p>" if self.note else ""
        return f'{note}<div class="scroll" tabindex="0">{html_table(self.header, self.rows, self.points, groups)}</div>'


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


# --- the two passes --------------------------------------------------------------------------------------------------


def forward_section(operations: Iterable[Operation]) -> Section:
    """Every operation: how it is computed, and its value."""
    shown = [each for each in operations if not each.is_leaf]
    rows = [(shorten(equation(each), _FORMULA_WIDTH), shape_of(each.shape), show(each.value)) for each in shown]
    return Section("FORWARD", ("operation", "shape", "value"), rows, (2,), [each.layer for each in shown])


def equation(operation: Operation) -> str:
    """``name = formula``, or the formula where it is the name."""
    is_own_name = operation.name == operation.formula
    return operation.formula if is_own_name else f"{operation.name} = {operation.formula}"


def backward_section(operations: Sequence[Operation]) -> Section:
    """Every operation from the loss backwards: what arrives, and for each operand the rule and what it gets."""
    rows: list[tuple[str, ...]] = []
    layers: list[str] = []
    for each in reversed(operations):
        for index, share in enumerate(each.shares):
            own = (shorten(each.name, _OPERAND_WIDTH), show(each.gradient)) if not index else ("", "")
            operand = shorten(share.operand, _OPERAND_WIDTH)
            rows.append((*own, operand, share.rule, show(share.derivative), show(share.product)))
            layers.append(each.layer)
    header = ("result", "arrives: g", "operand", "rule", "local derivative", "passed on")
    return Section("BACKWARD", header, rows, (1, 4, 5), layers)


def joined_section(operations: Sequence[Operation], received_by: Received) -> Section:
    """The places where several shares arrive, and their sums."""
    rows = []
    for each in reversed(operations):
        received = received_by(each.name)
        if len(received) > 1 and each.gradient is not None:
            for index, (operation, share) in enumerate(received):
                name = shorten(each.name, _OPERAND_WIDTH) if not index else ""
                rows.append((name, show(share.product), f"by {shorten(operation.name, _OPERAND_WIDTH)}"))
            rows.append(("", show(each.gradient), "together"))
    return Section("WHERE PATHS MEET, the shares are added", ("", "", ""), rows, (1,))


# --- the weights -----------------------------------------------------------------------------------------------------


def gradient_section(operations: Iterable[Operation], gradients: Mapping[str, np.ndarray]) -> Section:
    """The leaves with their values and gradients."""
    rows = [
        (each.name, shape_of(each.shape), show(each.value), show(gradients[each.name]))
        for each in operations
        if each.requires_grad
    ]
    return Section("GRADIENTS", ("leaf", "shape", "value", "gradient"), rows, (2, 3))


@dataclass(frozen=True)
class Update:
    """What a step of an optimizer makes of one leaf: `after` - `before` is the change."""

    name: str
    before: np.ndarray
    gradient: np.ndarray
    after: np.ndarray

    @property
    def change(self) -> np.ndarray:
        return np.asarray(self.after - self.before)

    @property
    def ratio(self) -> float:
        """The root mean square of the change by that of the weights; infinite for weights of 0."""
        size, change = root_mean_square(self.before), root_mean_square(self.change)
        return change / size if size else float("inf") if change else 0.0


def update_section(rule: str, updates: Sequence[Update]) -> Section:
    """The leaves before and after the update, and how large the change is beside them."""
    rows = [
        (each.name, *map(_in_short, (each.before, each.gradient, each.change, each.after)), f"{each.ratio:.2g}")
        for each in updates
    ]
    header = ("leaf", "before", "gradient", "change", "after", "change / weight")
    return Section(f"UPDATE: {rule}", header, rows, (1, 2, 3, 4, 5))


def _in_short(array: np.ndarray) -> str:
    return show(array) if array.size <= MOST_ENTRIES else f"rms {size(array)}"


# --- by layer --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """Operations that ran one after the other in one module: their last result, and the gradient that arrives there.

    `members` are their names; a module that is passed through several times has a layer for each, `name (2)` and so on.
    """

    name: str
    operations: int
    shape: tuple[int, ...]
    value: np.ndarray | None
    gradient: np.ndarray | None
    members: tuple[str, ...] = field(default=(), repr=False)


def layers_of(operations: Iterable[Operation]) -> list[Layer]:
    """The operations in runs of one module, in forward order: such runs never depend on each other in a circle."""
    runs: list[tuple[str, list[Operation]]] = []
    for each in operations:
        if each.is_leaf:
            continue
        if not runs or runs[-1][0] != each.layer:
            runs.append((each.layer, []))
        runs[-1][1].append(each)
    visits: dict[str, int] = {}
    return [_layer(path, visits, members) for path, members in runs]


def _layer(path: str, visits: dict[str, int], members: list[Operation]) -> Layer:
    visits[path] = visit = visits.get(path, 0) + 1
    name = path if visit == 1 else f"{path or '(no module)'} ({visit})"
    floating = [each for each in members if each.dtype.startswith("float")]
    last = floating[-1] if floating else members[-1]
    return Layer(name, len(members), last.shape, last.value, last.gradient, tuple(each.name for each in members))


def layer_section(layers: Iterable[Layer]) -> Section:
    """One line a layer: its last result, and the size of the gradient that arrives there."""
    rows = [
        (each.name or "(no module)", str(each.operations), shape_of(each.shape), size(each.value), size(each.gradient))
        for each in layers
    ]
    return Section("BY LAYER", ("layer", "operations", "result", "rms of result", "rms of gradient"), rows, (3, 4))


def size(array: np.ndarray | None) -> str:
    """The root mean square in a few figures; nothing for nothing."""
    return "" if array is None else show(np.asarray(root_mean_square(array), np.float32))
