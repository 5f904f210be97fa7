"""Deterministic budgets: what the steps cost is what `budgets.json` says, neither more nor less.

In: the steps and their table. Out: a failure that says which number grew (a regression) or shrank (tighten the table).
`pytest tests/compile/test_budgets.py --rewrite` writes the table anew; its difference belongs into the review.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compile import budgets

ROOT = Path(__file__).resolve().parents[2]
REWRITE = "pytest tests/compile/test_budgets.py --rewrite"


@pytest.fixture(scope="module")
def measured(request: pytest.FixtureRequest) -> dict[str, dict[str, int]]:
    """The costs of all steps, found by a fresh process: no other test has compiled anything in it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.compile.budgets"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    if request.config.getoption("--rewrite"):
        budgets.TABLE.write_text(done.stdout)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", budgets.STEPS)
def test_a_step_costs_what_the_table_says(name: str, measured: dict[str, dict[str, int]]) -> None:
    budget, found = budgets.table().get(name, {}), measured[name]
    more = {what: (budget.get(what, 0), cost) for what, cost in found.items() if cost > budget.get(what, 0)}
    less = {what: (budget[what], cost) for what, cost in found.items() if cost < budget.get(what, 0)}
    assert not more, f"{name} costs more than its budget: {more}"
    assert not less, f"{name} costs less than its budget: {less}. Tighten it: {REWRITE}"


def test_the_table_has_a_row_for_each_step_and_no_other() -> None:
    assert list(budgets.table()) == list(budgets.STEPS)


@pytest.mark.parametrize("name", budgets.STEPS)
def test_warm_loops_compile_once_and_numbers_never(name: str) -> None:
    """What the design promises, whatever the table says."""
    row = budgets.table()[name]
    assert row["warm"] == 1
    assert row.get("new rate", 0) == 0
    assert row.get("ragged", 1) == 1
    assert row["again"] == 0
    assert row.get("undecorated, later", 0) == 0
