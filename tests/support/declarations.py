"""What type checkers are told of methods and functions that come from tables: stubs, written from the tables.

In: `Tensor` and the tables of `thalweg.tensor.methods`. Out: the text of `tensor/declared.pyi` and `functions.pyi`,
which `python -m tests.support.declarations` writes and tests/tensor/test_declarations.py compares.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from thalweg.tensor.core import Tensor
from thalweg.tensor.methods import _ONLY_FUNCTIONS, FUNCTIONS, IN_PLACE, VIEWS, functions

ROOM = Path(inspect.getfile(Tensor)).parent
HEAD = '''"""{about}

In: the tables of `thalweg.tensor.methods`. Out: signatures, for type checkers alone.
Written by `python -m tests.support.declarations`; a test compares.
"""

import builtins
from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from thalweg.tensor.core import Tensor
{more}
Operand = Tensor | np.ndarray | builtins.float
Dims = builtins.int | Sequence[builtins.int] | None
'''
WORDS = {"Node": "Tensor", "float": "builtins.float", "int": "builtins.int", "bool": "builtins.bool",
         "str": "builtins.str", "object": "Any", "list": "tuple"}  # fmt: skip
OVERLOADED = ("max", "min", "median")


def annotation(text: Any) -> str:
    """An annotation of a function of nodes, in the words of the stub; a method `float` must not hide the type."""
    if text is inspect.Parameter.empty:
        return "Any"
    said = re.sub(r"\b[A-Za-z_]+\b", lambda word: WORDS.get(word[0], word[0]), str(text))
    said = re.sub(r"tuple\[Tensor\]", "tuple[Tensor, ...]", said)
    return said if re.fullmatch(r"[\w\[\]., |]*", said) and _is_known(said) else "Any"


def _is_known(said: str) -> bool:
    known = {"Tensor", "Operand", "Dims", "Sequence", "None", "Any", "ValuesAndIndices", "builtins", "float", "int",
             "bool", "str", "tuple", "np", "ndarray"}  # fmt: skip
    return set(re.findall(r"[A-Za-z_]\w*", said)) <= known


def returned(text: Any) -> str:
    said = annotation(text)
    return "Any" if said == "Tensor | ValuesAndIndices" else said


def signature(function: Callable[..., Any], first: str) -> str:
    """Parameters and result; the first parameter is `self`, or stands by position."""
    found = inspect.signature(function)
    said, only_named = [first], False
    for parameter in list(found.parameters.values())[1:]:
        kind = annotation(parameter.annotation)
        if parameter.kind is parameter.KEYWORD_ONLY and not only_named:
            only_named = True
            said += [] if any(each.startswith("*") for each in said) else ["*"]
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            said.append(f"{stars}{parameter.name}: {kind}")
            continue
        default = "" if parameter.default is parameter.empty else f" = {_literal(parameter.default)}"
        said.append(f"{parameter.name}: {kind}{default}")
    return f"({', '.join(said)}) -> {returned(found.return_annotation)}: ..."


def _literal(value: Any) -> str:
    return repr(value) if isinstance(value, str | int | float | bool | None) else "..."


def _overloads(name: str, first: str, indent: str) -> Iterator[str]:
    for arguments, result in ((f"{first}", "Tensor"), (f"{first}, dim: builtins.int, keepdim: builtins.bool = False",
                              "ValuesAndIndices"), (f"{first}, dim: Tensor", "Tensor")):  # fmt: skip
        if result == "Tensor" and "dim" in arguments and name == "median":
            continue
        yield f"{indent}@overload\n{indent}def {name}({arguments}) -> {result}: ..."


def methods() -> Iterator[str]:
    """A line for each method that `Tensor` has and its class body has not."""
    body = _names_in_body()
    for name in sorted(set(vars(Tensor)) - body):
        value = vars(Tensor)[name]
        if name in OVERLOADED:
            yield from _overloads(name, "self", "    ")
        elif isinstance(value, property):
            yield f"    @property\n    def {name}(self) -> Tensor: ..."
        elif name in FUNCTIONS or name in VIEWS:
            yield f"    def {name}{signature((FUNCTIONS | VIEWS)[name], 'self')}"
        elif name.rstrip("_") in FUNCTIONS and (name[:-1] in IN_PLACE or name.endswith("_")) and name[0] != "_":
            yield f"    def {name}{signature(FUNCTIONS[name[:-1]], 'self')}"
        elif name.startswith("__"):
            yield from _special(name)
        elif callable(value):
            yield f"    def {name}{signature(value, 'self')}"


def _special(name: str) -> Iterator[str]:
    one = ("__neg__", "__abs__", "__invert__", "__pos__")
    if name in one:
        yield f"    def {name}(self) -> Tensor: ..."
    elif name == "__getitem__":
        yield "    def __getitem__(self, index: Any) -> Tensor: ..."
    elif name == "__setitem__":
        yield "    def __setitem__(self, index: Any, value: Any) -> None: ..."
    elif name in ("__eq__", "__ne__"):
        yield f"    def {name}(self, other: Operand) -> Tensor: ...  # type: ignore[override]"
    elif name in ("__lt__", "__le__", "__gt__", "__ge__"):
        yield f"    def {name}(self, other: Operand, /) -> Tensor: ...  # type: ignore[misc]"
    elif callable(vars(Tensor)[name]) and name not in ("__hash__", "__deepcopy__"):
        yield f"    def {name}(self, other: Operand, /) -> Tensor: ..."


def _names_in_body() -> set[str]:
    """What the class says itself, and what every class has."""
    tree = ast.parse((ROOM / "core.py").read_text(encoding="utf-8"))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Tensor").body
    named = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    assigned = {target.id for node in body if isinstance(node, ast.Assign) for target in node.targets
                if isinstance(target, ast.Name)}  # fmt: skip
    return (
        named
        | assigned
        | set(Tensor.__slots__)
        | set(vars(type("Bare", (), {})))
        | {"__slots__", "__hash__"} - {"__eq__"}
    )


def of_functions() -> Iterator[str]:
    """A line for each function of `tw.*` that comes from the tables."""
    for name, function in sorted(functions.items()):
        if name in OVERLOADED:
            yield from _overloads(name, "input: Tensor | np.ndarray, /", "")
        elif name in FUNCTIONS or name in VIEWS:
            of = (FUNCTIONS | VIEWS)[name]
            first = "input: Operand, /" if of.__module__.endswith("arithmetic") or name in ("add", "sub") else \
                "input: Tensor | np.ndarray, /"  # fmt: skip
            yield f"def {name}{signature(of, first)}"
        elif name in _ONLY_FUNCTIONS:
            own = next(iter(inspect.signature(_ONLY_FUNCTIONS[name]).parameters.values()))
            stars = "*" if own.kind is own.VAR_POSITIONAL else ""
            yield f"def {name}{signature(_ONLY_FUNCTIONS[name], f'{stars}{own.name}: {annotation(own.annotation)}')}"
        else:
            own = next(iter(inspect.signature(function).parameters.values()))
            yield f"def {name}{signature(function, f'{own.name}: {annotation(own.annotation)}')}"


def declared() -> str:
    more = "from thalweg.tensor.reductions import ValuesAndIndices as ValuesAndIndices\n"
    head = HEAD.format(about="The methods of `Tensor` that come from tables.", more=more)
    return head + "\nclass Declared:\n    __slots__ = ()\n" + "\n".join(methods()) + "\n"


def functions_stub() -> str:
    more = "from thalweg.tensor.reductions import ValuesAndIndices\n"
    head = HEAD.format(about="The functions of `tw.*` that come from tables.", more=more)
    names = ", ".join(f'"{name}"' for name in sorted(functions))
    return head + f"\n__all__ = [{names}]\n\n" + "\n".join(of_functions()) + "\n"


FILES = {ROOM / "declared.pyi": declared, ROOM / "functions.pyi": functions_stub}

if __name__ == "__main__":
    for path, text in FILES.items():
        path.write_text(text(), encoding="utf-8")
        sys.stdout.write(f"{path}\n")
