"""The table of single convolutions, and the means of the rows that a mean is asked for.

In: outcomes. Out: Markdown.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.harness import Outcome
from bench.peers import CONVOLUTIONS
from bench.rows_of_images import CONVOLUTION_FLOOR, MEAN_FLOORS
from bench.stability import geometric_mean
from bench.table import markdown, rates_cell
from bench.workloads import TORCH

_PARTS = ("forward", "gradient of the images", "gradient of the weight")


def convolution_table(outcomes: Sequence[Outcome]) -> str:
    """A line for each shape, a column for each part: ratio, and GFLOP/s of both sides."""
    cells: dict[str, dict[str, str]] = {}
    for each in outcomes:
        cells.setdefault(each.workload.title, {})[each.workload.family] = rates_cell(each)
    rows = [[title, *(found.get(part, "—") for part in CONVOLUTIONS)] for title, found in cells.items()]
    return markdown(["images and channels", *_PARTS], rows)


def mean_text(table: str, outcomes: Sequence[Outcome]) -> str:
    """
    >>> mean_text("inference", [])
    ''
    """
    ratios = ratios_of(outcomes)
    if not ratios:
        return ""
    least = f" and {CONVOLUTION_FLOOR}" if table == "convolution" else ""
    return (f"Geometric mean of the ratios: {geometric_mean(ratios):.2f}, {min(ratios):.2f} at least "
            f"(asked for: {MEAN_FLOORS[table]}{least}).")  # fmt: skip


def ratios_of(outcomes: Sequence[Outcome]) -> list[float]:
    """To the better PyTorch time, where there is one."""
    return [ratio.value for each in outcomes if (ratio := each.ratio(TORCH)) is not None]
