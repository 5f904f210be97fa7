"""What a learning-rate range test has found: the loss over the rate, its landmarks, a suggestion.

In: the rates that were tried and the loss at each. Out: `LearningRateCurve`, which prints as a few lines, shows in a
notebook and draws itself as SVG, without any package for drawing.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from thalweg.diagnose.learning_rate_figure import figure
from thalweg.tensor.markup import html_table

FACTOR_BELOW_THE_MINIMUM = 10.0
DIVERGED = 3.0
"""Smoothed losses above their lowest by so many times what was gained, or what is left, are no noise any more."""
START, FEWEST_QUIET = 0.1, 5
"""The share of the steps whose rates are too low to change anything."""
CLEARLY = 4.0
"""X"""
COLUMNS, BLOCKS = 60, "▁▂▃▄▅▆▇█"


def smoothed(losses: np.ndarray, smoothing: float) -> np.ndarray:
    """Exponential mean of what came before, without the pull towards 0 of the first ones.

    a_i = β a_(i-1) + (1 - β) L_i, s_i = a_i / (1 - β^(i+1)).

    >>> smoothed(np.array([1.0, 1.0, 4.0]), 0.5)
    array([1.        , 1.        , 2.71428571])
    """
    found, mean = np.empty(len(losses)), 0.0
    for index, loss in enumerate(losses):
        mean = smoothing * mean + (1 - smoothing) * loss
        found[index] = mean / (1 - smoothing ** (index + 1))
    return found


def has_diverged(smooth: np.ndarray) -> bool:
    """Whether the last smoothed loss is not finite, or far above the lowest one.

    Far is 3 max(|lowest|, first - lowest), so a loss that is negative or has come down to nearly 0 is judged by what
    was gained. A loss that falls by nothing may rise to four times its value, as in fastai.

    >>> has_diverged(np.array([2.0, 1.0, 4.1])), has_diverged(np.array([2.0, 0.01, 0.1]))
    (True, False)
    """
    if not len(smooth) or np.isnan(smooth[-1]):
        return bool(len(smooth))
    lowest = float(np.min(smooth))
    return bool(smooth[-1] > lowest + DIVERGED * max(abs(lowest), smooth[0] - lowest))


@dataclass(frozen=True, eq=False)
class LearningRateCurve:
    """The outcome of `find_learning_rate`.

    Attributes:
        rates, losses: each rate that was tried, and the loss of its batch before the update; arrays of one length.
        smoothing: the β of the smoothed losses. highest, steps: the last rate and the number of steps asked for.

    >>> rates = np.geomspace(1e-4, 10, 50)
    >>> losses = 1 - 0.8 / (1 + (0.02 / rates) ** 2) + rates**2
    >>> curve = LearningRateCurve(rates, losses, 0.0, 10.0, 50)
    >>> f"{curve.minimum:.2g} {curve.suggestion:.2g} {curve.steepest:.2g}"
    '0.15 0.015 0.022'
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothing: float
    highest: float
    steps: int

    @cached_property
    def smooth(self) -> np.ndarray:
        """The smoothed losses, up to the last one that is finite."""
        found = smoothed(self.losses, self.smoothing)
        return np.asarray(found[np.isfinite(found)])

    @property
    def has_diverged(self) -> bool:
        """Whether the test ended because the loss did."""
        return len(self.smooth) < len(self.losses) or has_diverged(self.smooth)

    # --- landmarks ---------------------------------------------------------------------------------------------------

    @cached_property
    def lowest_at(self) -> int:
        """Which smoothed loss is lowest; the first ones are means of few, and low by chance."""
        skipped = min(self.quiet_steps, len(self.smooth) - 1)
        return skipped + int(np.argmin(self.smooth[skipped:]))

    @property
    def quiet_steps(self) -> int:
        """So many steps at the beginning show the loss and its noise before anything is learnt."""
        return max(FEWEST_QUIET, int(START * self.steps))

    @property
    def minimum(self) -> float:
        """The rate at which the smoothed loss is lowest: the highest that is of any use."""
        return float(self.rates[self.lowest_at])

    @property
    def steepest(self) -> float:
        """The rate at which the smoothed loss falls fastest over the logarithm of the rate, before its minimum."""
        first = max(0, min(self.quiet_steps, self.lowest_at - 1))
        before = slice(first, max(first + 2, self.lowest_at + 1))
        slopes = np.gradient(self.smooth[before], np.log(self.rates[: len(self.smooth)][before]))
        return float(self.rates[first + int(np.argmin(slopes))])

    @property
    def start(self) -> float:
        """The mean loss of the first steps."""
        return float(self.losses[: self.quiet_steps].mean())

    @property
    def has_learnt(self) -> bool:
        """Whether some rate lowered the smoothed loss by more than its noise and by more than a thousandth.

        The noise of single losses is taken from neighbours, sqrt(mean (L_(i+1) - L_i)² / 2), so that a trend does not
        count; of the start it is divided by sqrt(n), of a smoothed loss multiplied by sqrt((1 - β) / (1 + β)).
        """
        shown = self.losses[: max(self.lowest_at, FEWEST_QUIET) + 1]
        noise = math.sqrt(float((np.diff(shown) ** 2).mean()) / 2)
        error = noise * math.sqrt((1 - self.smoothing) / (1 + self.smoothing) + 1 / self.quiet_steps)
        return self.start - float(self.smooth[self.lowest_at]) > max(CLEARLY * error, 1e-3 * abs(self.start))

    @property
    def suggestion(self) -> float | None:
        """A tenth of `minimum`; None where no rate lowered the loss. The rule of Gugger 2018 and of fastai."""
        return self.minimum / FACTOR_BELOW_THE_MINIMUM if self.has_learnt else None

    # --- text --------------------------------------------------------------------------------------------------------

    @property
    def notes(self) -> list[str]:
        """What to know before the suggestion is taken."""
        if not self.has_learnt:
            return ["No rate lowered the loss: look for another fault (tw.Trainer(..., doctor='advise')), or test with "
                    "more steps."]  # fmt: skip
        if not self.has_diverged and self.lowest_at >= 0.97 * len(self.smooth) - 1:
            return [f"The loss still fell at the last rate tried, {self.rates[-1]:.3g}: raise highest."]
        if self.lowest_at <= self.quiet_steps:
            return [f"The loss was lowest at once, near {self.rates[0]:g}: lower lowest."]
        return []

    def rows(self) -> list[tuple[str, str]]:
        """What was found, as names and texts."""
        ended = "the loss diverged" if self.has_diverged else "all rates were tried"
        lowest = float(self.smooth[self.lowest_at])
        return [
            ("tried", f"{self.rates[0]:.3g} to {self.rates[-1]:.3g}, {len(self.rates)} of {self.steps} steps: {ended}"),
            ("loss", f"{self.start:.4g} at the start, {lowest:.4g} at the lowest (smoothed)"),
            ("lowest at", f"{self.minimum:.3g}"),
            ("falls fastest at", f"{self.steepest:.3g}"),
        ]

    @property
    def heading(self) -> str:
        """The suggestion in words."""
        if self.suggestion is None:
            return "no learning rate to suggest"
        return f"suggested learning rate: {self.suggestion:.2g} (a tenth of where the loss is lowest)"

    def __str__(self) -> str:
        lines = [self.heading, *(f"  {name + ':':17s} {text}" for name, text in self.rows())]
        ends = f"{self.rates[0]:.0e}", f"{self.rates[-1]:.0e}"
        lines += [f"  {'curve:':17s} {ends[0]} {self.line()} {ends[1]}"]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def line(self, columns: int = COLUMNS) -> str:
        """The smoothed loss as a line of blocks, from the lowest rate to the highest."""
        low, high = self.bounds
        places = np.linspace(0, len(self.smooth) - 1, min(columns, len(self.smooth))).round().astype(int)
        shares = (self.smooth[places].clip(low, high) - low) / ((high - low) or 1.0)
        return "".join(BLOCKS[int(each * (len(BLOCKS) - 1) + 0.5)] for each in shares)

    @property
    def bounds(self) -> tuple[float, float]:
        """What a picture shows: from the lowest loss to a quarter above the start. Divergence goes out at the top."""
        low, high = float(self.smooth.min()), max(self.start, float(self.smooth[: self.lowest_at + 1].max()))
        gained = (high - low) or abs(high) or 1.0
        return low - 0.05 * gained, high + 0.25 * gained

    # --- pictures ----------------------------------------------------------------------------------------------------

    def to_svg(self, path: str | os.PathLike[str] | None = None) -> str:
        """The curve as an SVG drawing of its own, for light and dark pages; written to `path` if there is one.

        >>> rates = np.geomspace(1e-3, 1, 20)
        >>> LearningRateCurve(rates, 1 - rates, 0.5, 1.0, 20).to_svg()[:4]
        '<svg'
        """
        text = figure(self.rates[: len(self.smooth)], self.losses[: len(self.smooth)], self.smooth, self.bounds,
                      self.suggestion, self.lowest_at if self.has_learnt else None)  # fmt: skip
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def _repr_html_(self) -> str:
        """The suggestion, the numbers and the curve, for notebooks."""
        notes = "".join(f"<p>{note}</p>" for note in self.notes)
        return f"<p><strong>{self.heading}</strong></p>{notes}{html_table((), self.rows())}{self.to_svg()}"

    def __repr__(self) -> str:
        found = "None" if self.suggestion is None else f"{self.suggestion:.3g}"
        return f"LearningRateCurve({len(self.rates)} rates, suggestion={found})"
