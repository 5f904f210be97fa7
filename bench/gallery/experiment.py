"""What an experiment of the gallery is, and how much of it is done: all, or a miniature for a test.

In: nothing. Out: `Experiment`, a record of functions: `measure` gives plain numbers for one seed, from which `draw`
makes a figure and `tell` three sentences. So text and figure can be made again without measuring.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Measured = dict[str, Any]
"""The numbers of one seed, as JSON has them."""
POINTS = 100
"""Of a curve that are kept."""


@dataclass(frozen=True)
class Scale:
    """How much is done."""

    is_miniature: bool = False

    @property
    def seeds(self) -> tuple[int, ...]:
        return (0,) if self.is_miniature else (0, 1, 2)

    def few(self, count: int, most: int = 2) -> int:
        """So many epochs, steps or layers; in miniature at most `most`."""
        return min(count, most) if self.is_miniature else count


@dataclass(frozen=True)
class Experiment:
    """One figure with its three sentences: what was done, what one sees, why."""

    name: str
    title: str
    source: str
    label: str
    """What the figure shows, for whoever cannot see it."""
    measure: Callable[[Scale, int], Measured]
    draw: Callable[[Sequence[Measured]], Any]
    tell: Callable[[Sequence[Measured]], tuple[str, str, str]]
    table: Callable[[Sequence[Measured]], list[Sequence[str]]]
    """Rows of a table, the header first."""


# --- numbers as they are kept ----------------------------------------------------------------------------------------


def plain(value: float) -> float | None:
    """Four digits; None for what is not finite, which JSON does not have."""
    return float(f"{value:.4g}") if math.isfinite(value) else None


def plains(values: Iterable[float]) -> list[float | None]:
    return [plain(float(each)) for each in values]


def curve(values: Sequence[float], x: Sequence[float] | None = None, points: int = POINTS) -> dict[str, Any]:
    """At most so many points: means of neighbours. A block in which something is not finite has no value.

    >>> curve([1.0, 3.0, 5.0, 7.0], points=2)
    {'x': [0.5, 2.5], 'y': [2.0, 6.0]}
    """
    y = np.asarray([math.nan if each is None else each for each in values], np.float64)
    places = np.arange(len(y), dtype=np.float64) if x is None else np.asarray(x, np.float64)
    blocks = np.array_split(np.arange(len(y)), min(points, len(y)))
    return {"x": plains(places[each].mean() for each in blocks), "y": plains(y[each].mean() for each in blocks)}


# --- numbers as they are told ----------------------------------------------------------------------------------------


def column(results: Sequence[Measured], *path: str | int) -> list[Any]:
    """One number of each seed, by the keys that lead to it."""
    found: list[Any] = list(results)
    for key in path:
        found = [each[key] for each in found]
    return found


def mean(values: Sequence[float | None]) -> float:
    """Not a number where one of them is none."""
    return math.nan if any(each is None for each in values) else statistics.fmean(values)  # type: ignore[type-var]


def each_of(values: Sequence[float | None], form: str = ".3g") -> str:
    """The mean, and in brackets each seed's value.

    >>> each_of([0.5, 0.25], ".1%")
    '37.5 % (50.0, 25.0)'
    """
    if form.endswith("%"):
        shown = [number(each, form).removesuffix(" %") for each in values]
        return f"{number(mean(values), form)} ({', '.join(shown)})"
    return f"{number(mean(values), form)} ({', '.join(number(each, form) for each in values)})"


def number(value: float | None, form: str = ".3g") -> str:
    """A number in words of the page; one that is not finite is so called."""
    if value is None or not math.isfinite(value):
        return "not finite"
    return f"{value:{form}}".replace("%", " %").replace("e-0", "e-")
