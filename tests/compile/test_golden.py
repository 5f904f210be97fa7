"""The loop text of a fixed zoo of steps is what tests/compile/golden/ says: a changed kernel is seen, and looked at.

In: the zoo, compiled for a pinned target, so that the text is the same on every machine. Out: a failure that shows the
changed lines. `pytest tests/compile/test_golden.py --rewrite` writes the files anew; read the difference before you
commit it.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from tests.support.zoo import ZOO, program_of
from thalweg.compile.executable import layout_of
from thalweg.compile.inside.listing import print_kernels
from thalweg.compile.target import compiling_for

GOLDEN = Path(__file__).parent / "golden"
TARGET = "x86-64-v3"


def text_of(name: str) -> str:
    with compiling_for(TARGET):
        return print_kernels(layout_of(program_of(name)), with_lines=False) + "\n"


@pytest.mark.parametrize("name", ZOO)
def test_loop_text_is_the_golden_text(name: str, request: pytest.FixtureRequest) -> None:
    path, text = GOLDEN / f"{name}.txt", text_of(name)
    if request.config.getoption("--rewrite"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    golden = path.read_text(encoding="utf-8")
    if text != golden:
        changes = "\n".join(
            difflib.unified_diff(golden.split("\n"), text.split("\n"), "golden", "now", lineterm="", n=1)
        )
        pytest.fail(f"the kernels of {name} have changed (--rewrite accepts that):\n{changes[:6000]}", pytrace=False)


def test_every_golden_file_belongs_to_a_step_of_the_zoo() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(ZOO)


def test_golden_text_does_not_depend_on_the_machine_or_on_chance() -> None:
    assert text_of("mlp_adam") == text_of("mlp_adam")
