"""What has been measured and in which runs: a page grows group by group, and each row knows the run that it is from.

In: outcomes, and what was true while they were measured. Out: a `Report`, which newer runs are merged into. All sides
of a row are of one run: their ratios come from the same rounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.harness import Outcome
from bench.peers import SIDES, Setting
from bench.prediction import Rates
from bench.rows import ROWS

_PLACES = {row.name: place for place, row in enumerate(ROWS)}


@dataclass
class Run:
    """What holds for every row that was measured at one time."""

    machine: str = ""
    date: str = ""
    commit: str = ""
    load: float = 0.0  # the average of the last minute, before anything was measured
    sides: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    rates: dict[Setting, Rates] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    start_times: Mapping[str, float | None] = field(default_factory=dict)


@dataclass
class Report:
    """Rows in the order of measuring, and the run of each by its name."""

    outcomes: list[Outcome] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)

    def add(self, outcome: Outcome, run: Run) -> None:
        """A row as it was measured last."""
        name = outcome.workload.name
        self.outcomes = [each for each in self.outcomes if each.workload.name != name]
        self.outcomes.append(outcome)
        self.outcomes.sort(key=lambda each: _PLACES.get(each.workload.name, len(_PLACES)))
        self.runs[name] = run

    def merge(self, newer: Report) -> None:
        """Rows that were measured again are replaced."""
        for outcome in newer.outcomes:
            self.add(outcome, newer.run_of(outcome))

    def run_of(self, outcome: Outcome) -> Run:
        return self.runs[outcome.workload.name]

    def runs_of(self, outcomes: Iterable[Outcome]) -> list[tuple[Run, list[Outcome]]]:
        """The runs of some rows, each with those that are from it."""
        found: list[tuple[Run, list[Outcome]]] = []
        for each in outcomes:
            run = self.run_of(each)
            mine = next((rows for other, rows in found if other is run), None)
            if mine is None:
                found.append((run, [each]))
            else:
                mine.append(each)
        return found

    def rates_of(self, outcome: Outcome) -> Rates | None:
        """The rates that were measured with a row, under its setting."""
        return self.run_of(outcome).rates.get(outcome.workload.setting)

    @property
    def sides(self) -> list[str]:
        """Every side that some run had, in the order of the columns."""
        there = {side for run in self.runs.values() for side in run.sides}
        return [side for side in SIDES if side in there]

    @property
    def start_times(self) -> Mapping[str, float | None]:
        """How long imports take, from the last run that has timed them."""
        timed = [run for run in self.runs.values() if run.start_times]
        return max(timed, key=lambda run: run.date).start_times if timed else {}

    def of(self, table: str) -> list[Outcome]:
        """The rows of a table, matrix products apart."""
        return [each for each in self.outcomes if each.workload.table == table and each.workload.family != "product"]

    def products(self, table: str) -> list[Outcome]:
        return [each for each in self.outcomes if each.workload.table == table and each.workload.family == "product"]


def report_of(outcomes: Sequence[Outcome], run: Run) -> Report:
    """Rows of one run."""
    report = Report()
    for each in outcomes:
        report.add(each, run)
    return report
