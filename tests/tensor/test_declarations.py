"""What type checkers are told of methods and functions from tables is what there is.

In: the stubs beside the room's modules, and the tables. Out: a failure that says how the stubs are written again.
"""

import ast
import inspect

import pytest

import thalweg as tw
from tests.support.declarations import FILES, Tensor
from tests.typing import a_user

AGAIN = "the tables have changed: python -m tests.support.declarations (then ruff format)"


def lines(text):
    """Without what a formatter may change."""
    return ast.dump(ast.parse(text))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_stub_says_what_the_tables_say(path):
    assert lines(path.read_text(encoding="utf-8")) == lines(FILES[path]()), AGAIN


def test_every_public_method_is_declared_or_written_in_the_class():
    stub = next(path for path in FILES if path.name == "declared.pyi").read_text(encoding="utf-8")
    classes = [node for node in ast.parse(stub).body if isinstance(node, ast.ClassDef)]
    declared = {node.name for node in classes[0].body if isinstance(node, ast.FunctionDef)}
    core = ast.parse(inspect.getsource(Tensor)).body[0]
    written = {node.name for node in ast.walk(core) if isinstance(node, ast.FunctionDef)}
    public = {name for name, value in vars(Tensor).items() if name[0] != "_" and callable(value)}
    assert public <= declared | written


def test_functions_of_the_face_are_declared():
    stub = next(path for path in FILES if path.name == "functions.pyi").read_text(encoding="utf-8")
    named = {node.name for node in ast.parse(stub).body if isinstance(node, ast.FunctionDef)}
    assert all(hasattr(tw, name) for name in named)


def test_the_program_of_a_user_runs():
    loss, count = a_user.main()
    assert 0 < loss < 5
    assert count == 10
