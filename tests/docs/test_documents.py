"""The documentation is executed: Python blocks, `thalweg` commands, examples, links.

In: README.md and docs/*.md. Out: every block runs and prints what the page says it prints; every internal link leads
somewhere; the table of chain rules knows every primitive that has one.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.pages import PAGES, REPOSITORY, Block, anchors_of, blocks_of, commands_of, links_of
from thalweg.graph import PRIMITIVES

EXAMPLES = sorted((REPOSITORY / "docs" / "examples").glob("*.py"))
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SHELL = ("sh", "bash", "console")
CLI = REPOSITORY / "src" / "thalweg" / "cli.py"


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def check_output(found: str, block: Block, page: Path) -> None:
    if block.expected is None:
        return
    checker = doctest.OutputChecker()
    if not checker.check_output(block.expected, found, OPTIONS):
        example = doctest.Example("", block.expected)
        difference = checker.output_difference(example, found, OPTIONS | doctest.REPORT_NDIFF)
        pytest.fail(f"{name_of(page)}:{block.line} prints something else\n{difference}", pytrace=False)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_blocks_run_and_print_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks_of(page.read_text(encoding="utf-8")):
        if block.language != "python" or block.reason:
            continue
        code = compile("\n" * block.line + block.text, name_of(page), "exec")  # so that errors give the page's line
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        check_output(printed.getvalue(), block, page)


def shell_blocks() -> list[tuple[Path, Block]]:
    found = [(page, block) for page in PAGES for block in blocks_of(page.read_text(encoding="utf-8"))]
    return [
        (page, block) for page, block in found if block.language in SHELL and commands_of(block) and not block.reason
    ]


@pytest.mark.skipif(not CLI.exists(), reason="there is no command line yet")
@pytest.mark.parametrize(
    ("page", "block"), shell_blocks(), ids=lambda each: name_of(each) if isinstance(each, Path) else ""
)
def test_commands_run_and_print_what_the_page_says(page, block, tmp_path):
    start = "import sys; from thalweg.cli import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "COLUMNS": "120", "PYTHONIOENCODING": "utf-8"}
    printed = ""
    for command in commands_of(block):
        arguments = [sys.executable, "-c", start, *shlex.split(command)[1:]]
        done = subprocess.run(
            arguments, capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, env=environment, timeout=120
        )
        assert done.returncode == 0, f"{name_of(page)}: {command}\n{done.stderr}"
        printed += done.stdout
    check_output(printed, block, page)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_internal_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for link in links_of(text):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)}: {link} leads nowhere"
        if anchor and target.suffix == ".md":
            assert anchor in anchors_of(target.read_text(encoding="utf-8")), f"{name_of(page)}: {link}: no such heading"


def test_every_page_is_reached_from_the_first():
    reached, waiting = set(), [REPOSITORY / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        links = [link.partition("#")[0] for link in links_of(page.read_text(encoding="utf-8")) if "://" not in link]
        waiting += [(page.parent / link).resolve() for link in links if link]
    assert not [name_of(page) for page in PAGES if page not in reached]


def test_the_table_of_chain_rules_knows_every_primitive_that_has_one():
    text = (REPOSITORY / "docs" / "backpropagation.md").read_text(encoding="utf-8")
    table = text.partition("## The chain rule of every operation")[2].partition("\n## ")[0]
    assert not [name for name, record in PRIMITIVES.items() if record.chain_rule and f"`{name}`" not in table]


def load(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_examples_run(path, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load(path).main(["--quick"])
    assert capsys.readouterr().out


def test_batch_sizes_are_one_loop():
    example = load(REPOSITORY / "docs" / "examples" / "batch_sizes.py")
    runs = example.compare(epochs=2, examples=200)
    assert [run.updates for run in runs] == [2, 400, 14]  # 200 examples: one step, 200 steps, 6 of 32 and one of 8
    assert all(run.losses[-1] < run.losses[0] for run in runs)


# --- the harness sees what it should ----------------------------------------------------------------------------------

PAGE = """\
# A page, with a heading

[up](#a-page-with-a-heading)

```python
print(0.5)
```
```text
0...
```

<!-- not run: needs a network -->
```sh
$ thalweg explain \\
    --layers 2,2  # note
make test
```
"""


def test_blocks_are_read_with_their_output_and_reasons():
    python, output, shell = blocks_of(PAGE)
    assert (python.language, python.line, python.expected, python.reason) == ("python", 5, "0...\n", None)
    assert (output.language, output.expected) == ("text", None)
    assert shell.reason == "needs a network"
    assert [each.split() for each in commands_of(shell)] == [["thalweg", "explain", "--layers", "2,2"]]
    assert set(links_of(PAGE)) == {"#a-page-with-a-heading"} == {f"#{each}" for each in anchors_of(PAGE)}


def test_wrong_output_is_seen(tmp_path):
    page = REPOSITORY / "README.md"
    with pytest.raises(pytest.fail.Exception, match="prints something else"):
        check_output("1.0\n", blocks_of(PAGE)[0], page)
    check_output("0.5\n", blocks_of(PAGE)[0], page)
