"""The drawing of a range test: loss over learning rate as a small SVG that needs nothing but a browser.

In: rates, losses, the bounds of the picture. Out: an `<svg>` element, also a file of its own: it brings its colours for
light and dark. Pictures of whole runs are drawn in `report`, which comes later in the house and needs matplotlib.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 16, 48
STYLE = """\
.range-test{--ink:#1f2328;--soft:#57606a;--grid:#e6e6e6;--panel:#fff;--blue:#0072b2;--orange:#d55e00;\
font:13px system-ui,sans-serif;max-width:100%;height:auto}
@media (prefers-color-scheme:dark){.range-test{--ink:#e6edf3;--soft:#a3adb8;--grid:#2b333c;--panel:#182029;\
--blue:#56b4e9;--orange:#ff9a4d}}
.range-test text{fill:var(--ink)}.range-test path{fill:none}"""


def figure(
    rates: np.ndarray,
    losses: np.ndarray,
    smooth: np.ndarray,
    bounds: tuple[float, float],
    suggestion: float | None,
    lowest_at: int | None,
) -> str:
    """Each loss thin, the smoothed ones thick, the suggested rate as a line, the lowest smoothed loss as a dot."""
    frame = Frame(float(rates[0]), float(rates[-1]), *bounds)
    parts = [*_axes(frame), _path(frame, rates, losses, "--blue", 1, 0.35), _path(frame, rates, smooth, "--blue", 2.5)]
    if lowest_at is not None:
        place = frame.x(rates[lowest_at]), frame.y(smooth[lowest_at])
        parts.append(f'<circle cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="5" style="fill:var(--blue)"/>')
    if suggestion is not None and rates[0] <= suggestion <= rates[-1]:
        parts += _mark(frame, suggestion)
    words = "no suggestion" if suggestion is None else f"suggested: {suggestion:.2g}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="range-test" role="img" aria-label="Loss over learning rate, '
        f'{words}" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"><style>{STYLE}</style>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6" style="fill:var(--panel)"/>{"".join(parts)}</svg>'
    )


class Frame:
    """Where a rate (on a logarithmic axis) and a loss stand in the drawing."""

    def __init__(self, first: float, last: float, low: float, high: float) -> None:
        self.first, self.last, self.low, self.high = first, last, low, high

    def x(self, rate: float) -> float:
        share = math.log(rate / self.first) / (math.log(self.last / self.first) or 1.0)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, loss: float) -> float:
        share = (min(max(loss, self.low), self.high) - self.low) / ((self.high - self.low) or 1.0)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _axes(frame: Frame) -> list[str]:
    parts = []
    for rate in decades(frame.first, frame.last):
        x = frame.x(rate)
        parts += [_line(x, TOP, x, HEIGHT - BOTTOM), _text(x, HEIGHT - BOTTOM + 18, f"{rate:g}", "middle")]
    for loss in round_numbers(frame.low, frame.high):
        y = frame.y(loss)
        parts += [_line(LEFT, y, WIDTH - RIGHT, y), _text(LEFT - 8, y + 4, f"{loss:.6g}", "end")]
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "learning rate", "middle"))
    parts.append(f'<text transform="translate(14 {middle:.0f}) rotate(-90)" text-anchor="middle">loss</text>')
    return parts


def decades(first: float, last: float) -> list[float]:
    """Powers of ten from the first to the last rate, at most nine of them.

    >>> decades(2e-4, 0.1)
    [0.001, 0.01, 0.1]
    """
    low, high = math.ceil(math.log10(first) - 1e-9), math.floor(math.log10(last) + 1e-9)
    every = max(1, math.ceil((high - low + 1) / 9))
    return [float(f"1e{each}") for each in range(low, high + 1, every)]


def round_numbers(low: float, high: float, most: int = 6) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between the bounds.

    >>> round_numbers(0.31, 2.4)
    [0.5, 1.0, 1.5, 2.0]
    """
    least = (high - low) / most
    power = 10.0 ** math.floor(math.log10(least))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= least)
    return [round(each * step, 12) for each in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _path(frame: Frame, rates: np.ndarray, values: Sequence[float] | np.ndarray, colour: str, width: float,
          opacity: float = 1.0) -> str:  # fmt: skip
    points = " ".join(f"{frame.x(rate):.1f},{frame.y(value):.1f}" for rate, value in zip(rates, values, strict=True))
    style = f"stroke:var({colour});stroke-width:{width};opacity:{opacity};stroke-linejoin:round"
    return f'<path d="M{points}" style="{style}"/>'


def _mark(frame: Frame, rate: float) -> list[str]:
    x = frame.x(rate)
    is_left = x < WIDTH / 2
    line = f'<path d="M{x:.1f},{TOP} {x:.1f},{HEIGHT - BOTTOM}" style="stroke:var(--orange);stroke-width:2"/>'
    return [line, _text(x + (8 if is_left else -8), TOP + 14, f"suggested: {rate:.2g}", "start" if is_left else "end")]


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f},{y1:.1f} {x2:.1f},{y2:.1f}" style="stroke:var(--grid)"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
