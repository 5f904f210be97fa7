"""A figure of matplotlib as inline SVG that follows the page: its colours in light and dark, its letters, its width.

In: a figure drawn with the colours of `pictures`. Out: an `<svg>` element. The same figure is the same text every time,
so a report of the same run is the same file.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterable
from typing import Any

from thalweg.report.pictures import settle
from thalweg.tensor.markup import escaped

# The colours of the drawings, and the variable of the style sheet that each stands for. Others stay as they are.
VARIABLES = {
    "#0072b2": "--blue", "#d55e00": "--orange", "#009e73": "--green", "#cc79a7": "--purple", "#e69f00": "--yellow",
    "#56b4e9": "--sky", "#5a3d8a": "--violet", "#8c8c8c": "--grey", "#555555": "--soft", "#e6e6e6": "--grid",
    "#000000": "--ink", "#222222": "--ink", "#ffffff": "--panel",
}  # fmt: skip
_HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_SIZE = re.compile(r'\s(?:width|height)="[^"]*pt"')
_NAMESPACES = re.compile(r'\sxmlns(?::\w+)?="[^"]*"')  # which HTML does not need
_NAMES = re.compile(r'(\bid="|url\(#|href="#)')


def svg_of(drawn: Any, label: str) -> str:
    """The figure as an element of a page; `label` says what can be seen to whoever cannot see it."""
    from matplotlib import rc_context

    settle(drawn)
    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "thalweg"}):
        drawn.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = re.sub(r"<metadata>.*?</metadata>", "", _HEAD.sub("", stream.getvalue(), count=1), flags=re.DOTALL)
    opening, rest = text[: text.index(">") + 1], text[text.index(">") + 1 :]
    opening = _NAMESPACES.sub("", _SIZE.sub("", opening)).replace(
        "<svg", f'<svg role="img" aria-label="{escaped(label)}"'
    )
    text = opening + re.sub(r"\n\s*", "\n", rest).strip().replace("xlink:href", "href")
    own = f"p{zlib.crc32(text.encode()):08x}"  # names are unique on a page of several figures
    return _coloured(_NAMES.sub(rf"\g<1>{own}-", text))


def _coloured(text: str) -> str:
    """Each colour as its variable, and as itself where there is no style sheet, as in a notebook."""
    for colour, variable in VARIABLES.items():
        plain = {"--ink": "currentColor", "--panel": "transparent", "--grid": "#8885"}.get(variable, colour)
        text = text.replace(f": {colour}", f": var({variable}, {plain})")
    return text


def for_notebook(drawings: Iterable[str]) -> str:
    """Drawings in a row, with the little style that they need outside of a page of ours."""
    style = ".thalweg-curves svg { width: min(30rem, 100%); height: auto } .thalweg-curves text { fill: currentColor }"
    return f'<style>{style}</style><div class="thalweg-curves">{"".join(drawings)}</div>'
