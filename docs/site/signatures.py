"""The signatures of methods and functions that come from tables, which only the stubs know.

In: `tensor/declared.pyi` and `tensor/functions.pyi`. Out: for a public name its arguments and its result, as text.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

ROOM = Path(__file__).parents[2] / "src" / "thalweg" / "tensor"


def signature_of(name: str) -> tuple[str, str] | None:
    """``("(x, dim=None)", "Tensor")``, or None for what is in no stub."""
    return _signatures().get(name)


@functools.cache
def _signatures() -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for prefix, name in (("thalweg.Tensor", "declared.pyi"), ("thalweg", "functions.pyi")):
        tree = ast.parse((ROOM / name).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                key = f"{prefix}.{node.name}"
                if key not in found or len(_said(node)[0]) > len(found[key][0]):  # of overloads the longest
                    found[key] = _said(node)
    return found


def _said(node: ast.FunctionDef) -> tuple[str, str]:
    arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("self")
    result = ast.unparse(node.returns) if node.returns is not None else "None"
    return f"({arguments})".replace("builtins.", ""), result.replace("builtins.", "")
