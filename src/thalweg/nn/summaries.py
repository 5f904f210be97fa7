"""`Module.summary`: which layers a network has, what shapes flow through it, and what its parameters cost.

In: a module and the shapes of its inputs. Out: a table as text, and as HTML for notebooks. The forward pass is run on
lazy tensors in evaluation mode, so no value is computed and no running statistic or random generator moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from thalweg.dtype import DType, as_dtype, float32
from thalweg.errors import ArgumentError, explain
from thalweg.graph import full
from thalweg.nn.hooks import observed
from thalweg.tensor.core import Tensor
from thalweg.tensor.markup import escaped, html_table
from thalweg.tensor.modes import set_recording
from thalweg.tensor.random import default_generator

_HEADINGS = ("layer", "path", "output shape", "parameters")


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


def summarise(module: Any, input_shapes: Sequence[Any], dtype: object) -> Summary:
    """The table of `Module.summary`."""
    shapes = _shapes(input_shapes)
    results = _observe(module, shapes, as_dtype(dtype) if dtype is not None else _parameter_dtype(module))
    rows = [
        (type(layer).__name__, path, results.get(id(layer), "-"), f"{count:,}")
        for path, layer, count in _counted_layers(module)
    ]
    text = "\n".join([*_table(rows), *_totals(module)])
    return Summary(text, html_table(_HEADINGS, rows, numbers=(2, 3)) + _totals_html(module))


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


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in (*rows, _HEADINGS)) for i in range(4)]
    texts = [
        f"{a:<{widths[0]}}   {b:<{widths[1]}}   {c:>{widths[2]}}   {d:>{widths[3]}}"
        for a, b, c, d in (_HEADINGS, *rows)
    ]
    rule = "-" * len(texts[0])
    return [texts[0], rule, *texts[1:], rule]


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
