"""Pages of documentation as data: their headings, links and fenced blocks, with what is printed below a block.

In: a Markdown file. Out: `Block`s in order, each with the text block that follows it (its expected output) and the
reason why it is not run, if a comment ``<!-- not run: reason -->`` stands before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
_REASON = re.compile(r"<!-- not run: (.+?) -->\s*$")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, text, line, what it must print, and why it is not run."""

    language: str
    text: str
    line: int
    expected: str | None
    reason: str | None


def blocks_of(text: str) -> list[Block]:
    found = list(_FENCE.finditer(text))
    result = []
    for index, match in enumerate(found):
        following = found[index + 1] if index + 1 < len(found) else None
        is_output = (
            following is not None and following[1] == "text" and not text[match.end() : following.start()].strip()
        )
        reason = _REASON.search(text[: match.start()])
        result.append(
            Block(
                match[1],
                match[2],
                text.count("\n", 0, match.start()) + 1,
                following[2] if is_output and following is not None else None,
                reason[1] if reason else None,
            )
        )
    return result


def anchors_of(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ +(.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in headings}


def links_of(text: str) -> list[str]:
    return _LINK.findall(_FENCE.sub("", text))


def commands_of(block: Block) -> list[str]:
    """The `thalweg` commands of a shell block, continued lines joined, prompts taken away."""
    joined = block.text.replace("\\\n", " ")
    lines = [line.strip().removeprefix("$ ") for line in joined.splitlines()]
    return [line.partition("  #")[0].strip() for line in lines if line.startswith("thalweg ")]
