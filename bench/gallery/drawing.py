"""How the gallery's figures are drawn: the report's axes and colours, each seed thin and the mean thick, small SVG.

In: the numbers of all seeds. Out: figures of matplotlib, and `standalone`, which writes one as an SVG file that follows
light and dark wherever it is shown.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thalweg.report.pictures import COLOURS, figure, logarithmic
from thalweg.report.vector import svg_of

MARKERS = "osD^vP*X"


def pair(left: str, right: str, height: float = 3.7) -> tuple[Any, Any, Any]:
    """A figure of two axes with their titles."""
    drawn, axes = grid((left, right), height)
    return drawn, axes[0], axes[1]


def grid(titles: Sequence[str], height: float = 3.7) -> tuple[Any, Any]:
    """A figure of axes with their titles, two in a row; `height` is that of a row."""
    rows = len(titles) // 2
    drawn, axes = figure(9.6, height * rows, nrows=rows, ncols=2, squeeze=False)
    for each, title in zip(axes.ravel(), titles, strict=True):
        each.set_title(title, fontsize=11)
    return drawn, axes.ravel()


def line(axes: Any, curves: Sequence[Mapping[str, Any]], place: int, label: str) -> None:
    """The curve of each seed thin, their mean thick; of a seed that left the finite numbers only what came before."""
    colour = COLOURS[place % len(COLOURS)]
    values = np.array([[np.nan if y is None else y for y in each["y"]] for each in curves], float)
    x = np.array(curves[0]["x"], float)
    if len(values) > 1:
        for each in values:
            axes.plot(x, each, color=colour, linewidth=0.8, alpha=0.5)
    axes.plot(x, values.mean(0), color=colour, linewidth=1.9, label=label)
    lost = np.flatnonzero(~np.isfinite(values.mean(0)))
    if len(lost) and lost[0]:
        axes.plot(x[lost[0] - 1], values.mean(0)[lost[0] - 1], color=colour, marker="x", markersize=8)


def by_layer(axes: Any, seeds: Sequence[Sequence[float | None]], place: int, label: str) -> None:
    """A number for each layer: the seeds as small dots, their mean as a line."""
    colour = COLOURS[place % len(COLOURS)]
    values = np.array([[np.nan if y is None else y for y in each] for each in seeds], float)
    x = np.arange(1, values.shape[1] + 1)
    few = values.shape[1] <= 10
    thin = {"marker": "o", "markersize": 2.5, "linestyle": "none"} if few else {"linewidth": 0.8}
    for each in values:
        axes.plot(x, each, color=colour, alpha=0.5, **thin)
    axes.plot(x, values.mean(0), color=colour, marker=MARKERS[place] if few else None, linewidth=1.9, label=label)
    axes.xaxis.get_major_locator().set_params(integer=True)


def dots(axes: Any, names: Sequence[str], seeds: Sequence[Sequence[float]], colours: Sequence[int] = ()) -> None:
    """A row for each name: the seeds as dots, their mean as a stroke, from the top down."""
    for place, values in enumerate(seeds):
        colour = COLOURS[(colours[place] if colours else place) % len(COLOURS)]
        height = [len(names) - 1 - place] * len(values)
        axes.plot(values, height, color=colour, marker="o", markersize=5, linestyle="none", alpha=0.7)
        axes.plot([np.mean(values)], height[:1], color=colour, marker="|", markersize=20, markeredgewidth=2.5)
    axes.set_yticks(range(len(names)), list(names)[::-1])
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.margins(x=0.08)


def finish(axes: Any, x: str, y: str, *, is_logarithmic: bool = False, legend: str | None = "best") -> None:
    """Names of the axes, and a legend."""
    axes.set(xlabel=x, ylabel=y)
    if is_logarithmic:
        logarithmic(axes)
    if legend is not None:
        axes.legend(frameon=False, fontsize=9, loc=legend)


def remedy(results: Sequence[Mapping[str, Any]], names: Mapping[str, str], left: str = "") -> Any:
    """The figure of most experiments: gradients of untrained networks by layer, and the loss while they train."""
    drawn, one, two = pair(left or "Gradient that arrives at each layer, untrained", "Training loss")
    for place, (key, label) in enumerate(names.items()):
        by_layer(one, [each[key]["norms"] for each in results], place, label)
        line(two, [each[key]["loss"] for each in results], place, label)
    finish(one, "hidden layer", "gradient that arrives, mean over images", is_logarithmic=True)
    finish(two, "step", "loss", legend=None)
    return drawn


# --- files -----------------------------------------------------------------------------------------------------------


_PLACES = re.compile(r'\b(?:d|x|y|transform)="[^"]*"')
_LONG = re.compile(r"-?\d+\.\d+")
_LETTERS = re.compile(r"font-family: [^;\"]*;? ?")  # the style sheet has them
_NAMES_OF_GROUPS = re.compile(r'<g id="[^"]*">')
_NAMES = re.compile(r'<(?:clipPath|path) id="([^"]*)"')
MANY = 20
"""Points from which a path is a curve: there a tenth of a point cannot be seen, elsewhere a hundredth."""


def _smaller(text: str) -> str:
    """The drawing with fewer letters: shorter places and names, and no names that nobody asks for."""
    for number, name in enumerate(dict.fromkeys(_NAMES.findall(text))):
        text = re.sub(rf"(?<=[\"#]){name}(?=[\")])", f"n{number}", text)
    return _PLACES.sub(_shorter, _NAMES_OF_GROUPS.sub("<g>", _LETTERS.sub("", text)))


def _shorter(found: re.Match[str]) -> str:
    is_curve = found[0].count("\nL ") > MANY
    digits = 1 if is_curve else 2
    text = _LONG.sub(lambda each: f"{float(each[0]):.{digits}f}".rstrip("0").rstrip("."), found[0])
    return text.replace(" \nL ", " ") if is_curve and not re.search("[CQZz]", text) else text


def standalone(drawn: Any, label: str) -> str:
    """The figure as a file of its own: with its colours, on a ground of its own, as wide as it was drawn."""
    text = _smaller(svg_of(drawn, label))
    width, height = re.search(r'viewBox="0 0 (\S+) (\S+)"', text).groups()  # type: ignore[union-attr]
    sheet = importlib.resources.files("thalweg.report").joinpath("page.css").read_text(encoding="utf-8")
    colours = sheet.partition("@media print")[0].strip()
    style = f"<style>{colours}\nsvg text {{ font-family: system-ui, sans-serif !important; fill: var(--ink); }}</style>"
    ground = '<rect width="100%" height="100%" rx="6" style="fill: var(--paper)"/>'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    return re.sub(r"^<svg([^>]*)>", lambda found: f"{opening}{found[1]}>{style}{ground}", text, count=1) + "\n"
