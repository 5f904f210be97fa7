"""`make docs`: the guides of docs/*.md and a page for every public module, as a site of HTML in build/docs/html.

In: docs/*.md, and the docstrings of all that docs/api.txt lists. Out: a folder that any web server, or a browser on the
spot, can show. Nothing that is made here is kept in git.
"""

from __future__ import annotations

import argparse
import inspect
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.cmd.build import build_main

from tests.support.public_names import CLASSES, MODULES, module_named, names_of
from thalweg.dtype import DType

SITE = Path(__file__).parent
DOCS = SITE.parent
BUILD = DOCS.parent / "build" / "docs"
COPIED = ("figures", "examples", "from_scratch.py", "api.txt", "benchmarks.json", "results.json", "gallery.json")

API = """Every public name
=================

One page for each module, and one for each of the three classes that everything else is about. A name that is not
listed here (``docs/api.txt`` has them one a line) may change without notice.

The examples below a description are run by the tests of the library, each of them (``pytest src``), and print what is
written there. Formulas stand as one would type them: ``x_i`` is an entry, ``x^2`` a power, ``<-`` what a step does to
a number.

{toctree}
"""


def guides() -> list[str]:
    """The pages that people wrote, in the order of the table on the first one."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    names = [path.name for path in DOCS.glob("*.md") if path.name != "index.md"]
    return sorted(names, key=lambda name: index.find(f"]({name})") % 1_000_000)


def write_pages(source: Path, with_guides: bool = True) -> None:
    """Everything that Sphinx is to read."""
    shutil.rmtree(source, ignore_errors=True)
    (source / "api").mkdir(parents=True)
    pages = {"index.rst": API.format(toctree=_toctree(_pages(), 1))}
    pages |= {f"{name}.rst": page_of(module_named(name)) for name in MODULES}
    pages |= {f"{name}.rst": page_of_class(name, cls) for name, cls in classes()}
    for name, text in pages.items():
        (source / "api" / name).write_text(text, encoding="utf-8")
    if with_guides:
        _copy_guides(source)
    else:
        (source / "index.rst").write_text("API\n===\n\n" + _toctree(["api/index"]), encoding="utf-8")


def _copy_guides(source: Path) -> None:
    for path in [*DOCS.glob("*.md"), *(DOCS / name for name in COPIED)]:
        if path.is_dir():
            shutil.copytree(path, source / path.name)
        elif path.exists():
            shutil.copy(path, source)
    index = source / "index.md"
    trees = {"Guides": [name.removesuffix(".md") for name in guides()], "Reference": ["api/index"]}
    blocks = [f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(names) + "\n```\n"
              for caption, names in trees.items()]  # fmt: skip
    index.write_text(index.read_text(encoding="utf-8") + "".join(blocks), encoding="utf-8")


def classes() -> Iterator[tuple[str, type]]:
    """The classes that have a page of their own, by the name that users know."""
    for name in CLASSES:
        module, _, last = name.rpartition(".")
        yield name, getattr(module_named(module), last)


def _pages() -> list[str]:
    return sorted([*MODULES, *CLASSES], key=lambda name: name.casefold())


def _toctree(names: Iterable[str], depth: int = 2) -> str:
    return f".. toctree::\n   :maxdepth: {depth}\n\n" + "".join(f"   {name}\n" for name in names)


def _heading(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n\n"


def _listed(names: Iterable[str], prefix: str) -> str:
    """The names at the top of a page, each a link to its place."""
    links = " ".join(f":py:obj:`{name} <{prefix}.{name}>`" for name in names)
    return f".. container:: names\n\n   {links}\n\n"


def page_of(module: ModuleType) -> str:
    """A module: what it is for, its names, and what each of them says."""
    public = next(name for name in MODULES if module_named(name) is module)
    names = names_of(module)
    entries = "".join(_entry(public, name, getattr(module, name)) for name in names)
    return f"{_heading(public)}.. automodule:: {public}\n   :no-members:\n\n{_listed(names, public)}{entries}"


def _entry(public: str, name: str, value: Any) -> str:
    full, first = f"{public}.{name}", _first_place(value)
    if full in CLASSES:
        return _constant(public, name, f"A class, which has :doc:`a page of its own <{full}>`.")
    if inspect.ismodule(value):
        place = value.__name__
        return _constant(public, name, f"The module :doc:`{place} <{place}>`." if place in MODULES else "A module.")
    if inspect.isclass(value) and first != full:
        return _constant(public, name, f"The same as :py:obj:`{first}`.")
    if inspect.isclass(value):
        return f".. autoclass:: {full}\n   :members:\n\n"
    return f".. autofunction:: {full}\n\n" if callable(value) else _constant(public, name, about(value))


def _constant(public: str, name: str, text: str) -> str:
    """A name that has no docstring of its own here; what has a page is not listed in the index of names twice."""
    has_page = f"{public}.{name}" in (*MODULES, *CLASSES)
    return f".. py:data:: {name}\n   :module: {public}\n{'   :no-index:' if has_page else ''}\n\n   {text}\n\n"


def _first_place(value: Any) -> str:
    """The name under which a class is described where several modules have it."""
    if not inspect.isclass(value):
        return ""
    owners = (name for name in MODULES if getattr(module_named(name), value.__name__, None) is value)
    listed = (name for name in owners if value.__name__ in names_of(module_named(name)))
    return f"{next(listed, '')}.{value.__name__}"


def about(value: Any) -> str:
    """A sentence about a constant: a module's constants have no docstrings."""
    if isinstance(value, DType):
        return f"The dtype {value.name}: {value.itemsize} bytes an entry."
    if isinstance(value, dict | tuple | list):
        return f"A {type(value).__name__} of {len(value)}: {', '.join(f'``{each}``' for each in value)}."
    documented = inspect.getdoc(type(value)) if type(value).__module__.startswith("thalweg") else None
    return (documented or f"The number {value!r}.").partition("\n\n")[0].replace("\n", "\n   ")


def page_of_class(name: str, cls: type) -> str:
    """A class with all that can be asked of it, in the order of the alphabet."""
    members = sorted(each for each in dir(cls) if not each.startswith("_"))
    entries = []
    for each in members:
        static = inspect.getattr_static(cls, each)
        kind = "autoproperty" if isinstance(static, property) else "automethod" if callable(getattr(cls, each)) else ""
        entries.append(f".. {kind or 'autoattribute'}:: {name}.{each}\n\n")
    return f"{_heading(name)}{_listed(members, name)}.. autoclass:: {name}\n   :no-members:\n\n{''.join(entries)}"


def build(folder: Path, with_guides: bool = True, arguments: Iterable[str] = ()) -> int:
    """Write the pages, and let Sphinx make HTML of them: `folder`/html. 0 when all went well."""
    write_pages(folder / "source", with_guides)
    places = [str(folder / "source"), str(folder / "html")]
    return int(build_main(["-E", "-c", str(SITE), "-d", str(folder / "doctrees"), "-b", "html", *arguments, *places]))


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the site of documentation.")
    parser.add_argument("--into", type=Path, default=BUILD, help="folder, by default build/docs")
    parser.add_argument("--names-only", action="store_true", help="leave the guides out")
    given = parser.parse_args()
    folder, result = given.into, build(given.into, not given.names_only, ["-q"])
    print(f"{folder / 'html' / 'index.html'}")
    return result


if __name__ == "__main__":
    sys.exit(main())
