"""HTML of rows and columns, for everything that shows itself in a notebook or on a page of a report.

In: texts and rows of texts. Out: escaped HTML without style of its own: a notebook and a page each bring theirs. The
first column names what the row is about, so it is a row header for whoever listens instead of looks.
"""

from __future__ import annotations

import html
from collections.abc import Sequence


def escaped(text: object) -> str:
    """The text as it may stand in HTML, in attributes too.

    >>> escaped('a < "b"')
    'a &lt; &quot;b&quot;'
    """
    return html.escape(str(text))


def html_table(
    header: Sequence[object],
    rows: Sequence[Sequence[object]],
    numbers: Sequence[int] = (),
    groups: Sequence[str] = (),
) -> str:
    """A table; the columns `numbers` are aligned to the right. A column without any text is left out.

    `groups` has a name for each row: where it changes, a line with the name comes first.

    >>> html_table(("name", "value"), [("a", 1)], numbers=[1])
    '<table><thead><tr><th>name</th><th class="number">value</th></tr></thead><tbody><tr><th scope="row">a</th><td class="number">1</td></tr></tbody></table>'
    """  # noqa: E501
    count = max([len(header), *map(len, rows)], default=0)
    kept = [place for place in range(count) if not rows or any(str(row[place]) for row in rows)]
    names = "".join(_cell(header[place], place, numbers, "th", "") for place in kept) if header else ""
    lines = ["".join(_of_row(row[place], place, numbers) for place in kept) for row in rows]
    head = f"<thead><tr>{names}</tr></thead>" if names else ""
    body = [f"<tr>{line}</tr>" for line in lines]
    for place in range(len(groups) - 1, -1, -1):
        if place == 0 or groups[place] != groups[place - 1]:
            name = f'<th scope="rowgroup" colspan="{len(kept)}">{escaped(groups[place])}</th>'
            body.insert(place, f'<tr class="group">{name}</tr>')
    return f"<table>{head}<tbody>{''.join(body)}</tbody></table>"


def _of_row(text: object, place: int, numbers: Sequence[int]) -> str:
    return _cell(text, place, numbers, "td", "") if place else _cell(text, place, numbers, "th", ' scope="row"')


def _cell(text: object, place: int, numbers: Sequence[int], tag: str, more: str) -> str:
    alignment = ' class="number"' if place in numbers else ""
    return f"<{tag}{more}{alignment}>{escaped(text)}</{tag}>"
