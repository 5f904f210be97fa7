"""The face beside PyTorch's: every public name is here with its arguments and defaults, or the page says why not.

In: `torch.nn`, its functional, utils and init, tensor methods, and the table of docs/compatibility.md. Out: a failure
for a name that is in neither, for one that is in both, and for an argument or default that differs.
"""

import inspect
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import thalweg as tw
from thalweg import nn

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]
torch = pytest.importorskip("torch")

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
PLACES = {
    "nn": (torch.nn, nn),
    "F": (torch.nn.functional, nn.functional),
    "utils": (torch.nn.utils, nn.utils),
    "utils.rnn": (torch.nn.utils.rnn, nn.utils.rnn),
    "utils.parametrize": (torch.nn.utils.parametrize, nn.utils.parametrize),
    "utils.parametrizations": (torch.nn.utils.parametrizations, nn.utils.parametrizations),
    "init": (torch.nn.init, nn.init),
    "Tensor": (torch.Tensor, tw.Tensor),
}


def table():
    """(first cell, names of the second cell) of every row."""
    section = PAGE.read_text(encoding="utf-8").partition("## Names that are not here")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| ")][1:]
    return [(where.strip(), re.findall(r"`([^`]+)`", names)) for where, names in rows if "---" not in where]


def excused(place):
    return [name for where, names in table() if where == f"`{place}`" for name in names]


def public(owner):
    listed = owner.__all__ if owner.__name__.startswith("torch.nn.utils.") else dir(owner)
    names = (name for name in listed if not name.startswith("_") and name != "TYPE_CHECKING")
    return [name for name in names if not inspect.ismodule(getattr(owner, name, None))]


@pytest.mark.parametrize("place", PLACES)
def test_every_name_is_here_or_on_the_page(place):
    theirs, ours = PLACES[place]
    patterns = excused(place)
    missing = [name for name in public(theirs) if not hasattr(ours, name)]
    assert not [name for name in missing if not any(fnmatchcase(name, each) for each in patterns)]
    plain = [each for each in patterns if "*" not in each]
    assert not [each for each in plain if each not in missing], "the page excuses what is there, or never was"
    assert not [each for each in patterns if not any(fnmatchcase(name, each) for name in missing)]


def arguments(function):
    signature = inspect.signature(function.__init__ if isinstance(function, type) else function)
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = [each for each in signature.parameters.values() if each.kind not in kinds and each.name != "self"]
    return {each.name: each.default for each in found}


def is_excused(name, argument):
    for where, names in table():
        owners = re.findall(r"`([^`]+)`", where)
        named = not owners or any(fnmatchcase(name, each) for each in owners)
        if where.startswith(("arguments", "defaults")) and named and argument in names:
            return True
    return False


@pytest.mark.parametrize("place", [place for place in PLACES if place != "Tensor"])
def test_arguments_and_defaults_are_the_same(place):
    theirs, ours = PLACES[place]
    different = []
    for name in public(theirs):
        function = getattr(ours, name, None)
        if not callable(function):
            continue
        try:
            expected, found = arguments(getattr(theirs, name)), arguments(function)
        except (TypeError, ValueError):  # PyTorch's functions in C++ have no signature; samples call them
            continue
        for argument, default in expected.items():
            same = argument in found and found[argument] == default
            if not same and not is_excused(name, argument):
                different.append(f"{name}({argument}={default!r}): {found.get(argument, 'not there')!r}")
    assert not different, "\n".join(different)
