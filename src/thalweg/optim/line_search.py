"""A line search that ends where the strong Wolfe conditions hold: lower than before, and flatter.

In: the loss and its slope along a direction, at any distance. Out: a point that is low and flat enough, or the lowest
that was found. Nocedal and Wright 2006, "Numerical optimization", algorithms 3.5 and 3.6, with the safeguards of
Schmidt's minFunc that PyTorch has too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# The loss must fall by a ten-thousandth of what the slope promises; the slope must become a tenth flatter.
SUFFICIENT_DECREASE, CURVATURE = 1e-4, 0.9


class Point(NamedTuple):
    """A place on the line: how far, the loss there, its gradient, and the slope along the line."""

    t: np.float64
    loss: np.float64
    gradient: np.ndarray
    slope: np.float64


Evaluate = Callable[[np.float64], Point]


def strong_wolfe(
    evaluate: Evaluate, start: Point, t: np.float64, most: int, reach: float, tolerance: float
) -> tuple[Point, int]:
    """The point, and how often the loss was evaluated.

    `t` is tried first; `most` bounds the evaluations after it, `reach` is the largest entry of the direction, and the
    search ends when the bracket times it is shorter than `tolerance`.
    """
    bracket, evaluations, is_done = _bracket(evaluate, start, np.float64(t), most)
    if is_done:
        return bracket[0], evaluations
    return _zoom(evaluate, start, bracket, evaluations, most, reach, tolerance)


def _is_too_high(new: Point, start: Point) -> bool:
    return bool(new.loss > start.loss + SUFFICIENT_DECREASE * new.t * start.slope)


def _is_flat(new: Point, start: Point) -> bool:
    return bool(abs(new.slope) <= -CURVATURE * start.slope)


def _bracket(evaluate: Evaluate, start: Point, t: np.float64, most: int) -> tuple[list[Point], int, bool]:
    """Two points with a good one between them, or a good one."""
    previous, new = start, evaluate(t)
    for iteration in range(max(0, most)):
        if _is_too_high(new, start) or (iteration > 1 and new.loss >= previous.loss):
            return [previous, new], iteration + 1, False
        if _is_flat(new, start):
            return [new], iteration + 1, True
        if new.slope >= 0:
            return [previous, new], iteration + 1, False
        bounds = new.t + 0.01 * (new.t - previous.t), 10 * new.t
        previous, new = new, evaluate(cubic_minimum(previous, new, bounds))
    return [start, new], max(0, most) + 1, False


def _zoom(
    evaluate: Evaluate, start: Point, bracket: list[Point], evaluations: int, most: int, reach: float, tolerance: float
) -> tuple[Point, int]:
    """Narrow the bracket until a point in it is good; its lower end if none turns up."""
    low = 0 if bracket[0].loss <= bracket[1].loss else 1
    has_stalled = False
    while evaluations <= most and abs(bracket[1].t - bracket[0].t) * reach >= tolerance:
        t, has_stalled = _inside(cubic_minimum(bracket[0], bracket[1]), bracket, has_stalled)
        new, high = evaluate(t), 1 - low
        evaluations += 1
        if _is_too_high(new, start) or new.loss >= bracket[low].loss:
            bracket[high] = new
            low = 0 if bracket[0].loss <= bracket[1].loss else 1
            continue
        is_done = _is_flat(new, start)
        if not is_done and new.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = new
        if is_done:
            break
    return bracket[low], evaluations


def _inside(t: np.float64, bracket: list[Point], has_stalled: bool) -> tuple[np.float64, bool]:
    """Twice in a row close to an end is no progress: a tenth of the bracket away from that end instead."""
    first, last = min(each.t for each in bracket), max(each.t for each in bracket)
    margin = 0.1 * (last - first)
    if min(last - t, t - first) >= margin:
        return t, False
    if not has_stalled and first < t < last:
        return t, True
    return (last - margin if abs(t - last) < abs(t - first) else first + margin), False


def cubic_minimum(a: Point, b: Point, bounds: tuple[np.float64, np.float64] | None = None) -> np.float64:
    """Where the cubic through two points with their slopes is lowest, within the bounds (by default, between them).

    Nocedal and Wright, equation 3.59. Half-way where the cubic has no minimum.
    """
    least, most = bounds or (min(a.t, b.t), max(a.t, b.t))
    left, right = (a, b) if a.t <= b.t else (b, a)
    with np.errstate(all="ignore"):
        first = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
        square = first**2 - a.slope * b.slope
        if not square >= 0:
            return (least + most) / 2.0
        root = np.sqrt(square)
        found = right.t - (right.t - left.t) * ((right.slope + root - first) / (right.slope - left.slope + 2 * root))
    return np.float64(min(max(found, least), most))
