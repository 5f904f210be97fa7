"""What a run did not reach: floors, limits, peers that are ahead, and figures that cannot be trusted.

In: a `Report`. Out: a sentence for each; none if every promise was kept.
"""

from __future__ import annotations

from bench.harness import OURS, Outcome
from bench.peers import SIDES
from bench.report import Report
from bench.rows import PRODUCT_MEAN_FLOOR
from bench.rows_of_images import MEAN_FLOORS
from bench.stability import geometric_mean
from bench.table import amount
from bench.table_of_images import ratios_of
from bench.workloads import TORCH, Workload

_LARGEST_DISAGREEMENT = 1e-3
COMPILE_LIMIT, IMPORT_LIMIT = 0.5, 0.25  # seconds
_SERIES = ("batch", "width")  # their points are read as a curve: a noisy one is no reason to measure again


def shortfalls(report: Report) -> list[str]:
    """Every promise that this run did not keep, and every figure that it does not trust."""
    found = [line for each in report.outcomes for line in _shortfalls_of(each)]
    means = [("matrix products", PRODUCT_MEAN_FLOOR, report.products("single"))]
    means += [(f"rows of the table {table}", floor, report.of(table)) for table, floor in MEAN_FLOORS.items()]
    for name, floor, outcomes in means:
        ratios = ratios_of(outcomes)
        if ratios and geometric_mean(ratios) < floor:
            found.append(f"{name}: {geometric_mean(ratios):.2f} in the mean, asked for {floor}")
    seconds = report.start_times.get("import thalweg")
    if seconds and seconds > IMPORT_LIMIT:
        found.append(f"import thalweg: {seconds:.2f} s, at most {IMPORT_LIMIT} s")
    return found


def _shortfalls_of(outcome: Outcome) -> list[str]:
    row, found = outcome.workload, []
    ratio, mine = outcome.ratio(TORCH), outcome.median(outcome.best(OURS) or "")
    if row.floor is not None and ratio is not None and ratio.value < row.floor:
        found.append(f"{ratio.value:.2f} times PyTorch, asked for {row.floor:g}")
    found += [line for side in row.peers if _counts_alone(row, side) and (line := _behind(outcome, side))]
    if row.limit is not None and mine is not None and mine > row.limit:
        found.append(f"{amount(mine, row.unit)}, at most {amount(row.limit, row.unit)}")
    first = outcome.first_calls.get(OURS)
    if first is not None and first > COMPILE_LIMIT and row.is_compiled and row.table == "single":
        found.append(f"compiled in {first:.2f} s, at most {COMPILE_LIMIT} s")
    if outcome.disagreement > _LARGEST_DISAGREEMENT:
        found.append(f"the first losses disagree: {outcome.first_results}")
    if not outcome.is_stable and row.table not in _SERIES:
        found.append("not stable: the machine is too noisy")
    found += [f"{key}: {reason}" for key, reason in outcome.missing.items()]
    return [f"{row.name}: {line}" for line in found]


def _counts_alone(row: Workload, side: str) -> bool:
    """PyTorch's two ways are one side against the row's floor, unless the row asks for something against one."""
    return side not in TORCH or side in dict(row.floors)


def _behind(outcome: Outcome, side: str) -> str:
    """Nobody may be ahead; against some more than that is asked for."""
    ratio, floor, label = outcome.ratio([side]), outcome.workload.floor_against(side) or 1.0, SIDES[side].label
    if ratio is None or ratio.value >= floor:
        return ""
    if floor == 1:
        return f"{label} is ahead: {ratio.value:.2f}"
    return f"{ratio.value:.2f} times {label}, asked for {floor:.3g}"
