"""Several runs on one page: what they came to, in what they differ, and how they got there.

In: the reports of the runs as data. Out: HTML: a table of results and of the settings that differ, and the curves of
all runs in one picture each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thalweg.report.page import Part, beside, framed, page, wide_table
from thalweg.report.pictures import (
    COLOURS,
    Numbers,
    figure,
    known,
    logarithmic_where_wide,
    measure_name,
    short,
    smoothed,
)
from thalweg.report.run_report import WITHOUT_MATPLOTLIB
from thalweg.report.vector import svg_of

MOST_NAMED = 16
"""Runs that are named beside the curves; the tables name all."""
LINES = ("-", "--", ":", "-.")
"""Beyond the number of colours, the dashes tell runs apart."""


@dataclass
class ComparedRun:
    """One run of a comparison: `results` are numbers by name, `settings` everything that was chosen, as text."""

    name: str
    results: Mapping[str, str]
    settings: Mapping[str, str]
    steps: Mapping[str, Numbers] = field(default_factory=dict)
    epochs: Mapping[str, Numbers] = field(default_factory=dict)


def comparison_page(runs: Sequence[ComparedRun]) -> str:
    """The page. Every run is a row; the settings that all share are left out of the second table."""
    parts = [Part("results", "What they came to", _table(runs, [each.results for each in runs]))]
    differing = [_differing(runs, each) for each in runs]
    if any(differing):
        parts.append(Part("settings", "In what they differ", _table(runs, differing)))
    try:
        curves = beside([framed(svg_of(drawn, caption), caption) for drawn, caption in _curves(runs)])
    except ImportError:
        curves = f"<p>{WITHOUT_MATPLOTLIB}</p>"
    parts.append(Part("course", "How they got there", curves))
    return page(f"{len(runs)} runs compared", parts)


def _table(runs: Sequence[ComparedRun], values: Sequence[Mapping[str, str]]) -> str:
    names = list(dict.fromkeys(name for each in values for name in each))
    rows = [(run.name, *(each.get(name, "") for name in names)) for run, each in zip(runs, values, strict=True)]
    return wide_table(("run", *names), rows, range(1, len(names) + 1))


def _differing(runs: Sequence[ComparedRun], run: ComparedRun) -> dict[str, str]:
    return {
        name: value for name, value in run.settings.items() if any(other.settings.get(name) != value for other in runs)
    }


def _curves(runs: Sequence[ComparedRun]) -> Iterator[tuple[Any, str]]:
    yield _drawn(runs, [(each.steps.get("step", []), each.steps.get("loss", []), True) for each in runs], "iteration",
                 "loss"), "Loss at each iteration, smoothed"  # fmt: skip
    measures = dict.fromkeys(name for each in runs for name in each.epochs if name.startswith("val_"))
    for name in measures:
        columns = [(range(1, 1 + len(each.epochs.get(name, []))), each.epochs.get(name, []), False) for each in runs]
        words = measure_name(name.removeprefix("val_"))
        yield _drawn(runs, columns, "epoch", words), f"{words} of the validation part after each epoch"
    rates = [(each.steps.get("step", []), _above_floor(each.steps.get("learning_rate", [])), False) for each in runs]
    yield _drawn(runs, rates, "iteration", "learning rate"), "Learning rate at each iteration"


def _above_floor(rates: Numbers) -> Numbers:
    """The end of a schedule that goes to 0 is left out: on a logarithmic axis it would be all that is seen."""
    floor = 1e-3 * max((each for each in rates if each is not None), default=0.0)
    return [None if each is None or each < floor else each for each in rates]


def _drawn(runs: Sequence[ComparedRun], columns: Sequence[tuple[Any, Numbers, bool]], x_name: str, y_name: str) -> Any:
    drawn, axes = figure()
    seen: list[float] = []
    for place, (run, (x, y, is_smoothed)) in enumerate(zip(runs, columns, strict=True)):
        places, values = known(x, y)
        values = smoothed(values) if is_smoothed else values
        seen += values.tolist()
        thin = max(1, len(values) // 1000)
        style = {"color": COLOURS[place % len(COLOURS)], "linestyle": LINES[place // len(COLOURS) % len(LINES)]}
        marker = "o" if len(values) == 1 else None
        axes.plot(
            places[::thin],
            values[::thin],
            linewidth=1.6,
            marker=marker,
            label=short(run.name, 28) if place < MOST_NAMED else None,
            **style,
        )
    logarithmic_where_wide(axes, [each for each in seen if np.isfinite(each)])
    axes.set(xlabel=x_name, ylabel=y_name)
    axes.legend(frameon=False, fontsize=8)
    return drawn
