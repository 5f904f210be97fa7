"""Every public name of the library, one a line: what a version promises to keep.

In: the modules that users import from. Out: the text of docs/api.txt, which `python -m tests.support.public_names`
writes and tests/test_public_names.py compares: no name comes or goes by accident.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

MODULES = (
    "thalweg", "thalweg.nn", "thalweg.nn.functional", "thalweg.nn.init", "thalweg.nn.utils",
    "thalweg.nn.utils.parametrizations", "thalweg.nn.utils.parametrize", "thalweg.nn.utils.rnn", "thalweg.autograd",
    "thalweg.autograd.function", "thalweg.autograd.functional", "thalweg.optim",
    "thalweg.optim.lr_scheduler", "thalweg.optim.schedules", "thalweg.optim.swa_utils", "thalweg.data",
    "thalweg.models", "thalweg.diagnose", "thalweg.report", "thalweg.train",
    "thalweg.train.callbacks", "thalweg.train.metrics", "thalweg.errors",
)  # fmt: skip
CLASSES = ("thalweg.Tensor", "thalweg.nn.Module", "thalweg.Trainer")  # whose methods are listed one by one
LIST = Path(__file__).parents[2] / "docs" / "api.txt"


def module_named(name: str) -> ModuleType:
    """`import thalweg.tensor` would give the function of that name, where a module is asked for."""
    importlib.import_module(name)
    return sys.modules[name]


def names_of(module: ModuleType) -> list[str]:
    """What the module lists; without a list, what it defines itself."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    own = (name for name, value in vars(module).items() if inspect.getmodule(value) is module)
    return sorted(name for name in own if not name.startswith("_"))


def public_names() -> Iterator[str]:
    """`module.name` of everything, and the methods of `CLASSES`."""
    for name in MODULES:
        yield from (f"{name}.{each}" for each in names_of(module_named(name)))
    for owner in CLASSES:
        module, _, name = owner.rpartition(".")
        yield from sorted(f"{owner}.{each}" for each in dir(getattr(module_named(module), name)) if each[0] != "_")


def text() -> str:
    return "".join(f"{each}\n" for each in dict.fromkeys(public_names()))


if __name__ == "__main__":
    LIST.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{LIST}: {len(text().splitlines()):,} names\n")
