"""Words and tables for what was measured: on the terminal, and as docs/benchmarks.md.

In: outcomes and the machine's description. Out: Markdown text without any path of this machine.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.harness import OURS, Outcome
from bench.peers import SIDES
from bench.prediction import Rates, predict
from bench.stability import Ratio, geometric_mean
from bench.workloads import PRODUCT_FLOOR, PRODUCT_MEAN_FLOOR, TORCH

_LARGEST_DISAGREEMENT = 1e-3
COMPILE_LIMIT, IMPORT_LIMIT = 0.5, 0.25  # seconds


@dataclass
class Report:
    """Everything that one run of the harness found out."""

    machine: str
    threads: int
    sides: list[str]
    versions: Mapping[str, str]
    rates: Rates
    outcomes: list[Outcome] = field(default_factory=list)
    start_times: Mapping[str, float | None] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    load: float = 0.0
    date: str = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).date().isoformat())

    @property
    def rows(self) -> list[Outcome]:
        return [each for each in self.outcomes if each.workload.family != "product"]

    @property
    def products(self) -> list[Outcome]:
        return [each for each in self.outcomes if each.workload.family == "product"]


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """
    >>> print(markdown(["a", "b"], [["1", "2"]]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    return "\n".join("| " + " | ".join(each) + " |" for each in [head, ["---"] * len(head), *rows])


def time(seconds: float | None) -> str:
    """
    >>> [time(each) for each in (3.21e-6, 4.56e-4, 0.0789, None)]
    ['3.21 µs', '456 µs', '78.9 ms', '—']
    """
    if seconds is None:
        return "—"
    value, unit = (seconds * 1e6, "µs") if seconds < 1e-3 else (seconds * 1e3, "ms")
    return f"{value:.3g} {unit}" if value < 999.5 else f"{value:,.0f} {unit}"


# --- steps and operations --------------------------------------------------------------------------------------------


def main_table(report: Report) -> str:
    peers = [side for side in report.sides if side != OURS]
    labels = [SIDES[side].label for side in report.sides]
    head = ["workload", *labels, "PyTorch / Thalweg", "asked for", *_labels_of_other_peers(peers), "predicted floor"]
    return markdown(head, [_row(report, each, peers) for each in report.rows])


def _labels_of_other_peers(peers: Sequence[str]) -> list[str]:
    return [f"{SIDES[side].label} / Thalweg" for side in peers if side not in TORCH]


def _row(report: Report, outcome: Outcome, peers: Sequence[str]) -> list[str]:
    times = [time(outcome.median(outcome.best(side) or "")) for side in report.sides]
    others = [ratio_text(outcome.ratio([side]), outcome) for side in peers if side not in TORCH]
    ours = ratio_text(outcome.ratio(TORCH), outcome)
    return [outcome.workload.title, *times, f"**{ours}**" if ours != "—" else ours, _asked(outcome), *others,
            prediction_text(report, outcome)]  # fmt: skip


def ratio_text(ratio: Ratio | None, outcome: Outcome) -> str:
    """The ratio; with its uncertainty where that is larger than the plan asks for."""
    if ratio is None:
        return "—"
    value = f"{ratio.value:.2f}" if ratio.value < 10 else f"{ratio.value:.1f}"
    return value if ratio.uncertainty <= outcome.plan.tolerance else f"{value} ± {100 * ratio.uncertainty:.0f} %"


def _asked(outcome: Outcome) -> str:
    row = outcome.workload
    if row.limit is not None:
        return f"at most {time(row.limit)}"
    return "—" if row.floor is None else f"at least {row.floor:g}"


def prediction_text(report: Report, outcome: Outcome) -> str:
    """Arithmetic, traffic and the floor that they set; how much of the measured time that is."""
    prediction, measured = predict(outcome.workload), outcome.median(outcome.best(OURS) or "")
    if prediction is None:
        return "—"
    floor = prediction.floor(report.rates)
    share = f", {100 * floor / measured:.0f} % of the time" if measured else ""
    work = [f"{prediction.flops / 1e6:.3g} MFLOP"] if prediction.flops else []
    return f"{time(floor)}{share} ({', '.join([*work, f'{prediction.bytes / 1e6:.3g} MB'])})"


# --- products --------------------------------------------------------------------------------------------------------

_TURNS = {(False, False): "A B", (False, True): "A Bᵀ", (True, False): "Aᵀ B", (True, True): "Aᵀ Bᵀ"}


def product_table(report: Report) -> str:
    """A line for each shape, a column for each transposition: ratio, and GFLOP/s of both sides."""
    cells: dict[str, dict[tuple[bool, bool], str]] = {}
    for each in report.products:
        cells.setdefault(each.workload.title, {})[each.workload.transposes] = _product_cell(each)
    turns = list(_TURNS)
    rows = [[title, *(found.get(turn, "—") for turn in turns)] for title, found in cells.items()]
    return markdown(["rows x inner x columns", *_TURNS.values()], rows)


def _product_cell(outcome: Outcome) -> str:
    ratio, work = ratio_text(outcome.ratio(TORCH), outcome), predict(outcome.workload)
    assert work is not None
    keys = [outcome.best(side) for side in (OURS, "torch")]
    speeds = [f"{work.flops / seconds / 1e9:.0f}" for key in keys if key and (seconds := outcome.median(key))]
    return f"**{ratio}** ({' : '.join(speeds)})"


# --- what falls short ------------------------------------------------------------------------------------------------


def shortfalls(report: Report) -> list[str]:
    """Every promise that this run did not keep, and every figure that it does not trust."""
    found = [line for each in report.outcomes for line in _shortfalls_of(each)]
    ratios = [ratio.value for each in report.products if (ratio := each.ratio(TORCH)) is not None]
    if ratios and geometric_mean(ratios) < PRODUCT_MEAN_FLOOR:
        found.append(f"matrix products: {geometric_mean(ratios):.2f} in the mean, asked for {PRODUCT_MEAN_FLOOR}")
    seconds = report.start_times.get("import thalweg")
    if seconds and seconds > IMPORT_LIMIT:
        found.append(f"import thalweg: {seconds:.2f} s, at most {IMPORT_LIMIT} s")
    return found


def _shortfalls_of(outcome: Outcome) -> list[str]:
    row, found = outcome.workload, []
    ratio, mine = outcome.ratio(TORCH), outcome.median(outcome.best(OURS) or "")
    if row.floor is not None and ratio is not None and ratio.value < row.floor:
        found.append(f"{ratio.value:.2f} times PyTorch, asked for {row.floor:g}")
    for side in row.peers:
        other = outcome.ratio([side])
        if side not in TORCH and other is not None and other.value < 1:
            found.append(f"{SIDES[side].label} is ahead: {other.value:.2f}")
    if row.limit is not None and mine is not None and mine > row.limit:
        found.append(f"{time(mine)}, at most {time(row.limit)}")
    first = outcome.first_calls.get(OURS)
    if first is not None and first > COMPILE_LIMIT and row.is_compiled:
        found.append(f"compiled in {first:.2f} s, at most {COMPILE_LIMIT} s")
    if outcome.disagreement > _LARGEST_DISAGREEMENT:
        found.append(f"the first losses disagree: {outcome.first_results}")
    if not outcome.is_stable:
        found.append("not stable: the machine is too noisy")
    found += [f"{key}: {reason}" for key, reason in outcome.missing.items()]
    return [f"{row.name}: {line}" for line in found]


# --- start-up and compilation ----------------------------------------------------------------------------------------


def compile_table(report: Report) -> str:
    """Seconds of the first call: tracing and compiling, once for each shape."""
    sides = [side for side in report.sides if side != "torch"]
    rows = [
        [each.workload.title, *(_seconds(each.first_calls.get(each.best(side) or "")) for side in sides)]
        for each in report.rows
        if each.workload.is_compiled and each.workload.family != "overhead_read"  # the same program as "overhead"
    ]
    return markdown(["first call", *(SIDES[side].label for side in sides)], rows)


def start_table(report: Report) -> str:
    rows = [[name, _seconds(seconds)] for name, seconds in report.start_times.items()]
    return markdown(["in a fresh process", "median"], rows)


def _seconds(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f} s"


def summary(report: Report) -> str:
    """Geometric means over the rows that a floor stands at, and where the figures come from."""
    ratios = [r.value for each in report.rows if each.workload.floor and (r := each.ratio(TORCH)) is not None]
    products = [r.value for each in report.products if (r := each.ratio(TORCH)) is not None]
    lines = (
        [f"Geometric mean over the rows with a floor: {geometric_mean(ratios):.2f} times PyTorch."] if ratios else []
    )
    if products:
        lines.append(f"Matrix products: {geometric_mean(products):.2f} in the geometric mean, {min(products):.2f} at "
                     f"least (asked for: {PRODUCT_MEAN_FLOOR} and {PRODUCT_FLOOR}).")  # fmt: skip
    return "\n".join(lines)


def origin(report: Report) -> str:
    """Machine, threads, date, versions, and the rates that predictions use."""
    packages = ", ".join(f"{name} {number}" for name, number in report.versions.items())
    bandwidths = ", ".join(
        f"{rate / 1e9:.0f} GB/s on {size >> 20} MiB" for size, rate in sorted(report.rates.bandwidths.items()) if size
    )
    lines = [
        f"Measured on {report.date} on {report.machine}, {report.threads} thread{'s' * (report.threads > 1)} on each "
        f"side, load average {report.load:.2f} before the start; {packages}.",
        f"Rates for the predictions: {report.rates.flops / 1e9:.0f} GFLOP/s, {bandwidths}.",
        *(f"Left out: {SIDES[side].label}: {reason}." for side, reason in report.left_out.items()),
    ]
    return "\n".join(lines)
