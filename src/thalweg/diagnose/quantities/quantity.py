"""What a quantity is: what it is made of, how the entries are put together, and when it is watched.

In: tensors of one training step. Out: an expression on them that becomes part of the step's own program, and how the
number that comes out of it is read.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


class Combine(enum.Enum):
    """How the entries become one number."""

    MEAN = "mean"
    LARGEST = "largest"
    SQUARED_UNIT_MEANS = "squared means of units"
    """The mean over each unit's samples, squared, and of these the mean over units."""


class When(enum.Enum):
    """When a quantity is watched."""

    EVERY_STEP = "every step"
    ON_REQUEST = "on request"


Numbers = np.ndarray
Finish = Callable[[Numbers, int], Numbers]
"""From what the program gave, for some steps, to the quantity: (raw, entries of the parameter)."""


@dataclass(frozen=True)
class Quantity:
    """One number of each parameter, or of each layer, at each step.

    Attributes:
        name: under which the record holds it.
        meaning: in words, with its unit.
        needs: what of the step it is made of, by position what `entry` is given: of "weights" (after the update),
            "gradients" (before clipping), "updates", "penalties" (their gradient), "outputs" (after the activation).
        entry: the expression of one entry.
        combine: how entries become one number.
        finish: how that number is read.
        when: whether it is watched unless it is asked for.
        only: of which layers, where it has no meaning for others; for these it is NaN.
    """

    name: str
    meaning: str
    needs: tuple[str, ...]
    entry: Callable[..., Any]
    combine: Combine = Combine.MEAN
    finish: Finish = field(default=lambda raw, entries: raw)
    when: When = When.EVERY_STEP
    only: Callable[[Any], bool] = field(default=lambda layer: True)

    @property
    def of_outputs(self) -> bool:
        """Whether it belongs to a layer; otherwise to a parameter."""
        return "outputs" in self.needs


def root(raw: Numbers, entries: int) -> Numbers:
    """A root mean square from a mean of squares."""
    return np.asarray(np.sqrt(raw))


def total(raw: Numbers, entries: int) -> Numbers:
    """A sum from a mean."""
    return np.asarray(raw * entries)
