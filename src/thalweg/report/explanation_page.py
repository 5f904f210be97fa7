"""The page of an explanation: the graph to move about in, and below it every number as a table.

In: an explanation. Out: HTML: a whole page, or the drawing alone for a notebook. Small networks are drawn operation by
operation and by layer, large ones by layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from thalweg.report.analysis import Operation
from thalweg.report.graph_drawing import graph_style, graph_view
from thalweg.report.graph_parts import of_layers, of_operations
from thalweg.report.page import Part, asset, page
from thalweg.report.sections import Layer, Section
from thalweg.tensor.markup import escaped


class Explained(Protocol):
    """What a page needs of an explanation."""

    @property
    def operations(self) -> Sequence[Operation]: ...
    @property
    def layers(self) -> Sequence[Layer]: ...
    @property
    def sections(self) -> Sequence[Section]: ...
    @property
    def is_listed_in_full(self) -> bool: ...
    def heading(self) -> str: ...


MOST_AT_FIRST_SIGHT = 60  # operations and leaves that are drawn one by one before anybody asks for them
_NAMES = {
    "FORWARD": ("forward", "Forward: from the inputs to the loss"),
    "BACKWARD": ("backward", "Backward: from the loss to the weights"),
    "GRADIENTS": ("gradients", "The gradients that arrive at the weights"),
    "BY LAYER": ("layers", "By layer"),
}


def drawing(explanation: Explained) -> str:
    """The graph as a still picture with its style: what a notebook shows."""
    return f"<style>{graph_style()}</style>{views(explanation)[0][1]}"


def views(explanation: Explained) -> list[tuple[str, str]]:
    """The drawings that make sense, each with its name: operations where they are few, layers where there are some.

    The first is what is seen first.
    """
    operations, layers = explanation.operations, explanation.layers
    found = []
    if explanation.is_listed_in_full:
        found.append(("operations", graph_view(*of_operations(operations), name="operations")))
    if len(layers) > 1 or not found:
        found.append(("layers", graph_view(*of_layers(layers, operations), name="layers")))
    return found if len(operations) <= MOST_AT_FIRST_SIGHT else found[::-1]


def explanation_page(explanation: Explained, title: str, text: str = "") -> str:
    """The whole page."""
    parts = [Part("graph", "The graph", _tabs(views(explanation)))]
    for each in explanation.sections:
        name, heading = _NAMES.get(each.title, (each.title.partition(":")[0].partition(",")[0].lower(), each.title))
        parts.append(Part(name, heading, each.html()))
    if text:
        parts.append(Part("in words", "The whole example in words", f"<pre>{escaped(text)}</pre>"))
    lead = f'<p class="result">{escaped(explanation.heading())}</p>'
    return page(title, parts, lead, script=asset("graph_view.js"), style=graph_style() + _TABS)


_TABS = """
[role=tablist] { display: flex; gap: .4rem; margin: .3rem 0 .6rem; }
[role=tab] { font: inherit; padding: .3rem .9rem; border-radius: 6px; border: 1px solid var(--line); cursor: pointer;
  background: var(--panel); color: var(--ink); } [role=tab][aria-selected=true] { border-color: var(--blue);
  box-shadow: inset 0 0 0 1px var(--blue); color: var(--blue); }
"""


def _tabs(found: list[tuple[str, str]]) -> str:
    if len(found) == 1:
        return found[0][1]
    buttons = "".join(
        f'<button type="button" role="tab" id="tab-{name}" aria-controls="view-{name}" '
        f'aria-selected="{str(not place).lower()}" tabindex="{-1 if place else 0}">by {escaped(name)[:-1]}</button>'
        for place, (name, _) in enumerate(found)
    )
    panels = "".join(
        f'<div role="tabpanel" id="view-{name}" aria-labelledby="tab-{name}"{" hidden" * bool(place)}>{content}</div>'
        for place, (name, content) in enumerate(found)
    )
    return f'<div role="tablist" data-tabs aria-label="What is drawn">{buttons}</div>{panels}'
