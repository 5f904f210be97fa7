"""`Module.summary`: which layers a network has, what shapes flow through it, and what its parameters cost.

In: a module and the shapes of its inputs. Out: a tree as text, and as HTML for notebooks. The forward pass is run on
lazy tensors in evaluation mode, so no value is computed and no running statistic or random generator moves.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from thalweg.dtype import DType, as_dtype, float32
from thalweg.errors import ArgumentError, explain
from thalweg.graph import full
from thalweg.nn.hooks import observed
from thalweg.tensor.core import Tensor
from thalweg.tensor.markup import escaped, html_table
from thalweg.tensor.modes import set_recording
from thalweg.tensor.random import default_generator

_HEADINGS = ("layer", "output shape", "parameters", "trainable", "share")
_NUMBERS = (2, 3, 4)
_GAP = "  "
# What a narrow terminal takes letters from, in this order, and how many each column keeps.
_NARROWED = ((1, 20), (0, 24), (1, 12))


class Summary(str):
    """Text that shows itself as it is in a terminal, and as a table in a notebook."""

    markup: str

    def __new__(cls, text: str, markup: str) -> Summary:
        made = super().__new__(cls, text)
        made.markup = markup
        return made

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.markup


class Row(NamedTuple):
    """A module, or a parameter beside modules: how deep it lies, what it is called, and what lies in it altogether."""

    depth: int
    label: str
    shape: str
    parameters: int
    trainable: int
    also: str = ""  # where a layer that is used under several names was listed before


def summarise(module: Any, input_shapes: Sequence[Any], dtype: object, depth: object, width: object) -> Summary:
    """The tree of `Module.summary`."""
    deepest, room = _whole("depth", depth), _whole("width", width)
    shapes = _shapes(input_shapes)
    results = _observe(module, shapes, as_dtype(dtype) if dtype is not None else _parameter_dtype(module))
    rows = [each for each in _rows(module, results) if deepest is None or each.depth <= deepest]
    cells = [_cells(each, total=max(rows[0].parameters, 1)) for each in rows]
    room = _terminal_width() if room is None else room
    text = "\n".join([*_table(cells, room), *_totals(module)])
    nested = [("\u2003" * row.depth + cell[0].strip(), *cell[1:]) for row, cell in zip(rows, cells, strict=True)]
    return Summary(text, html_table(_HEADINGS, nested, numbers=_NUMBERS) + _totals_html(module))


def _rows(module: Any, results: dict[int, str]) -> list[Row]:
    """The tree from above. What has parameters beside its layers lists them, so each sum is that of the rows below."""
    counted: set[int] = set()
    listed: dict[int, str] = {}

    def own_of(layer: Any) -> list[tuple[str, Any]]:
        fresh = [(name, each) for name, each in layer.named_parameters(recurse=False) if id(each) not in counted]
        counted.update(id(each) for _, each in fresh)
        return fresh

    def walk(layer: Any, name: str, path: str, depth: int) -> list[Row]:
        label = f"{name}: {type(layer).__name__}" if name else type(layer).__name__
        if id(layer) in listed:
            return [Row(depth, label, "", 0, 0, listed[id(layer)])]
        listed[id(layer)] = path or "the whole"
        own = own_of(layer)
        count = sum(each.numel() for _, each in own)
        trainable = sum(each.numel() for _, each in own if each.requires_grad)
        children = list(layer._modules.items())
        below = [
            Row(depth + 1, f"{each_name}: {type(each).__name__}", str(each.shape), *_counts(each))
            for each_name, each in own
            if children
        ]
        for each_name, each in children:
            if each is not None:
                found = walk(each, each_name, f"{path}.{each_name}" if path else each_name, depth + 1)
                count, trainable = count + found[0].parameters, trainable + found[0].trainable
                below += found
        return [Row(depth, label, results.get(id(layer), "-"), count, trainable), *below]

    return walk(module, "", "", 0)


def _counts(parameter: Any) -> tuple[int, int]:
    return parameter.numel(), parameter.numel() if parameter.requires_grad else 0


def _cells(row: Row, total: int) -> tuple[str, ...]:
    label = "  " * row.depth + row.label
    if row.also:
        return label, f"as {row.also}", "-", "-", "-"
    share = row.parameters / total
    told = "-" if not row.parameters else "<0.1%" if share < 0.0005 else f"{share:.1%}"
    return label, row.shape, *(f"{each:,}" if row.parameters else "-" for each in (row.parameters, row.trainable)), told


def _whole(name: str, value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ArgumentError(explain(f"summary: {name} is no whole number", received=repr(value), expected="0 or more"))


def architecture_html(module: Any) -> str:
    """The layers of a module as a table: settings, shapes of the parameters and how many numbers they hold.

    >>> from thalweg import nn
    >>> "10 x 4" in architecture_html(nn.Linear(4, 10))
    True
    """
    rows = []
    for path, layer, count in _counted_layers(module):
        shapes = [f"{name} {' x '.join(map(str, each.shape))}" for name, each in layer.named_parameters(recurse=False)]
        rows.append((path or type(module).__name__, _told(layer), ", ".join(shapes), f"{count:,}"))
    return html_table(("path", "layer", "shapes", "parameters"), rows, numbers=(3,)) + _totals_html(module)


def _told(layer: Any) -> str:
    """The layer with its settings, in one line."""
    text = repr(layer)
    return text if "\n" not in text else type(layer).__name__


def _counted_layers(module: Any) -> Iterator[tuple[str, Any, int]]:
    """Path, layer and number of parameters of whatever has parameters of its own, or nothing below it.

    A parameter that two layers share counts at the first of them.
    """
    seen: set[int] = set()
    for path, layer in module.named_modules():
        own = {id(each): each.numel() for each in layer.parameters(recurse=False) if id(each) not in seen}
        seen |= own.keys()
        if own or not any(True for _ in layer.children()):
            yield path, layer, sum(own.values())


def _shapes(given: Sequence[Any]) -> list[tuple[int, ...]]:
    shapes = [tuple(given)] if given and all(isinstance(each, int) for each in given) else list(given)
    is_shape = [isinstance(each, (tuple, list)) and all(isinstance(n, int) and n >= 0 for n in each) for each in shapes]
    if not shapes or not all(is_shape):
        raise ArgumentError(
            explain(
                "summary needs the shape of each input, with the batch axis",
                received=", ".join(map(repr, given)) or "nothing",
                expected="tuples of non-negative integers",
                remedy="for example model.summary((64, 784))",
            )
        )
    return [tuple(each) for each in shapes]


def _parameter_dtype(module: Any) -> DType:
    return next((each.dtype for each in module.parameters() if each.dtype.is_floating_point), float32)


def _observe(module: Any, shapes: Sequence[tuple[int, ...]], dtype: DType) -> dict[int, str]:
    """Run the forward pass on tensors of zeros that are never computed; the shape of each layer's first result."""
    results: dict[int, str] = {}
    random_state = default_generator.get_state()
    modes_before = [(each, each.training) for each in module.modules()]
    try:
        for each, _ in modes_before:
            each.__dict__["training"] = False  # put back below, so no compiled step need hear of it
        noting = observed(
            [each for each, _ in modes_before], lambda layer, result: results.setdefault(id(layer), _describe(result))
        )
        with set_recording(False), noting:
            module(*[Tensor._result(full(shape, 0, dtype)) for shape in shapes])
    finally:
        default_generator.set_state(random_state)
        for each, mode in modes_before:
            each.__dict__["training"] = mode
    return results


def _describe(result: object) -> str:
    if isinstance(result, Tensor):
        return str(result.shape)
    if isinstance(result, dict):
        return ", ".join(f"{name}: {_describe(each)}" for name, each in result.items())
    if isinstance(result, (tuple, list)):
        return ", ".join(map(_describe, result))
    return type(result).__name__


def _terminal_width() -> int:
    """Letters to a line where standard output is a terminal, else 0: a file takes lines of any length."""
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns  # type: ignore[union-attr]
    except (OSError, ValueError, AttributeError):
        return 0


def _table(rows: Sequence[tuple[str, ...]], room: int) -> list[str]:
    """Aligned lines of no more than `room` letters, 0 for any number; what is too long ends in an ellipsis."""
    widths = [max(len(row[i]) for row in (*rows, _HEADINGS)) for i in range(len(_HEADINGS))]
    for column, least in _NARROWED if room else ():
        excess = sum(widths) + len(_GAP) * (len(widths) - 1) - room
        widths[column] = max(min(widths[column], least), widths[column] - max(excess, 0))
    lines = [
        _GAP.join(
            f"{_cut(text, width):{'>' if place in _NUMBERS else '<'}{width}}"
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (_HEADINGS, *rows)
    ]
    rule = "-" * len(lines[0])
    return [lines[0], rule, *lines[1:], rule]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _sizes(module: Any) -> list[tuple[str, int]]:
    parameters = list(module.parameters())
    total = sum(each.numel() for each in parameters)
    trainable = sum(each.numel() for each in parameters if each.requires_grad)
    size = sum(each.numel() * each.element_size() for each in [*parameters, *module.buffers()])
    frozen = [("non-trainable parameters", total - trainable)] if trainable < total else []
    return [("total parameters", total), ("trainable parameters", trainable), *frozen, ("bytes", size)]


def _totals_html(module: Any) -> str:
    return f"<p>{escaped(', '.join(f'{label} {value:,}' for label, value in _sizes(module)))}</p>"


def _totals(module: Any) -> list[str]:
    pairs = _sizes(module)
    width = max(len(f"{value:,}") for _, value in pairs)
    return [f"{label:<26} {value:>{width},}" for label, value in pairs]
