"""The house stays the way docs/architecture.md draws it: read from the imports of every module, with `ast`.

In: the source files under src/thalweg. Out: failures that name file, line and rule. Nothing is imported, so a rule
holds for a module that does not run yet; and each rule is shown a planted offence, which it must see.
"""

from __future__ import annotations

import ast
import graphlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SOURCE = REPOSITORY / "src"

# A program passes through the rooms in this order; a module imports from its own room and from those before it.
ROOMS = (
    "later", "errors", "dtype", "graph", "ops", "verify", "gradient", "compile", "tensor", "autograd", "nn", "optim",
    "data", "models", "diagnose", "report", "train", "interop", "recipes", "cli", "__main__",
)  # fmt: skip

# Packages that a function may import when it needs them, each with the reason. Those that are not run-time dependencies
# must be imported that way, so that Thalweg works without them or does not wait for them.
LAZY_IMPORTS = {
    "hashlib": "0.002 s to import, with OpenSSL; `import thalweg` hashes nothing",
    "http": "0.02 s to import, with ssl; only a download needs it",
    "llvmlite": "0.15 s to import; reading data or evaluating on NumPy does not need it",
    "matplotlib": "an extra, and 0.7 s to import",
    "PIL": "an extra",
    "rich": "0.03 s to import, and only a terminal needs it",
    "sacrebleu": "an extra",
    "sklearn": "a peer",
    "soundfile": "an extra",
    "tensorboardX": "an extra",
    "tokenizers": "an extra",
    "torch": "a peer, and 2 s to import",
    "urllib": "as http",
}

# Rooms that `import thalweg` does not bring: nobody else pays for what they import of the standard library.
LATER_ROOMS = frozenset({"data", "recipes"})
CHEAP_FOR_LATER_ROOMS = frozenset({"hashlib"})

# Only here are modules imported by name: those that a table of `_LATER` holds, when they are first named.
IMPORTERS_BY_NAME = frozenset({"thalweg/later.py"})
IMPORTS_BY_NAME = ("import_module", "_import_module", "__import__")

MAXIMUM_LINES = 600
LONG_FILES: dict[str, str] = {}  # "thalweg/nn/functional.py": "why it is better as one file"

PRINTING_ROOMS = frozenset({"cli", "report", "recipes", "__main__"})
UNPICKLERS = frozenset({"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"})


@dataclass(frozen=True)
class Import:
    """One imported module, the line it stands on, and whether a function does the importing."""

    target: str
    line: int
    is_lazy: bool

    @property
    def top(self) -> str:
        return self.target.partition(".")[0]


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name and its text."""

    name: str
    text: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""  # "" is the face, thalweg/__init__.py

    @property
    def path(self) -> str:
        return self.name.replace(".", "/") + ("/__init__.py" if self.is_package else ".py")

    def imports(self, names: frozenset[str]) -> list[Import]:
        """Every import; `from a import b` counts as a.b where that is a module of `names`, otherwise as a."""
        return [
            Import(target, node.lineno, is_lazy)
            for node, is_lazy in walk_with_functions(self.tree)
            for target in self._targets(node, names)
        ]

    def _targets(self, node: ast.AST, names: frozenset[str]) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        if not isinstance(node, ast.ImportFrom):
            return []
        base = self._absolute(node)
        candidates = [f"{base}.{alias.name}" for alias in node.names]
        return [candidate if candidate in names else base for candidate in candidates]

    def _absolute(self, node: ast.ImportFrom) -> str:
        if node.level == 0:
            return node.module or ""
        parts = self.name.split(".") + ([""] if self.is_package else [])
        return ".".join(filter(None, [*parts[: -node.level], node.module]))


def walk_with_functions(node: ast.AST, in_function: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Every node below `node`, with whether it stands inside a function."""
    for child in ast.iter_child_nodes(node):
        yield child, in_function
        opens = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from walk_with_functions(child, in_function or opens)


def read_modules(source: Path = SOURCE) -> list[Module]:
    modules = []
    for path in sorted((source / "thalweg").rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules.append(Module(name, path.read_text(encoding="utf-8"), is_package))
    return modules


def offences_of_direction(modules: list[Module]) -> list[str]:
    """Imports of a later room, of a room that is in no list, or of the face."""
    names = frozenset(module.name for module in modules)
    found = []
    for module in modules:
        if module.room == "":
            continue
        if module.room not in ROOMS:
            found.append(f"{module.path}: the room {module.room!r} is not in ROOMS; decide where it stands")
            continue
        for item in module.imports(names):
            if item.top != "thalweg":
                continue
            room = (item.target.split(".") + [""])[1]
            if room == "":
                found.append(f"{module.path}:{item.line}: imports the face; import from the room that defines the name")
            elif room not in ROOMS or ROOMS.index(room) > ROOMS.index(module.room):
                found.append(f"{module.path}:{item.line}: {module.room} imports from {room}, which comes later")
    return found


def offences_of_lazy_imports(modules: list[Module], runtime: frozenset[str]) -> list[str]:
    """Imports inside functions that the table does not allow, and extras imported where everybody pays for them."""
    names = frozenset(module.name for module in modules)
    found = []
    for module in modules:
        for item in module.imports(names):
            if item.is_lazy and item.top not in LAZY_IMPORTS:
                found.append(f"{module.path}:{item.line}: imports {item.target} inside a function")
            if module.room in LATER_ROOMS and item.top in CHEAP_FOR_LATER_ROOMS:
                continue
            if not item.is_lazy and item.top in LAZY_IMPORTS and item.top not in runtime:
                found.append(f"{module.path}:{item.line}: imports {item.top} for everybody: {LAZY_IMPORTS[item.top]}")
        for node in ast.walk(module.tree):
            by_name = isinstance(node, ast.Call) and _callee(node) in IMPORTS_BY_NAME
            if by_name and module.path not in IMPORTERS_BY_NAME:
                found.append(f"{module.path}:{node.lineno}: imports by name, where no reader and no test can see it")
    return found


def cycle_within(modules: list[Module], room: str) -> list[str]:
    """The files of one cycle of imports in a room, or nothing."""
    names = frozenset(module.name for module in modules)
    members = [module for module in modules if module.room == room]
    edges = {
        module.name: {item.target for item in module.imports(names) if item.target in names and not item.is_lazy}
        for module in members
    }
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def offences_of_text(modules: list[Module]) -> list[str]:
    """Missing docstrings, files too long, prints where there is no terminal, anything that could unpickle."""
    found = []
    for module in modules:
        lines = [line for line in (ast.get_docstring(module.tree) or "").splitlines() if line.strip()]
        if len(lines) < 3:
            found.append(f"{module.path}: a module opens with three lines: what for, what comes in, what goes out")
        if len(module.text.splitlines()) > MAXIMUM_LINES and module.path not in LONG_FILES:
            found.append(f"{module.path}: over {MAXIMUM_LINES} lines; split it, or give the reason in LONG_FILES")
        for item in module.imports(frozenset()):
            if item.top in UNPICKLERS:
                found.append(f"{module.path}:{item.line}: imports {item.top}; no file that we load can run code")
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call):
                continue
            if _callee(node) == "print" and isinstance(node.func, ast.Name) and module.room not in PRINTING_ROOMS:
                found.append(f"{module.path}:{node.lineno}: prints; return text, or write to the stream you were given")
            if any(keyword.arg == "allow_pickle" and _is_true(keyword.value) for keyword in node.keywords):
                found.append(f"{module.path}:{node.lineno}: allow_pickle; no file that we load can run code")
    return found


def _callee(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _is_true(node: ast.expr) -> bool:
    return not (isinstance(node, ast.Constant) and node.value is False)


def runtime_dependencies() -> frozenset[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return frozenset(re.split(r"[^\w]", requirement)[0] for requirement in project["dependencies"])


MODULES = read_modules()


def test_imports_point_from_later_rooms_to_earlier_ones():
    assert not (found := offences_of_direction(MODULES)), "\n".join(found)


def test_functions_import_nothing_but_what_the_table_lists():
    assert not (found := offences_of_lazy_imports(MODULES, runtime_dependencies())), "\n".join(found)


@pytest.mark.parametrize("room", ROOMS)
def test_the_files_of_a_room_do_not_import_in_circles(room):
    assert not (cycle := cycle_within(MODULES, room)), " imports ".join(cycle)


def test_modules_explain_themselves_stay_short_and_keep_to_the_rules():
    assert not (found := offences_of_text(MODULES)), "\n".join(found)


def test_long_files_are_listed_only_while_they_are_long():
    long = {module.path for module in MODULES if len(module.text.splitlines()) > MAXIMUM_LINES}
    assert not LONG_FILES.keys() - long


def test_every_file_was_read():
    assert {"errors", "dtype"} <= {module.room for module in MODULES}


def planted(name: str, text: str, is_package: bool = False) -> list[Module]:
    """A house with the rooms graph, tensor and nn, and one more module in it."""
    return [
        *(Module(other, "") for other in ("thalweg.graph", "thalweg.tensor", "thalweg.nn.linear") if other != name),
        Module(name, text, is_package),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("thalweg.graph", "from thalweg.tensor import Tensor"),
        ("thalweg.graph", "from thalweg import tensor"),
        ("thalweg.graph", "import thalweg.tensor"),
        ("thalweg.graph", "from .tensor import Tensor"),
        ("thalweg.graph", "def f():\n    from thalweg.tensor import Tensor"),
        ("thalweg.graph", "if TYPE_CHECKING:\n    from thalweg.tensor import Tensor"),
        ("thalweg.graph", "import thalweg as tw"),
        ("thalweg.cellar", ""),
        ("thalweg.nn.cellar.deep", "from ...train import Trainer"),
    ],
)
def test_a_planted_wrong_direction_is_seen(name, text):
    assert offences_of_direction(planted(name, text))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("thalweg.tensor", "from thalweg.graph import Node"),
        ("thalweg.nn.norm", "from thalweg.nn.linear import Linear"),
        ("thalweg.nn", "from .linear import Linear"),
        ("thalweg", "from thalweg.nn import Linear"),
    ],
)
def test_the_right_direction_is_allowed(name, text):
    assert not offences_of_direction(planted(name, text, is_package=name in ("thalweg", "thalweg.nn")))


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    import os",
        "class A:\n    def f(self):\n        from thalweg import graph",
        "f = lambda: __import__('os')",
        "import importlib\nimportlib.import_module('os')",
        "import matplotlib.pyplot as plt",
    ],
)
def test_a_planted_hidden_import_is_seen(text):
    assert offences_of_lazy_imports(planted("thalweg.nn.plot", text), runtime_dependencies())


def test_a_listed_extra_may_be_imported_where_it_is_used():
    text = "def draw():\n    import matplotlib.pyplot as plt"
    assert not offences_of_lazy_imports(planted("thalweg.nn.plot", text), runtime_dependencies())


def test_a_planted_cycle_is_seen():
    first = Module("thalweg.nn.a", "from thalweg.nn.b import x")
    second = Module("thalweg.nn.b", "from thalweg.nn import a")
    assert cycle_within([first, second], "nn")
    assert not cycle_within([first, Module("thalweg.nn.b", "")], "nn")


EXPLAINED = '"""One\n\nTwo\nThree\n"""\n'


@pytest.mark.parametrize(
    "text",
    [
        "",
        '"""Only one line."""',
        EXPLAINED + "\n" * MAXIMUM_LINES,
        EXPLAINED + "print('hello')",
        EXPLAINED + "import pickle",
        EXPLAINED + "from joblib import load",
        EXPLAINED + "np.load(path, allow_pickle=True)",
    ],
)
def test_a_planted_offence_in_the_text_is_seen(text):
    assert offences_of_text([Module("thalweg.nn.a", text)])


def test_a_well_kept_module_passes():
    text = EXPLAINED + "console.print(np.load(path, allow_pickle=False))"
    assert not offences_of_text([Module("thalweg.nn.a", text)])
    assert not offences_of_text([Module("thalweg.cli", EXPLAINED + "print('hello')")])
