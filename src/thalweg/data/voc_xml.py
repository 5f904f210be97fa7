"""Annotations of Pascal VOC: one XML file for each picture.

In: bytes that a stranger wrote. Out: an `Annotation`: the size of the picture, and the name and corners of each object.
A document type is refused before it is read, so no entity is ever expanded and nothing else is opened.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple
from xml.parsers import expat

from thalweg.errors import FileFormatError, explain

MOST_DEPTH = 32
CORNERS = ("xmin", "ymin", "xmax", "ymax")


class Box(NamedTuple):
    """An object: its class, its corners in pixels, and whether the annotators found it hard to see."""

    name: str
    corners: tuple[float, float, float, float]
    difficult: bool = False


class Annotation(NamedTuple):
    """What a file says: (height, width) of the picture, or None where it does not say; and its objects."""

    size: tuple[int, int] | None
    boxes: tuple[Box, ...]


@dataclass
class Element:
    """A tag, the text in it, and what is nested in it."""

    tag: str
    text: str = ""
    inner: list[Element] = field(default_factory=list)

    def find(self, *path: str) -> Element | None:
        """The first element along a path of tags."""
        if not path:
            return self
        below = next((each for each in self.inner if each.tag == path[0]), None)
        return None if below is None else below.find(*path[1:])

    def text_at(self, *path: str) -> str | None:
        found = self.find(*path)
        return None if found is None else found.text.strip()


def read_annotation(content: bytes, where: str) -> Annotation:
    """Parse one annotation; FileFormatError for what is no XML, has a document type, or lacks a corner or a name."""
    root = parse_xml(content, where)
    if root.tag != "annotation":
        raise _bad(f"the outermost element is <{root.tag}>", "<annotation>", where)
    return Annotation(_size(root, where), tuple(_box(each, where) for each in root.inner if each.tag == "object"))


def _size(root: Element, where: str) -> tuple[int, int] | None:
    if root.find("size") is None:
        return None
    height, width = (int(_number(root, ("size", name), where)) for name in ("height", "width"))
    return (height, width) if height > 0 and width > 0 else None


def _box(element: Element, where: str) -> Box:
    name = element.text_at("name")
    if not name:
        raise _bad("an object without a <name>", "<name>class</name>", where)
    left, top, right, bottom = (_number(element, ("bndbox", corner), where) for corner in CORNERS)
    return Box(name, (left, top, right, bottom), element.text_at("difficult") == "1")


def _number(element: Element, path: tuple[str, ...], where: str) -> float:
    text = element.text_at(*path)
    try:
        number = math.nan if text is None else float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _bad(f"<{'/'.join(path)}> holds {text!r}", "a number", where)
    return number


def parse_xml(content: bytes, where: str) -> Element:
    """A tree of elements, without attributes; FileFormatError for damage, a document type, or deep nesting."""
    top = Element("")
    open_elements = [top]

    def start(tag: str, attributes: dict[str, str]) -> None:
        if len(open_elements) > MOST_DEPTH:
            raise _bad(f"elements nested deeper than {MOST_DEPTH}", "an annotation of Pascal VOC", where)
        open_elements[-1].inner.append(Element(tag))
        open_elements.append(open_elements[-1].inner[-1])

    def end(tag: str) -> None:
        open_elements.pop()

    def text(data: str) -> None:
        open_elements[-1].text += data

    def refuse(*_: object) -> None:
        raise _bad(
            "a document type (<!DOCTYPE ...>)", "plain XML: a document type can open files and fill memory", where
        )

    parser = expat.ParserCreate()
    parser.buffer_text, parser.buffer_size = True, 1 << 16  # a text of many lines is one piece, not a piece a line
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # the last two: encodings that Python does not know
        if isinstance(error, FileFormatError):
            raise
        raise _bad(str(error), "XML", where) from error
    return top.inner[0]


def _bad(received: str, expected: str, where: str) -> FileFormatError:
    return FileFormatError(
        explain(
            "an annotation cannot be read",
            received=received,
            expected=expected,
            where=where,
            remedy='mend the file, or leave it out: on_error="skip"',
        )
    )
