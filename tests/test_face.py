"""The face of the package: what `import thalweg` brings, what comes later, and that it waits for nothing heavy.

In: fresh processes that import. Out: failures that name the module that crept in. Counting modules is exact where
timing an import is not; 0.25 s is the promise, and this is what keeps it.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import thalweg as tw
from thalweg.compile import compiler
from thalweg.optim import schedules

# Each costs milliseconds, and a step written by hand needs none of them.
HEAVY = {
    "PIL", "argparse", "asyncio", "concurrent.futures", "csv", "difflib", "email", "gzip", "hashlib",
    "http", "importlib.metadata", "importlib.resources", "json", "llvmlite", "logging", "matplotlib", "multiprocessing",
    "numpy.random", "pathlib", "rich", "safetensors", "secrets", "sklearn", "socket", "sqlite3", "ssl", "subprocess",
    "tempfile", "tomllib", "torch", "unittest", "urllib", "zipfile",
}  # fmt: skip
MOST_MODULES = 140  # of ours, after `import thalweg`


def modules_after(statement: str) -> set[str]:
    """What a fresh process has loaded after the statement and had not loaded after `import numpy`."""
    code = f"import sys, numpy; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.fixture(scope="module")
def imported():
    return modules_after("import thalweg")


def test_import_pulls_in_nothing_heavy(imported):
    assert not HEAVY & imported


def test_import_loads_no_more_of_the_house_than_a_step_needs(imported):
    ours = sorted(name for name in imported if name.partition(".")[0] == "thalweg")
    assert len(ours) <= MOST_MODULES, ours
    assert not [name for name in ours if name.split(".")[1:2] in (["data"], ["train"], ["report"], ["recipes"])]
    for face in (compiler, schedules):
        assert not imported & {module for module, _ in face._LATER.values()}


@pytest.mark.parametrize("name", sorted(compiler._LATER))
def test_the_compiler_comes_when_something_of_it_is_named(name):
    assert modules_after(f"from thalweg.compile import compiler; compiler.{name}") >= {compiler._LATER[name][0]}


@pytest.mark.parametrize("name", sorted(schedules._LATER))
def test_a_schedule_comes_when_it_is_named(name):
    assert modules_after(f"import thalweg; thalweg.optim.schedules.{name}") >= {schedules._LATER[name][0]}


def test_a_schedule_is_found_by_its_name_in_a_configuration_before_anybody_named_it():
    configuration = {"schedule": "Constant", "lr": 0.1}
    made = f"thalweg.optim.SGD([thalweg.zeros(1, requires_grad=True)], lr={configuration})"
    assert "thalweg.optim.schedules.decay" in modules_after(f"import thalweg; {made}")


@pytest.mark.parametrize("name", sorted(tw._LATER))
def test_what_comes_later_is_there_when_it_is_named(name):
    """In a process of its own, where nothing else has imported the room."""
    assert modules_after(f"import thalweg; thalweg.{name}") >= {tw._LATER[name][0]}
    assert modules_after(f"from thalweg import {name}") >= {tw._LATER[name][0]}


@pytest.mark.parametrize("face", [tw, compiler, schedules], ids=lambda face: face.__name__)
def test_the_table_of_what_comes_later_says_what_type_checkers_read(face):
    tree = ast.parse(Path(face.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in guarded.body if isinstance(node, ast.ImportFrom)]
    rooms = {alias.name: node.module for node in imports for alias in node.names}
    assert rooms.keys() == face._LATER.keys()
    for name, module in rooms.items():
        target, attribute = face._LATER[name]
        assert (target, attribute or name) in ((module, name), (f"{module}.{name}", name))


def test_the_face_lists_its_names_and_refuses_others():
    assert set(tw.__all__) <= set(dir(tw))
    assert all(getattr(tw, name) is not None for name in tw.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tw.nothing
