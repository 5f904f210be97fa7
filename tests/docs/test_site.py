"""The site that `make docs` builds: every public name says what it is, has its place on a page, and looks as written.

In: docs/api.txt and the docstrings. Out: a failure for a name without a docstring or without a place; a docstring that
Sphinx would take for something else.
"""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
import zlib

import pytest

from tests.docs.pages import REPOSITORY
from tests.support.public_names import CLASSES, LIST, MODULES, module_named, names_of

SITE = REPOSITORY / "docs" / "site"
NAMES = LIST.read_text(encoding="utf-8").split()


@pytest.fixture
def site(monkeypatch):
    """The modules of docs/site, by name."""
    monkeypatch.syspath_prepend(str(SITE))

    def load(name):
        sys.modules.pop(name, None)
        return importlib.import_module(name)

    return load


def described():
    """Name and what says what it is, of whatever can have a docstring."""
    for module in MODULES:
        for name in names_of(module_named(module)):
            value = getattr(module_named(module), name)
            if inspect.isclass(value):  # not what it inherits: that is about another class
                yield f"{module}.{name}", vars(value).get("__doc__")
            elif inspect.isroutine(value) or inspect.ismodule(value):
                yield f"{module}.{name}", inspect.getdoc(value)
    for owner in CLASSES:
        module, _, last = owner.rpartition(".")
        cls = getattr(module_named(module), last)
        yield from ((f"{owner}.{name}", inspect.getdoc(getattr(cls, name))) for name in dir(cls) if name[0] != "_")


def test_every_public_name_says_what_it_is():
    assert not [name for name, text in described() if not (text or "").strip()]


@pytest.mark.site
def test_every_public_name_has_a_place_on_the_site(tmp_path):
    for package in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(package, reason="the extra `docs` is not installed; `make docs` installs it")
    command = [sys.executable, str(SITE / "build.py"), "--names-only", "--into", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    assert "ERROR" not in done.stderr
    found = places((tmp_path / "html" / "objects.inv").read_bytes())
    assert not [name for name in NAMES if name not in found]
    page, _, anchor = found["thalweg.nn.Linear"].partition("#")
    assert f'id="{anchor}"' in (tmp_path / "html" / page).read_text(encoding="utf-8")


def places(inventory: bytes) -> dict[str, str]:
    """Name -> page#anchor of everything that can be linked to: four lines of words, then lines that are compressed."""
    rows = zlib.decompress(inventory.split(b"\n", 4)[4]).decode().splitlines()
    return {name: place.replace("$", name) for name, _, _, place, *_ in map(str.split, rows)}


@pytest.mark.parametrize(
    ("said", "marked"),
    [
        ("|x| and a * b of weight_", r"\|x\| and a \* b of weight\_"),
        ("`Linear` or `weight / 2`, ``a * b``", "`Linear` or ``weight / 2``, ``a * b``"),
        ("`tw.Trainer`", ":py:obj:`tw.Trainer <thalweg.Trainer>`"),
        ("several `Metric`s", r"several `Metric`\ s"),
        (">>> a * b", ">>> a * b"),
        ("x_i", "x_i"),
    ],
)
def test_formulas_mean_themselves(site, said, marked):
    assert site("docstrings").marked_up([said]) == [marked]


def test_an_indented_formula_is_shown_as_it_stands(site):
    lines = ["With g:", "", "    p <- p - `lr` * g", "", "Args:", "    x: a * b.", "", "    y: more."]
    assert site("docstrings").marked_up(lines) == [
        "With g:", "", "::", "", "    p <- p - lr * g", "", "Args:", r"    x: a \* b.", "", "    y: more.",
    ]  # fmt: skip


def test_signatures_of_tabled_functions_come_from_the_stubs(site):
    of = site("signatures").signature_of
    assert of("thalweg.Tensor.argmax") == ("(dim: int | None=None, keepdim: bool=False)", "Tensor")
    assert of("thalweg.nn.Linear") is None
