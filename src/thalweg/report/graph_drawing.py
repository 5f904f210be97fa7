"""An explained graph as a picture: boxes for operations or layers, and between them values down and gradients up.

In: boxes and arrows. Out: inline SVG that `graph_view.js` makes movable, with what there is to say about each box and
edge beside it. Without the script it is a still picture whose parts carry titles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from thalweg.report.graph_parts import Arrow, Box, Details
from thalweg.report.layering import Placed, placed
from thalweg.report.page import asset
from thalweg.tensor.markup import escaped

LETTER, LINE, MARGIN = 7.3, 17.0, 9.0
"""Width of a letter and height of a line at the size of the drawing's text, and what is left free around them."""
APART = 2.5
"""Half of what lies between the line of the values and that of the gradients."""


def graph_view(boxes: Sequence[Box], arrows: Sequence[Arrow], name: str) -> str:
    """The drawing with its frame, its buttons and the place beside it where details are shown.

    `name` says what the boxes are; two drawings on a page have different ones.
    """
    sizes = {each.key: _size(each) for each in boxes}
    drawn = placed(sizes, [(each.upper, each.lower) for each in arrows])
    keys = {each.key: f"n{place}" for place, each in enumerate(boxes)}
    strength = _strength([each.size for each in arrows if each.size])
    parts = [_edge(each, place, drawn, sizes, keys, strength, name) for place, each in enumerate(arrows)]
    parts += [_node(each, drawn.places[each.key], sizes[each.key], keys[each.key]) for each in boxes]
    notes = [_template(keys[each.key], each.key, each.details) for each in boxes]
    notes += [_template(f"e{place}", f"{each.upper} → {each.lower}", each.details) for place, each in enumerate(arrows)]
    frame = f"-12 -12 {drawn.width + 24:.0f} {drawn.height + 24:.0f}"
    return (
        f'<div class="graph-view"><div class="canvas"><svg class="graph" viewBox="{frame}" '
        f'role="group" aria-label="The {escaped(name)} of the network" '
        f'style="aspect-ratio: {(drawn.width + 24) / (drawn.height + 24):.3f}">'
        f"{_markers(name)}{''.join(parts)}</svg>{_CONTROLS}</div>"
        f'<aside class="details" aria-live="polite">{_LEGEND}</aside>{"".join(notes)}</div>'
    )


def _markers(name: str) -> str:
    """The tips of the arrows; each drawing has its own, since those of a hidden one are not there."""
    tips = "".join(
        f'<marker id="{name}-{way}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto" '
        f'markerUnits="userSpaceOnUse"><path d="M0 0L8 4L0 8z" class="tip {way}"/></marker>'
        for way in ("forward", "backward")
    )
    return f"<defs>{tips}</defs>"


_BUTTONS = (("in", "+", "Zoom in"), ("out", "−", "Zoom out"), ("fit", "⤢", "Show all"))
_CONTROLS = '<div class="controls">' + "".join(
    f'<button type="button" data-do="{action}" aria-label="{words}" title="{words}">{sign}</button>'
    for action, sign, words in _BUTTONS
) + "</div>"  # fmt: skip
_LEGEND = (
    '<p><b class="forward">↓ values</b> go forward, <b class="backward">↑ gradients</b> come back on the same lines: '
    'the thicker the line, the larger the gradient.</p><p class="soft">Point at a box or a line, or walk through the '
    "boxes with Tab; a click keeps what is shown. Drag to move, turn the wheel to zoom; arrow keys, + − and 0 do the "
    "same.</p>"
)


def _size(box: Box) -> tuple[float, float]:
    longest = max(len(text) + (2 if role in _SIGNS else 0) for role, text in box.lines)
    return max(44.0, LETTER * longest + 2 * MARGIN), LINE * len(box.lines) + 2 * MARGIN


_SIGNS = {"forward": "↓ ", "backward": "↑ "}


def _node(box: Box, place: tuple[float, float], size: tuple[float, float], key: str) -> str:
    left, top = place[0] - size[0] / 2, place[1] - size[1] / 2
    lines = "".join(
        f'<text class="{role}" x="{left + MARGIN:.1f}" y="{top + MARGIN + LINE * (row + 0.75):.1f}">'
        f"{escaped(_SIGNS.get(role, '') + text)}</text>"
        for row, (role, text) in enumerate(box.lines)
    )
    words = escaped(", ".join(_SIGNS.get(role, "") + text for role, text in box.lines))
    return (
        f'<g class="node {box.kind}" data-key="{key}" tabindex="0" role="button" aria-label="{words}">'
        f"<title>{words}</title>"
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{size[0]:.1f}" height="{size[1]:.1f}" rx="6"/>{lines}</g>'
    )


def _edge(arrow: Arrow, place: int, drawn: Placed, sizes: Mapping[str, tuple[float, float]], keys: Mapping[str, str],
          strength: Callable[[float], float], name: str) -> str:  # fmt: skip
    points = list(drawn.routes[arrow.upper, arrow.lower])
    points[0] = (points[0][0], points[0][1] + sizes[arrow.upper][1] / 2)
    points[-1] = (points[-1][0], points[-1][1] - sizes[arrow.lower][1] / 2)
    has_gradient = arrow.size is not None
    apart = APART if has_gradient else 0.0
    down = _curve([(x - apart, y) for x, y in points])
    words = f"{arrow.upper} → {arrow.lower}" + (f", gradient rms {arrow.size:.3g}" if arrow.size is not None else "")
    lines = f"<title>{escaped(words)}</title>"
    lines += (
        f'<path class="hit" d="{_curve(points)}"/><path class="forward" d="{down}" marker-end="url(#{name}-forward)"/>'
    )
    if arrow.size is not None:
        up = _curve([(x + apart, y) for x, y in points][::-1])
        width = strength(arrow.size)
        lines += f'<path class="backward" d="{up}" stroke-width="{width:.2f}" marker-end="url(#{name}-backward)"/>'
    return (
        f'<g class="edge" data-key="e{place}" data-from="{keys[arrow.upper]}" data-to="{keys[arrow.lower]}">{lines}</g>'
    )


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """A path that leaves and reaches every point straight up or down."""
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x, y), (to_x, to_y) in pairwise(points):
        half = (y + to_y) / 2
        parts.append(f"C{x:.1f} {half:.1f} {to_x:.1f} {half:.1f} {to_x:.1f} {to_y:.1f}")
    return "".join(parts)


def _strength(sizes: Sequence[float]) -> Callable[[float], float]:
    """The width of a line by the logarithm of the gradient, between 0.8 and 5."""
    logs = [math.log10(each) for each in sizes if each > 0 and math.isfinite(each)]
    low, high = (min(logs), max(logs)) if logs else (0.0, 0.0)

    def width(size: float) -> float:
        if not size > 0 or not math.isfinite(size):
            return 0.8
        return 0.8 + 4.2 * ((math.log10(size) - low) / (high - low) if high > low else 0.5)

    return width


def _template(key: str, title: str, details: Details) -> str:
    pairs = "".join(f"<dt>{escaped(name)}</dt><dd>{content}</dd>" for name, content in details)
    return f'<template data-for="{key}"><h3>{escaped(title)}</h3><dl>{pairs}</dl></template>'


def graph_style() -> str:
    """The style sheet of the drawing."""
    return asset("graph_view.css")
