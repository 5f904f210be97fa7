"""A history as HTML for notebooks: a table of its epochs, and its curves as inline SVG.

In: the lists of `History`: by step and by epoch. Out: HTML. Without matplotlib there is the table alone, and of many
epochs it shows the first and the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from thalweg.report import pictures
from thalweg.report.pictures import Numbers, measure_name, measures_of
from thalweg.report.vector import for_notebook, svg_of
from thalweg.tensor.markup import html_table

MOST_EPOCHS = 12
"""Epochs that the table shows: the first and the last ones of many."""


def history_html(steps: Mapping[str, Numbers], epochs: Mapping[str, Sequence[Any]]) -> str:
    """The table and the curves.

    >>> history_html({"step": []}, {"loss": [0.5]})
    '<table><thead><tr><th>epoch</th><th class="number">loss</th></tr></thead><tbody><tr><th scope="row">1</th><td class="number">0.5</td></tr></tbody></table>'
    """  # noqa: E501
    try:
        curves = for_notebook(list(_curves(steps, epochs))) if len(steps.get("step", [])) > 1 else ""
    except ImportError:
        curves = ""
    return _table(epochs) + curves


def _table(epochs: Mapping[str, Sequence[Any]]) -> str:
    names = [name for name, values in epochs.items() if all(isinstance(each, int | float) for each in values[-1:])]
    count = max((len(epochs[name]) for name in names), default=0)
    half = MOST_EPOCHS // 2
    shown = range(count) if count <= MOST_EPOCHS else [*range(half), *range(count - half, count)]
    rows = [(str(place + 1), *(_told(epochs[name], place) for name in names)) for place in shown]
    return html_table(("epoch", *names), rows, range(1, len(names) + 1))


def _told(values: Sequence[Any], place: int) -> str:
    value = values[place] if place < len(values) else None
    return "" if value is None else f"{value:.4g}"


def _curves(steps: Mapping[str, Numbers], epochs: Mapping[str, Any]) -> Iterator[str]:
    yield svg_of(pictures.draw_loss(steps, epochs, None), "Loss at each iteration")
    for name in measures_of(epochs):
        if name != "loss":
            yield svg_of(pictures.draw_epochs(epochs, None, [name]), f"{measure_name(name)} after each epoch")
