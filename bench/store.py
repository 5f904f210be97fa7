"""Figures that are kept: docs/benchmarks.json, beside the page that is made of them.

In: a `Report`, or the file. Out: the file with a line for each run and each row, or the `Report` again. A row that is
measured in another way by now, or no longer, is not read back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from bench.client import REPOSITORY
from bench.harness import Outcome, Plan
from bench.peers import Setting
from bench.prediction import Rates
from bench.report import Report, Run
from bench.rows import ROWS
from bench.workloads import Workload

STORE = REPOSITORY / "docs" / "benchmarks.json"
# What says how a row is read, not how it is measured.
_WORDS = ("title", "floor", "floors", "limit", "table", "rounds", "seconds")
_KEPT = ("first_calls", "first_results", "how", "missing", "set_aside")


def stored(path: Path = STORE) -> Report:
    """What the file has; nothing if there is none."""
    if not path.exists():
        return Report()
    content = json.loads(path.read_text(encoding="utf-8"))
    runs = [_run(each) for each in content["runs"]]
    rows, report = {row.name: row for row in ROWS}, Report()
    for name, kept in content["rows"].items():
        row = rows.get(name)
        if row is not None and kept["measured"] == measured(row):
            outcome = Outcome(row, Plan().for_row(row), seconds=kept["seconds"], **{key: kept[key] for key in _KEPT})
            report.add(outcome, runs[kept["run"]])
    return report


def save(report: Report, path: Path = STORE) -> None:
    """Write the file: what differs between two versions of it is what was measured again."""
    runs: list[Run] = []
    for run in report.runs.values():
        if not any(run is each for each in runs):
            runs.append(run)
    number = {id(run): index for index, run in enumerate(runs)}
    lines = [_line(_plain_run(run)) for run in runs]
    rows = [f"{json.dumps(each.workload.name)}: {_line(_plain_row(each, number[id(report.run_of(each))]))}"
            for each in report.outcomes]  # fmt: skip
    text = '{\n"runs": [\n' + ",\n".join(lines) + '\n],\n"rows": {\n' + ",\n".join(rows) + "\n}\n}\n"
    path.write_text(text, encoding="utf-8")


def measured(row: Workload) -> dict[str, Any]:
    """All that a row's figures depend on, as JSON gives it back; what is as usual need not be said."""
    usual = {each.name: each.default for each in fields(row)}
    told = {
        each: value for each, value in asdict(row).items() if each not in _WORDS and getattr(row, each) != usual[each]
    }
    plain: dict[str, Any] = json.loads(json.dumps(told))
    return plain


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain_row(outcome: Outcome, run: int) -> dict[str, Any]:
    seconds = {key: [_rounded(each) for each in found] for key, found in outcome.seconds.items()}
    kept = {key: getattr(outcome, key) for key in _KEPT}
    return {"run": run, "measured": measured(outcome.workload), "seconds": seconds, **kept}


def _rounded(value: float) -> float:
    """Five digits are more than any clock is good for."""
    return float(f"{value:.5g}")


def _plain_run(run: Run) -> dict[str, Any]:
    rates = [{"setting": asdict(setting), **asdict(rates)} for setting, rates in run.rates.items()]
    return {**vars(run), "rates": rates}


def _run(kept: Mapping[str, Any]) -> Run:
    rates = {
        Setting(**each["setting"]): Rates(each["flops"], {int(size): rate for size, rate in each["bandwidths"].items()})
        for each in kept["rates"]
    }
    return Run(**{**kept, "rates": rates})
