"""Pictures of what networks for sequences do: the ways of trucks, and what an attention looks at.

In: paths of states, weights of attention with the words of both sides.
Out: PNG files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from thalweg.report.pictures import GREEN, ORANGE, figure, saved, short

CAB, TRAILER = 6.0, 14.0


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


def draw_attention(path: Path, title: str, weights: np.ndarray, read: Sequence[str], written: Sequence[str]) -> Path:
    """Weights (heads, written, read) of attention: a square for each head, the darker the more it looks there."""
    heads = len(weights)
    columns = min(heads, 4)
    rows = -(-heads // columns)
    side = max(2.2, 0.13 * max(len(read), len(written)))
    drawn, axes = figure(side * columns, side * rows + 0.4, nrows=rows, ncols=columns, squeeze=False)
    for each in axes.ravel()[heads:]:
        each.set_axis_off()
    for number, (each, square) in enumerate(zip(axes.ravel(), weights, strict=False)):
        each.imshow(square, cmap="Greys", vmin=0.0, vmax=max(float(square.max()), 1e-6), aspect="auto")
        each.grid(False)
        each.set_title(f"head {number + 1}" if heads > 1 else "", fontsize=8)
        each.set_xticks(range(len(read)), [short(word, 12) for word in read], rotation=90, fontsize=6)
        each.set_yticks(range(len(written)), [short(word, 12) for word in written], fontsize=6)
    drawn.suptitle(title, fontsize=10)
    return saved(drawn, path)
