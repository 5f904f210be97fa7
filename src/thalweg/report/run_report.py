"""The report of a run: one HTML file with its numbers and its pictures, which needs nothing beside it.

In: facts, tables and PNG files with what they show. Out: `report.html`; pictures are part of the file, so that it can
be sent to somebody.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from thalweg.data.files import atomic_write

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
p.result { font-size: 1.25rem; color: #0072b2; margin: .2rem 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0; } th, td { text-align: left; padding: .15rem .9rem .15rem 0;
vertical-align: top; } th { font-weight: 600; color: #555; } td { font-variant-numeric: tabular-nums; }
figure { margin: .5rem 0; } img { max-width: 100%; height: auto; } figcaption { color: #555; font-size: .9rem; }
pre { background: #f5f5f5; padding: .6rem; overflow-x: auto; }
"""


class Shown(NamedTuple):
    """A picture of the report: its heading, what can be seen on it, and its file."""

    heading: str
    caption: str
    path: Path


@dataclass
class RunReport:
    """What a report says, from the most to the least important."""

    title: str
    result: str
    facts: Sequence[tuple[str, str]]
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]] = ()
    """Heading, names of the columns, rows."""
    pictures: Sequence[Shown] = ()
    command: str = ""
    notes: Sequence[str] = field(default_factory=list)

    def write(self, path: Path) -> Path:
        """The file, whole or not at all."""
        with atomic_write(path) as stream:
            stream.write(self.text().encode("utf-8"))
        return path

    def text(self) -> str:
        """The report as HTML."""
        parts = [
            f"<h1>{_escaped(self.title)}</h1>",
            f'<p class="result">{_escaped(self.result)}</p>',
            _table((), self.facts),
            *(f"<p>{_escaped(note)}</p>" for note in self.notes),
            *(f"<h2>{_escaped(heading)}</h2>{_table(names, rows)}" for heading, names, rows in self.tables),
            *map(_figure, self.pictures),
        ]
        if self.command:
            parts.append(f"<h2>The command</h2><pre>{_escaped(self.command)}</pre>")
        head = f'<meta charset="utf-8"><title>{_escaped(self.title)}</title><style>{STYLE}</style>'
        body = "\n".join(parts)
        return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _escaped(text: str) -> str:
    return html.escape(str(text))


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "<tr>" + "".join(f"<th>{_escaped(name)}</th>" for name in names) + "</tr>" if names else ""
    lines = ["".join(_cell(text, place == 0) for place, text in enumerate(row)) for row in rows]
    return f"<table>{head}{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _cell(text: str, is_name: bool) -> str:
    tag = "th" if is_name else "td"
    return f"<{tag}>{_escaped(text)}</{tag}>"


def _figure(shown: Shown) -> str:
    content = base64.b64encode(shown.path.read_bytes()).decode("ascii")
    name, caption = _escaped(shown.path.name), _escaped(shown.caption)
    picture = f'<img alt="{_escaped(shown.heading)}" src="data:image/png;base64,{content}">'
    return f"<h2>{_escaped(shown.heading)}</h2><figure>{picture}<figcaption>{caption} ({name})</figcaption></figure>"
