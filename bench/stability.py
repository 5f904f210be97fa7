"""Ratios from noisy timings: medians over interleaved rounds, and how sure they are.

In: seconds a call, one number for each round and side. Out: a `Ratio` with an interval; the harness goes on with more
rounds until the interval is narrow, or says that it is not.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """A median of paired ratios, and the interval that holds the true median with about 95 % probability."""

    value: float
    low: float
    high: float

    @property
    def uncertainty(self) -> float:
        """Half the width of the interval, as a part of the value."""
        return (self.high - self.low) / 2 / self.value


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Ratio:
    """Both sides of a round ran within a moment of each other, so what slows the machine mostly cancels.

    >>> paired_ratio([2.0, 4.0, 6.0], [1.0, 2.0, 2.0])
    Ratio(value=2.0, low=2.0, high=3.0)
    """
    ratios = sorted(a / b for a, b in zip(numerators, denominators, strict=True))
    low, high = median_ranks(len(ratios))
    return Ratio(statistics.median(ratios), ratios[low], ratios[high])


def median_ranks(count: int) -> tuple[int, int]:
    """Positions, among sorted samples, of a 95 % interval for the median: n/2 -+ 0.98 sqrt(n), the binomial's spread.

    >>> median_ranks(25)
    (7, 17)
    """
    reach = 0.98 * math.sqrt(count)
    return max(0, math.floor(count / 2 - reach)), min(count - 1, math.ceil(count / 2 + reach - 1))


def geometric_mean(values: Sequence[float]) -> float:
    """What ratios are averaged by.

    >>> round(geometric_mean([1.0, 4.0]), 3)
    2.0
    """
    return math.exp(statistics.fmean(map(math.log, values)))
