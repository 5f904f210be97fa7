"""Pictures of what happened in each layer: heat maps of layers over time, profiles from the first layer to the last.

In: `Watched` quantities. Out: figures. Colours are those of cividis, which people with any kind of colour vision read
alike; a quantity that spans powers of ten is shown by its logarithm.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from thalweg.report.pictures import COLOURS, GREY, figure, logarithmic, short, smoothed
from thalweg.report.watched import Watched

MOST_COLUMNS, MOST_ROWS = 240, 48
MOST_BANDS = 8


class Kind(NamedTuple):
    """How a quantity is told: its heading, what is to be seen, whether by its logarithm, and fixed limits."""

    heading: str
    caption: str
    is_logarithmic: bool = False
    limits: tuple[float, float] | None = None


KINDS = {
    "gradient_norm": Kind("Gradient flow", "Norm of the gradient of each layer, before clipping. Layers that learn "
                          "have gradients of a size; one that fades towards the first layer vanishes", True),
    "gradient_rms": Kind("Gradient flow", "Root mean square of each layer's gradient, before clipping. Layers that "
                         "learn have gradients of a size; one that fades towards the first layer vanishes", True),
    "update_ratio": Kind("Update to weight", "What a step changes, as a share of the weights. About 0.001 is usual: "
                         "far less crawls, far more forgets", True),
    "output_rms": Kind("Activations", "Root mean square of what each layer puts out: a signal that fades or grows from "
                       "layer to layer leaves nothing to learn from", True),
    "dead_share": Kind("Dead units", "Share of units that were 0 for every example of an epoch", False, (0, 1)),
    "saturated_share": Kind("Saturated units", "Share of activations at the ends of their range, where the slope is "
                            "almost 0", False, (0, 1)),
    "zero_share": Kind("Zeros among the activations", "Share of exact zeros in what a layer puts out", False, (0, 1)),
    "weight_rms": Kind("Size of the weights", "Root mean square of the weights of each layer", True),
    "update_rms": Kind("Size of the updates", "Root mean square of what a step adds to the weights", True),
}  # fmt: skip
"""The quantities that are drawn as heat maps, in this order."""
PARTS_OF_OTHERS = frozenset({
    "output_mean", "output_std", "output_common", "gradient_mean", "gradient_std", "gradient_largest", "weight_largest",
    "update_largest", "penalty_rms", "data_rms", "learning_rate",
})  # fmt: skip
"""Quantities that no heat map shows: bands or rules are made of them."""


def drawn_quantities(names: Iterable[str]) -> list[str]:
    """Which of the quantities get a heat map: those of `KINDS` in their order, then the user's own.

    >>> drawn_quantities(["own", "weight_rms", "gradient_mean", "gradient_rms"])
    ['gradient_rms', 'weight_rms', 'own']
    """
    given = list(names)
    own = [name for name in given if name not in KINDS and name not in PARTS_OF_OTHERS]
    return [*(name for name in KINDS if name in given), *own]


def kind_of(quantity: str) -> Kind:
    """How a quantity is told; one without an entry goes by its own name.

    >>> kind_of("dead_share").heading, kind_of("own_number").heading
    ('Dead units', 'Own number')
    """
    words = quantity.replace("_", " ").capitalize()
    return KINDS.get(quantity, Kind(words, f"{words} of each layer"))


def draw_heat_map(watched: Watched, kind: Kind) -> Any:
    """Layers from the first (above) to the last, over the iterations."""
    rows = _spread(len(watched.layers), MOST_ROWS)
    values, edges = _binned(watched.values[:, rows], watched.steps)
    shown = _by_logarithm(values) if kind.is_logarithmic else values
    drawn, axes = figure(6.2, float(np.clip(1.5 + 0.24 * len(rows), 2.6, 9.0)))
    axes.grid(False)
    low, high = kind.limits or _limits(shown)
    picture = axes.pcolormesh(edges, np.arange(len(rows) + 1) - 0.5, shown.T, cmap="cividis", vmin=low, vmax=high,
                              rasterized=True)  # fmt: skip
    axes.set_yticks(range(len(rows)), [short(watched.layers[row], 22) for row in rows], fontsize=8)
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel="iteration")
    bar = drawn.colorbar(picture, ax=axes, pad=0.02)
    if kind.is_logarithmic:
        ticks = np.linspace(low, high, 5)
        bar.set_ticks(ticks, labels=[f"{10.0**tick:.1e}".replace("e-0", "e-").replace("e+0", "e+") for tick in ticks])
    return drawn


def draw_profile(watched: Watched, kind: Kind) -> Any:
    """The quantity from the first layer to the last: at the beginning, in the middle, at the end."""
    drawn, axes = figure()
    count = len(watched.steps)
    tenth, half = max(1, count // 10), count // 2
    moments = {"first tenth": slice(0, tenth), "middle": slice(half, half + tenth), "last tenth": slice(-tenth, None)}
    places = np.arange(1, len(watched.layers) + 1)
    positive = True
    for (name, part), colour, mark in zip(moments.items(), COLOURS, "osD", strict=False):
        values = np.nanmedian(_finite(watched.values[part]), axis=0)
        positive = positive and bool((values[np.isfinite(values)] > 0).all())
        axes.plot(places, values, color=colour, marker=mark, markersize=4, linewidth=1.5, label=name)
    if kind.is_logarithmic and positive:
        logarithmic(axes)
    names = [short(each, 14) for each in watched.layers]
    axes.set_xticks(places, names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    if len(places) > 24:
        axes.set_xticks(places[:: -(-len(places) // 24)], names[:: -(-len(places) // 24)])
    axes.set(xlabel="layer, first to last")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=9)
    return drawn


def draw_bands(mean: Watched, spread: Watched) -> Any:
    """Mean and spread of a few layers over time: a line, and a band of one standard deviation around it."""
    rows = _spread(len(mean.layers), MOST_BANDS)
    drawn, axes = figure(6.2, 0.9 + 0.85 * len(rows), nrows=len(rows), sharex=True, squeeze=False)
    for number, (each, row) in enumerate(zip(axes[:, 0], rows, strict=True)):
        known = np.isfinite(mean.values[:, row]) & np.isfinite(spread.values[:, row])
        middle, width = smoothed(mean.values[known, row]), smoothed(spread.values[known, row])
        colour = COLOURS[number % len(COLOURS)]
        each.fill_between(mean.steps[known], middle - width, middle + width, color=colour, alpha=0.25, linewidth=0)
        each.plot(mean.steps[known], middle, color=colour, linewidth=1.4)
        each.axhline(0.0, color=GREY, linewidth=0.6)
        each.set_ylabel(short(mean.layers[row], 14), rotation=0, ha="right", va="center", fontsize=8)
        each.tick_params(labelsize=7)
    axes[-1, 0].set_xlabel("iteration")
    return drawn


# --- what they share -------------------------------------------------------------------------------------------------


def _spread(count: int, most: int) -> list[int]:
    return sorted({round(each) for each in np.linspace(0, count - 1, min(count, most))}) if count else []


def _finite(values: np.ndarray) -> np.ndarray:
    """NaN for what is no number; a column of nothing but NaN becomes one of zeros, so that a median of it is silent."""
    cleaned = np.where(np.isfinite(values), values, np.nan)
    cleaned[:, np.isnan(cleaned).all(axis=0)] = 0.0
    return cleaned


def _binned(values: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The median of each of at most `MOST_COLUMNS` stretches of steps, and the edges of the stretches."""
    width = (steps[-1] - steps[0]) / max(1, len(steps) - 1) if len(steps) > 1 else 1.0
    if len(steps) <= MOST_COLUMNS:
        return values, np.append(steps, steps[-1] + width).astype(np.float64)
    starts = np.unique(np.linspace(0, len(steps), min(len(steps), MOST_COLUMNS) + 1).astype(np.int64))
    parts = [values[first:last] for first, last in pairwise(starts)]
    cells = np.full((len(parts), values.shape[1]), np.nan)
    for place, part in enumerate(parts):
        known = np.isfinite(part).any(axis=0)
        cells[place, known] = np.nanmedian(np.where(np.isfinite(part), part, np.nan)[:, known], axis=0)
    return cells, np.append(steps[starts[:-1]], steps[-1] + width).astype(np.float64)


def _by_logarithm(values: np.ndarray) -> np.ndarray:
    """log10, NaN for what has none: an exact 0 stays empty, as it has no place on such a scale."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(values)
    return np.where(np.isfinite(logs), logs, np.nan)


def _limits(values: np.ndarray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    low, high = (float(each) for each in np.quantile(known, [0.005, 0.995]))
    return (low, high) if high > low else (low - 0.5, high + 0.5)
