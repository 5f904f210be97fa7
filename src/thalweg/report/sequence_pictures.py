"""Pictures of what networks for sequences do: the ways of trucks, and what an attention looks at.

In: paths of states, weights of attention with the words of both sides.
Out: PNG files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from thalweg.report.pictures import GREEN, ORANGE, figure, saved, short

CAB, TRAILER = 6.0, 14.0
MOST_BESIDE = 4
"""Squares in a row."""


def draw_trajectories(path: Path, ways: np.ndarray, is_docked: np.ndarray, others: np.ndarray | None = None) -> Path:
    """The ways of trucks to the dock, seen from above.

    Args:
        ways: (steps, trucks, 4): x, y, the angle of the trailer and of the cab against it, as `TruckBackerUpper.path`
            gives them. is_docked: bool (trucks,); their ways are green, others orange.
        others: where further trucks came to stand, (n, 4), as points.
    """
    drawn, axes = figure(7.2, 5.2)
    for number in range(ways.shape[1]):
        colour = GREEN if is_docked[number] else ORANGE
        axes.plot(ways[:, number, 0], ways[:, number, 1], color=colour, linewidth=1.0, alpha=0.8)
        _draw_truck(axes, ways[0, number], "#888888", 0.7)
        _draw_truck(axes, ways[-1, number], colour, 1.0)
    if others is not None and len(others):
        axes.plot(others[:, 0], others[:, 1], ".", color=ORANGE, markersize=3, label="the ends of all that missed it")
        axes.legend(frameon=False, loc="upper right")
    axes.plot([0, 0], [-3, 3], color="#222222", linewidth=4)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("metres in front of the dock")
    axes.set_ylabel("metres beside it")
    return saved(drawn, path)


def _draw_truck(axes: object, state: np.ndarray, colour: str, strength: float) -> None:
    """The trailer as a line from its end to the coupling, and the cab as a thinner one on from there."""
    x, y, trailer, cab = (float(each) for each in state)
    coupling = x + TRAILER * np.cos(trailer), y + TRAILER * np.sin(trailer)
    front = coupling[0] + CAB * np.cos(trailer + cab), coupling[1] + CAB * np.sin(trailer + cab)
    plot = axes.plot  # type: ignore[attr-defined]
    plot([x, coupling[0]], [y, coupling[1]], color=colour, linewidth=2.4, alpha=strength, solid_capstyle="butt")
    plot([coupling[0], front[0]], [coupling[1], front[1]], color=colour, linewidth=1.2, alpha=strength)


class Square(NamedTuple):
    """Weights (written, read) of an attention, with the words of both sides, and what to call it."""

    name: str
    weights: np.ndarray
    read: Sequence[str]
    written: Sequence[str]


def draw_attention(path: Path, title: str, squares: Sequence[Square]) -> Path:
    """A square for each head or sentence, the darker the more is looked there: words read across, written down."""
    columns = min(len(squares), MOST_BESIDE)
    rows = -(-len(squares) // columns)
    side = max(2.2, 0.13 * max(max(len(each.read), len(each.written)) for each in squares))
    drawn, axes = figure(side * columns, side * rows + 0.4, nrows=rows, ncols=columns, squeeze=False)
    for each in axes.ravel()[len(squares) :]:
        each.set_axis_off()
    for each, square in zip(axes.ravel(), squares, strict=False):
        _draw_square(each, square)
    drawn.suptitle(title, fontsize=10)
    return saved(drawn, path)


def _draw_square(axes: Any, square: Square) -> None:
    weights = square.weights
    axes.imshow(weights, cmap="Greys", vmin=0.0, vmax=max(float(weights.max()), 1e-6), aspect="auto")
    axes.grid(False)
    axes.set_title(square.name, fontsize=8)
    axes.set_xticks(range(len(square.read)), [short(word, 12) for word in square.read], rotation=90, fontsize=6)
    axes.set_yticks(range(len(square.written)), [short(word, 12) for word in square.written], fontsize=6)
