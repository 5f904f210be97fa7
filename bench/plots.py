"""The curves of docs/benchmarks.md: time over batch size and over width, beside the peers.

In: outcomes of the rows of a series. Out: small SVG files in docs/figures, the same bytes for the same figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from bench.harness import Outcome
from bench.peers import SIDES

FOLDER = "figures"
SERIES = {
    "batch": ("batch size, MLP 784-128-10", "µs an example", lambda each: 1e6 / each.workload.batch),
    "width": ("width of both hidden layers, MLP 784-w-w-10, batch 128", "ms a step", lambda each: 1e3),
}
_COLOURS = {"thalweg": "#0b6e4f", "torch": "#d1495b", "torch.compile": "#edae49", "jax": "#30638e"}
_QUIET = {"svg.hashsalt": "thalweg", "svg.fonttype": "none", "font.size": 9}


def value_of(outcome: Outcome) -> int:
    """Where the point stands: batch size or width."""
    return int(outcome.workload.name.rpartition("-")[2])


def draw(outcomes: Sequence[Outcome], documents: Path) -> list[Path]:
    """A file for each series that was measured."""
    paths = []
    for name in SERIES:
        points = [each for each in outcomes if each.workload.table == name]
        if points:
            paths.append(documents / FOLDER / f"{name}.svg")
            paths[-1].parent.mkdir(exist_ok=True)
            _draw(name, points, paths[-1])
    return paths


def _draw(name: str, points: Sequence[Outcome], path: Path) -> None:
    title, unit, scale = SERIES[name]
    with matplotlib.rc_context(_QUIET):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for side, colour in _COLOURS.items():
            found = [(value_of(each), each.median(key) * scale(each)) for each in points if (key := each.best(side))]
            if found:
                axes.plot(*zip(*found, strict=True), marker="o", markersize=3, color=colour, label=SIDES[side].label)
        axes.set(xscale="log", yscale="log", xlabel=title, ylabel=unit)
        axes.set_xticks([value_of(each) for each in points], [f"{value_of(each):,}" for each in points], minor=False)
        axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        figure.savefig(path, metadata={"Date": None})
