"""What is drawn of an explanation: boxes for operations or layers, edges where one reads another, numbers for both.

In: operations, or layers, of an explanation. Out: `Box`es and `Arrow`s with the few lines that stand in the drawing
and, as HTML, all that is said about one of them beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from thalweg.report.analysis import Operation, Share
from thalweg.report.columns import number, root_mean_square, shape_of, show
from thalweg.report.notation import shorten
from thalweg.report.sections import Layer
from thalweg.tensor.markup import escaped, html_table

LONGEST_LINE = 34
MOST_NUMBERS, MOST_COLUMNS = 64, 8
"""Entries of an array that are written out beside the drawing."""
Details = list[tuple[str, str]]


@dataclass(frozen=True)
class Box:
    """A node of the drawing: its kind decides its colour; `lines` stand in it, `details` are shown beside it."""

    key: str
    kind: str
    lines: tuple[tuple[str, str], ...]
    """Pairs of a class of text (name, formula, forward, backward) and the text."""
    details: Details
    """Pairs of a heading and HTML."""


@dataclass(frozen=True)
class Arrow:
    """An edge: the value that goes down, and the gradient that comes up, if one does."""

    upper: str
    lower: str
    details: Details
    size: float | None = None
    """The root mean square of the gradient that is passed on."""


# --- what is drawn: operations ---------------------------------------------------------------------------------------


def of_operations(operations: Sequence[Operation]) -> tuple[list[Box], list[Arrow]]:
    """A box for each operation and leaf, an edge for each operand."""
    known = {each.name: each for each in operations}
    boxes = [_operation_box(each, each is operations[-1]) for each in operations]
    arrows = [
        _operand_arrow(known[operand], each) for each in operations for operand in each.operands if operand in known
    ]
    return boxes, arrows


def _operation_box(each: Operation, is_loss: bool) -> Box:
    kind = "loss" if is_loss else "weight" if each.requires_grad else "data" if each.is_leaf else "operation"
    lines = [("name", shorten(each.name, LONGEST_LINE))]
    if not each.is_leaf and each.formula != each.name:
        lines.append(("formula", shorten(f"= {each.formula}", LONGEST_LINE)))
    lines.append(("forward", brief(each.value)))
    if each.gradient is not None:
        lines.append(("backward", brief(each.gradient)))
    details: Details = [("", f"<code>{escaped(each.formula)}</code>")] if each.formula != each.name else []
    details += [("layer", escaped(each.layer))] if each.layer else []
    details += [("value", numbers(each.value, each.dtype)), ("gradient dL/d(this)", numbers(each.gradient))]
    details += [_told_share(share) for share in each.shares]
    return Box(each.name, kind, tuple(lines), [pair for pair in details if pair[1]])


def _told_share(share: Share) -> tuple[str, str]:
    rows = [
        ("chain rule", share.rule),
        ("local derivative", show(share.derivative)),
        ("passed on", show(share.product)),
    ]
    return f"to {share.operand}", html_table((), [row for row in rows if row[1]])


def _operand_arrow(upper: Operation, lower: Operation) -> Arrow:
    share = next((each for each in lower.shares if each.operand == upper.name), None)
    details: Details = [("value, forward", numbers(upper.value))]
    if share is None:
        return Arrow(upper.name, lower.name, details)
    details += [("gradient, backward", numbers(share.product)), _told_share(share)]
    return Arrow(upper.name, lower.name, details, root_mean_square(share.product))


# --- what is drawn: layers -------------------------------------------------------------------------------------------


def of_layers(layers: Sequence[Layer], operations: Sequence[Operation]) -> tuple[list[Box], list[Arrow]]:
    """A box for each layer, with its weights in it, and one for each given array; edges where a layer reads another."""
    known = {each.name: each for each in operations}
    home = {member: layer.name for layer in layers for member in layer.members}
    boxes, arrows = [], []
    for layer in layers:
        read = list(dict.fromkeys(operand for member in layer.members for operand in known[member].operands))
        outside = [known[each] for each in read if each in known and home.get(each) != layer.name]
        weights = [each for each in outside if each.requires_grad]
        boxes.append(_layer_box(layer, weights, layer is layers[-1]))
        for each in outside:
            if not each.requires_grad:
                arrows.append(_layer_arrow(each, home.get(each.name, each.name), layer, known))
    given = {arrow.upper for arrow in arrows} - {layer.name for layer in layers}
    boxes += [_operation_box(known[name], False) for name in sorted(given, key=list(known).index)]
    return boxes, _merged(arrows)


def _layer_box(layer: Layer, weights: Iterable[Operation], is_loss: bool) -> Box:
    name = layer.name or "(no module)"
    lines = [("name", shorten(name, LONGEST_LINE)), ("forward", brief(layer.value))]
    if layer.gradient is not None:
        lines.append(("backward", brief(layer.gradient)))
    details: Details = [
        ("", f"{layer.operations} operation{'' if layer.operations == 1 else 's'}"),
        ("result", numbers(layer.value)),
        ("gradient that arrives", numbers(layer.gradient)),
    ]
    rows = [(each.name, shape_of(each.shape), _norm(each.value), _norm(each.gradient)) for each in weights]
    if rows:
        lines += [("formula", shorten(f"{row[0].rpartition('.')[2]} {row[1]}", LONGEST_LINE)) for row in rows[:3]]
        details.append(("weights", html_table(("", "shape", "norm", "norm of gradient"), rows, (2, 3))))
    return Box(layer.name, "loss" if is_loss else "operation", tuple(lines), [pair for pair in details if pair[1]])


def _layer_arrow(read: Operation, upper: str, layer: Layer, known: Mapping[str, Operation]) -> Arrow:
    products = [share.product for each in layer.members for share in known[each].shares if share.operand == read.name]
    details: Details = [("value, forward", numbers(read.value))]
    if not products:
        return Arrow(upper, layer.name, details)
    total = np.sum([np.asarray(each, np.float64) for each in products], axis=0)
    return Arrow(upper, layer.name, [*details, ("gradient, backward", numbers(total))], root_mean_square(total))


def _merged(arrows: Iterable[Arrow]) -> list[Arrow]:
    """One edge between two layers, whatever number of values goes along it."""
    found: dict[tuple[str, str], Arrow] = {}
    for each in arrows:
        before = found.get((each.upper, each.lower))
        if before is None:
            found[each.upper, each.lower] = each
            continue
        sizes = [size for size in (before.size, each.size) if size is not None]
        details = [*before.details, *each.details]
        found[each.upper, each.lower] = Arrow(each.upper, each.lower, details, math.hypot(*sizes) if sizes else None)
    return list(found.values())


# --- numbers ---------------------------------------------------------------------------------------------------------


def brief(array: np.ndarray | None) -> str:
    """A value in a box: the number, or shape and size of an array.

    >>> brief(np.array(0.25)), brief(np.ones((2, 3)))
    ('0.25', '2 x 3, rms 1')
    """
    if array is None:
        return ""
    if array.size == 1:
        return number(array.reshape(-1)[0].item(), "float32" if array.dtype.kind == "f" else array.dtype.name)
    if array.dtype.kind != "f":
        return f"{shape_of(array.shape)}, {show(array)}"
    return f"{shape_of(array.shape)}, rms {root_mean_square(array):.3g}"


def _norm(array: np.ndarray | None) -> str:
    return "" if array is None else f"{float(np.linalg.norm(np.asarray(array, np.float64))):.4g}"


def numbers(array: np.ndarray | None, dtype: str = "") -> str:
    """An array as HTML: every entry of a small one, shape, range and norm of another."""
    if array is None:
        return ""
    kind = array.dtype.name if not dtype.startswith("float") else dtype
    if array.ndim == 0:
        return escaped(number(array.item(), kind))
    about = escaped(f"{shape_of(array.shape)} {kind}")
    if array.size > MOST_NUMBERS or array.shape[-1] > MOST_COLUMNS or not array.size:
        return f"{about}<br>{escaped(show(array))}<br>norm {_norm(array)}"
    small = "float32" if array.dtype.kind == "f" else kind
    rows = [[number(each, small) for each in row] for row in array.reshape(-1, array.shape[-1]).tolist()]
    cells = "".join("<tr>" + "".join(f'<td class="number">{each}</td>' for each in row) + "</tr>" for row in rows)
    return f'{about}<div class="scroll"><table class="entries">{cells}</table></div>'
