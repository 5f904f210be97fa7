"""Names of a module that are imported when somebody first asks for them.

In: the module's name, and where each of the names lies. Out: its `__getattr__` and `__dir__` (PEP 562), so that an
import waits for nothing that is not used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def later(module: str, names: Mapping[str, tuple[str, str]]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """The two functions of `module`; `names` maps each name to a module and its attribute, "" for the module itself.

    A name that was asked for once is an ordinary one from then on.
    """

    def get(name: str) -> object:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        room, attribute = names[name]
        found = import_module(room)
        value = getattr(found, attribute) if attribute else found
        setattr(sys.modules[module], name, value)
        return value

    def every() -> list[str]:
        return sorted({*vars(sys.modules[module]), *names})

    return get, every
