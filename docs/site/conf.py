"""How Sphinx makes the site of documentation; `make docs` runs build.py, which writes the pages that this reads.

In: the pages in the folder `source` of the build, and the docstrings of the library. Out: HTML. Docstrings are written
for people who read them in a terminal, so Sphinx is told what they are: text with `names` in backticks, in which | and
* and _ mean themselves.
"""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2] / "src"), str(Path(__file__).parents[2]), str(Path(__file__).parent)]

from docstrings import marked_up
from signatures import signature_of
from sphinx import addnodes

import thalweg as tw

project = "Thalweg"
author = "the authors of Thalweg"
version = release = tw.__version__
html_title = f"Thalweg {version}"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser"]
myst_heading_anchors = 4
# Links to files of the repository that are no pages (tests/docs looks at them); short names that several classes have.
suppress_warnings = ["myst.xref_missing", "ref.python"]
default_role = "py:obj"  # `Linear` is a link if there is such a name, else code
add_module_names = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
toc_object_entries = False
maximum_signature_line_length = 140
html_theme = "furo"
html_theme_options = {"navigation_with_keys": True}
html_static_path = [str(Path(__file__).parent / "static")]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
pygments_style, pygments_dark_style = "friendly", "monokai"


def _docstring(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = marked_up(lines)


def _signature(app: Any, what: str, name: str, thing: Any, options: Any, said: Any, result: Any) -> Any:
    """What comes from a table has its signature in a stub; anything else is as Sphinx finds it."""
    return (signature_of(name) if what != "property" else None) or (said, result)


def _builtins_are_pythons(app: Any, doctree: Any) -> None:
    """`float` in a signature is Python's, not the dtype of that name."""
    for reference in list(doctree.findall(addnodes.pending_xref)):
        if reference.get("reftype") == "class" and hasattr(builtins, str(reference.get("reftarget"))):
            first = reference.children[0]  # short and long form, one of which is to be chosen
            chosen = first.children if isinstance(first, addnodes.pending_xref_condition) else reference.children
            reference.replace_self(chosen)


def setup(app: Any) -> None:
    app.connect("doctree-read", _builtins_are_pythons)
    app.connect("autodoc-process-docstring", _docstring, priority=100)  # before napoleon, which writes markup
    app.connect("autodoc-process-signature", _signature)
