"""One self-contained HTML page: what every report of ours looks like.

In: a title, and sections made of HTML. Out: the text of a page that needs nothing beside it: styles and scripts are
part of it, light and dark follow the reader's choice, it fits a telephone and can be walked through by keyboard.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from thalweg.data.files import atomic_write
from thalweg.tensor.markup import escaped, html_table

HERE = Path(__file__).parent


class Part(NamedTuple):
    """A section of a page: the word for it in the navigation, its heading, its HTML."""

    name: str
    heading: str
    content: str


def page(title: str, parts: Sequence[Part], lead: str = "", script: str = "", style: str = "") -> str:
    """The whole page. `lead` is HTML below the title; `script` and `style` are added to those of every page."""
    links = [f'<a href="#{_anchor(each.name)}">{escaped(each.name)}</a>' for each in parts]
    navigation = f'<nav aria-label="Sections">{"".join(links)}</nav>' if len(parts) > 1 else ""
    body = [f"<h1>{escaped(title)}</h1>", lead, navigation, *map(_section, parts)]
    head = [
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escaped(title)}</title>",
        f"<style>{asset('page.css')}{style}</style>",
    ]
    code = [f"<script>{script}</script>"] if script else []
    return (
        f'<!doctype html>\n<html lang="en"><head>{"".join(head)}</head>\n<body>\n'
        + "\n".join([*filter(None, body), *code])
        + "\n</body></html>\n"
    )


def _section(part: Part) -> str:
    return f'<section id="{_anchor(part.name)}"><h2>{escaped(part.heading)}</h2>{part.content}</section>'


def _anchor(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def asset(name: str) -> str:
    """A style or script that lies beside this module."""
    return (HERE / name).read_text(encoding="utf-8")


def data_element(name: str, values: Any) -> str:
    """Data for a script of the page, as JSON that cannot end its element early."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{escaped(name)}">{text}</script>'


def wide_table(header: Sequence[object], rows: Sequence[Sequence[object]], numbers: Sequence[int] = ()) -> str:
    """A table that scrolls by itself where the screen is narrower."""
    return f'<div class="scroll" tabindex="0">{html_table(header, rows, numbers)}</div>'


def framed(picture: str, caption: str) -> str:
    """A picture (an SVG or an image element) with the words below it."""
    return f"<figure>{picture}<figcaption>{escaped(caption)}</figcaption></figure>"


def beside(figures: Sequence[str]) -> str:
    """Figures side by side, as many as the screen is wide."""
    return f'<div class="beside">{"".join(figures)}</div>' if figures else ""


def write_page(text: str, path: str | os.PathLike[str]) -> Path:
    """The file, whole or not at all."""
    with atomic_write(Path(path)) as stream:
        stream.write(text.encode("utf-8"))
    return Path(path)
