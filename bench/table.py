"""Words and tables for what was measured: on the terminal, and as docs/benchmarks.md.

In: outcomes and the machine's description. Out: Markdown text without any path of this machine.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.harness import OURS, Outcome, side_of
from bench.peers import SIDES, Setting
from bench.prediction import Rates, predict
from bench.report import Report, Run
from bench.rows import PRODUCT_FLOOR, PRODUCT_MEAN_FLOOR, group_of
from bench.stability import Ratio, geometric_mean
from bench.workloads import TORCH


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


def amount(value: float | None, unit: str) -> str:
    """
    >>> [amount(0.002, "seconds"), amount(3.21e7, "bytes"), amount(4.0, "kernels"), amount(None, "bytes")]
    ['2 ms', '32.1 MB', '4 kernels', '—']
    """
    if value is None or unit == "seconds":
        return time(value)
    return f"{value / 1e6:.3g} MB" if unit == "bytes" else f"{value:.0f} {unit}"


# --- steps and operations --------------------------------------------------------------------------------------------


def main_table(report: Report, outcomes: Sequence[Outcome]) -> str:
    """A column for the time of each side that has one of the rows, then the ratios."""
    sides = [side for side in report.sides if any(each.best(side) for each in outcomes)]
    others = [side for side in sides if side not in (OURS, *TORCH)]
    head = ["workload", *(SIDES[side].label for side in sides), "PyTorch / Thalweg", "asked for",
            *(f"{SIDES[side].label} / Thalweg" for side in others), "predicted floor"]  # fmt: skip
    return markdown(head, [_row(report, each, sides, others) for each in outcomes])


def _row(report: Report, outcome: Outcome, sides: Sequence[str], others: Sequence[str]) -> list[str]:
    times = [time(outcome.median(outcome.best(side) or "")) for side in sides]
    ours = ratio_text(outcome.ratio(TORCH), outcome)
    return [outcome.workload.title, *times, f"**{ours}**" if ours != "—" else ours, _asked(outcome),
            *(_other_ratio(outcome, side) for side in others), prediction_text(report, outcome)]  # fmt: skip


def _other_ratio(outcome: Outcome, side: str) -> str:
    """The ratio to one peer; what is asked for, where that is more than not to be behind."""
    ratio, floor = ratio_text(outcome.ratio([side]), outcome), outcome.workload.floor_against(side)
    return ratio if ratio == "—" or floor in (None, 1) else f"{ratio} (at least {floor:g})"


def against_table(outcomes: Sequence[Outcome]) -> str:
    """Rows with one opponent each."""
    return markdown(["what", "Thalweg", "opponent", "", "opponent / Thalweg", "asked for"],
                    [_against_row(each) for each in outcomes])  # fmt: skip


def _against_row(outcome: Outcome) -> list[str]:
    row = outcome.workload
    (side,) = row.peers
    mine, theirs = (amount(outcome.median(outcome.best(each) or ""), row.unit) for each in (OURS, side))
    return [row.title, mine, SIDES[side].label, theirs, f"**{ratio_text(outcome.ratio([side]), outcome)}**",
            _asked(outcome) if row.limit is not None else f"at least {row.floor_against(side):.3g}"]  # fmt: skip


def variants_text(outcome: Outcome) -> str:
    """Every way in which a row was run on the sides that have several."""
    known = {key: outcome.median(key) for key in outcome.seconds} | outcome.set_aside
    words = [f"{SIDES[side_of(key)].label} ({key.partition('@')[2]}) {time(known[key])}" for key in known if "@" in key]
    return f"- {outcome.workload.title}: {', '.join(words)}" if words else ""


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
    rates = report.rates_of(outcome)
    if prediction is None or rates is None:
        return "—"
    floor = prediction.floor(rates)
    share = f", {100 * floor / measured:.0f} % of the time" if measured else ""
    work = [_operations(prediction.flops)] if prediction.flops else []
    return f"{time(floor)}{share} ({', '.join([*work, f'{prediction.bytes / 1e6:.3g} MB'])})"


def _operations(flops: float) -> str:
    """
    >>> _operations(5.94e8), _operations(1.56e10)
    ('594 MFLOP', '15.6 GFLOP')
    """
    return f"{flops / 1e6:.3g} MFLOP" if flops < 1e9 else f"{flops / 1e9:.3g} GFLOP"


# --- products --------------------------------------------------------------------------------------------------------

_TURNS = {(False, False): "A B", (False, True): "A Bᵀ", (True, False): "Aᵀ B", (True, True): "Aᵀ Bᵀ"}


def product_table(outcomes: Sequence[Outcome]) -> str:
    """A line for each shape, a column for each transposition: ratio, and GFLOP/s of both sides."""
    cells: dict[str, dict[tuple[bool, bool], str]] = {}
    for each in outcomes:
        cells.setdefault(each.workload.title, {})[each.workload.transposes] = rates_cell(each)
    turns = list(_TURNS)
    rows = [[title, *(found.get(turn, "—") for turn in turns)] for title, found in cells.items()]
    return markdown(["rows x inner x columns", *_TURNS.values()], rows)


def rates_cell(outcome: Outcome) -> str:
    """The ratio to PyTorch, and GFLOP/s on both sides."""
    ratio, work = ratio_text(outcome.ratio(TORCH), outcome), predict(outcome.workload)
    assert work is not None
    keys = [outcome.best(side) for side in (OURS, "torch")]
    speeds = [f"{work.flops / seconds / 1e9:.0f}" for key in keys if key and (seconds := outcome.median(key))]
    return f"**{ratio}** ({' : '.join(speeds)})"


# --- start-up and compilation ----------------------------------------------------------------------------------------


def compile_table(report: Report) -> str:
    """Seconds of the first call: tracing and compiling, once for each shape."""
    sides = [side for side in report.sides if side != "torch" and any(each.best(side) for each in report.of("single"))]
    rows = [
        [each.workload.title, *(_seconds(each.first_calls.get(each.best(side) or "")) for side in sides)]
        for each in report.of("single")
        if each.workload.is_compiled and each.workload.family != "overhead_read"  # the same program as "overhead"
    ]
    return markdown(["first call", *(SIDES[side].label for side in sides)], rows)


def start_table(report: Report) -> str:
    rows = [[name, _seconds(seconds)] for name, seconds in report.start_times.items()]
    return markdown(["in a fresh process", "median"], rows)


def _seconds(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f} s"


def summary(report: Report, table: str) -> str:
    """Geometric means over the rows of a table that a floor stands at."""
    rows, products = (
        [ratio.value for each in outcomes if each.workload.floor and (ratio := each.ratio(TORCH)) is not None]
        for outcomes in (report.of(table), report.products(table))
    )
    lines = [f"Geometric mean over the rows with a floor: {geometric_mean(rows):.2f} times PyTorch."] if rows else []
    if products:
        asked = f" (asked for: {PRODUCT_MEAN_FLOOR} and {PRODUCT_FLOOR})" if table == "single" else ""
        lines.append(f"Matrix products: {geometric_mean(products):.2f} in the geometric mean, {min(products):.2f} at "
                     f"least{asked}.")  # fmt: skip
    return "\n".join(lines)


def came_from(report: Report, outcomes: Sequence[Outcome]) -> str:
    """The run of a table's rows; each run with its rows where there are several."""
    runs = report.runs_of(outcomes)
    words = [f"{_words_of(run)}{'' if len(runs) == 1 else f': {_names(rows)}'}" for run, rows in runs]
    return "\n".join(f"*Measured {each}.*" if len(runs) == 1 else f"- *{each}*" for each in words)


def _words_of(run: Run) -> str:
    commit = f" at {run.commit}" if run.commit else ""
    return f"{run.date[:16].replace('T', ' ')}{commit} on {run.machine}, load average {run.load:.2f} before the start"


def _names(outcomes: Sequence[Outcome]) -> str:
    return ", ".join(each.workload.name for each in outcomes)


def origin(report: Report) -> str:
    """For each run: its groups, date and machine, versions, and the rates that predictions use."""
    return "\n".join(line for run, outcomes in report.runs_of(report.outcomes) for line in _origin_of(run, outcomes))


def _origin_of(run: Run, outcomes: Sequence[Outcome]) -> list[str]:
    groups = ", ".join(dict.fromkeys(group_of(each.workload) for each in outcomes))
    packages = ", ".join(f"{name} {number}" for name, number in run.versions.items())
    return [
        f"- {groups}: {'; '.join(filter(None, [_words_of(run), packages]))}.",
        *(f"  {_rates_text(setting, rates)}" for setting, rates in run.rates.items()),
        *(f"  Left out: {SIDES[side].label}: {reason}." for side, reason in run.left_out.items()),
    ]


def _rates_text(setting: Setting, rates: Rates) -> str:
    bandwidths = ", ".join(
        f"{rate / 1e9:.0f} GB/s on {size >> 20} MiB" for size, rate in sorted(rates.bandwidths.items()) if size
    )
    name = f"{setting.threads} thread{'s' * (setting.threads > 1)}{'' if setting.target == 'native' else ', AVX2'}"
    return f"Rates for the predictions, {name}: {rates.flops / 1e9:.0f} GFLOP/s, {bandwidths}."
