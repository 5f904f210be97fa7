"""What every page of ours must be: well-formed, complete in itself, with a way to walk through it.

In: the text of a page. Out: nothing, or the failure: a tag that is not closed, an id twice, a link that leads nowhere,
a file that the page would fetch.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

EMPTY = frozenset({"meta", "br", "img", "hr", "input", "link"})
FETCHING = frozenset({"src", "srcset", "poster", "data"})


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.problems: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self._read(tag, dict(attributes))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self._read(tag, dict(attributes))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def handle_data(self, text):
        if not {"style", "script"} & set(self.open):
            self.words.append(text)

    def _read(self, tag, attributes):
        if "id" in attributes:
            self.ids.append(attributes["id"])
        for name, value in attributes.items():
            is_inside = str(value).startswith(("data:", "#"))
            if (name in FETCHING or name.endswith("href")) and not is_inside:
                self.problems.append(f"<{tag} {name}={value!r}> is outside of the page")
            if name.endswith("href") and str(value).startswith("#"):
                self.links.append(value[1:])
        if tag == "img" and not attributes.get("alt"):
            self.problems.append("a picture without words")
        if tag == "svg" and not attributes.get("aria-label"):
            self.problems.append("a drawing without words")


def checked(text: str, is_whole: bool = True) -> _Reader:
    """The page as it was read; AssertionError with all that is wrong with it."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    problems = [*reader.problems, *(f"<{tag}> is never closed" for tag in reader.open)]
    problems += [f"id {each!r} twice" for each in {each for each in reader.ids if reader.ids.count(each) > 1}]
    problems += [f"a link to #{each}, which is nowhere" for each in set(reader.links) - set(reader.ids)]
    problems += [f"fetches {each}" for each in re.findall(r"@import|url\((?!#)[^)]*\)|https?://[^\s\"'<]+", text)]
    if is_whole:
        needed = ("<!doctype html>", 'lang="en"', 'name="viewport"', "prefers-color-scheme: dark")
        problems += [f"no {each}" for each in needed if each not in text]
    assert not problems, "\n".join(problems[:20])
    return reader
