"""Sweeps over configurations that stay affordable: a seeded tenth by default, all of them on request.

In: every configuration a test could try. Out: those that this run tries, in their order.
`THALWEG_SWEEP=1` (set by `make sweep`) returns them all.
"""

from __future__ import annotations

import itertools
import math
import os
import random
from collections.abc import Iterable
from typing import TypeVar

Configuration = TypeVar("Configuration")


def is_full_sweep() -> bool:
    """Whether this run tries every configuration."""
    return os.environ.get("THALWEG_SWEEP", "") not in ("", "0")


def sweep(
    configurations: Iterable[Configuration], fraction: float = 0.1, seed: int = 0, at_least: int = 8
) -> list[Configuration]:
    """The configurations this run tries: the same ones on every machine for the same arguments.

    At least `at_least` are kept (all, if there are fewer). Give each test its own `seed`, so that two tests over
    equally many configurations do not always leave out the same ones.

    >>> sweep(range(100), at_least=3) == sweep(range(100), at_least=3)
    True
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1], not {fraction}")
    everything = list(configurations)
    count = min(len(everything), max(at_least, math.ceil(fraction * len(everything))))
    if is_full_sweep() or count == len(everything):
        return everything
    chosen = random.Random(seed).sample(range(len(everything)), count)
    return [everything[index] for index in sorted(chosen)]


def sweep_each(
    cases: Iterable[Configuration], *variants: Iterable[object], fraction: float = 0.1, seed: int = 0
) -> list[tuple[object, ...]]:
    """Every case with at least one combination of its variants: a sweep that leaves out no case.

    >>> {case for case, _ in sweep_each("abc", [1, 2, 3])} == set("abc")
    True
    """
    combinations = list(itertools.product(*variants))
    return [
        (case, *chosen)
        for position, case in enumerate(cases)
        for chosen in sweep(combinations, fraction, seed=1000 * seed + position, at_least=1)
    ]
