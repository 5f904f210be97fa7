"""Docstrings as markup: backticks, examples and indented formulas stay as they are, everything else means itself.

In: the lines of a docstring. Out: the lines for Sphinx, in which no formula is taken for markup: |x|, a * b, weight_.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

_CODE = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)
_MARKUP = re.compile(r"[*|\\]|_(?=\W|$)")
_NAME = re.compile(r"`[\w.]+`")
_SECTION = re.compile(r"^(Args|Returns|Raises|Example|Examples|Attributes|Yields|Note):$")


def marked_up(lines: Sequence[str]) -> list[str]:
    """The lines for Sphinx: paragraph by paragraph."""
    found: list[str] = []
    in_section = False
    for is_blank, group in itertools.groupby(lines, key=lambda line: not line.strip()):
        paragraph = list(group)
        is_indented = paragraph[0][:1] == " "
        if is_blank:
            found += paragraph
        elif is_indented and not in_section:
            found += ["::", "", *(line.replace("`", "") for line in paragraph)]  # a formula over several lines
        else:
            in_section = is_indented or bool(_SECTION.match(paragraph[0]))
            found += _escaped(paragraph)
    return found


def _escaped(paragraph: Sequence[str]) -> list[str]:
    example = next((place for place, line in enumerate(paragraph) if line.lstrip().startswith(">>>")), len(paragraph))
    parts = _CODE.split("\n".join(paragraph[:example]))
    said = "".join(_as_code(part) if place % 2 else _text(part, place > 0) for place, part in enumerate(parts))
    return [*(said.split("\n") if example else []), *paragraph[example:]]


def _text(part: str, follows_code: bool) -> str:
    """Words; those that follow code without a space, as in `Metric`s, are told apart from it."""
    return ("\\ " if follows_code and part[:1].isalnum() else "") + _MARKUP.sub(r"\\\g<0>", part)


def _as_code(part: str) -> str:
    """`Linear` and `tw.Trainer` may be links; `weight / 2` is code."""
    if _NAME.fullmatch(part) and part.startswith("`tw."):
        return f":py:obj:`{part[1:-1]} <thalweg.{part[4:-1]}>`"
    return part if part.startswith("``") or _NAME.fullmatch(part) else f"`{part}`"
