"""Which experiments there are, in the order of the page.

In: a module for each. Out: `EXPERIMENTS` by name, and `chosen`, which refuses names that are none.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.gallery import (
    adding,
    batch_norm,
    batch_norm_sigmoid,
    clipping,
    learning_rates,
    optimizers,
    overfitting,
    range_test,
    rate_schedules,
    relu,
    skip,
    thirty_layers,
    vanishing,
)
from bench.gallery.experiment import Experiment

MODULES = (
    vanishing, relu, batch_norm, skip, clipping, adding, thirty_layers, batch_norm_sigmoid, learning_rates, range_test,
    rate_schedules, optimizers, overfitting,
)  # fmt: skip
EXPERIMENTS: dict[str, Experiment] = {module.EXPERIMENT.name: module.EXPERIMENT for module in MODULES}


def chosen(names: Sequence[str]) -> list[Experiment]:
    """All without a name; SystemExit for a name that is none."""
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        raise SystemExit(f"no such experiment: {', '.join(unknown)}; there are {', '.join(EXPERIMENTS)}")
    return [each for name, each in EXPERIMENTS.items() if not names or name in names]
