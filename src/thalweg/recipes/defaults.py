"""What a recipe does when nobody says otherwise: its defaults, chosen on validation parts, never on a test part.

In: settings with gaps. Out: settings without. For a table they depend on its size: a small one needs small batches to
get enough steps.
"""

from __future__ import annotations

from typing import Any

from thalweg.recipes.problem import CLASSIFICATION, Problem
from thalweg.recipes.settings import TABLE, Settings

DEFAULTS: dict[str, dict[str, Any]] = {
    "digits": {"layers": (256, 128), "dropout": 0.3, "lr": 3e-3, "batch_size": 32, "epochs": 40, "patience": 15},
    "mnist": {"layers": (128,), "dropout": 0.2, "lr": 5e-3, "batch_size": 128, "epochs": 12, "patience": 5},
    "fashion_mnist": {"layers": (256, 128), "dropout": 0.2, "lr": 3e-3, "batch_size": 128, "epochs": 15, "patience": 5},
    TABLE: {"layers": (256, 128), "dropout": 0.1, "lr": 3e-3, "epochs": 60, "patience": 15},
}
SMALLEST_BATCH, LARGEST_BATCH = 8, 128
STEPS_PER_EPOCH = 40
"""How many steps an epoch of a small table should have, as far as the smallest batch allows."""


def resolved(settings: Settings, problem: Problem) -> Settings:
    """The settings with every gap filled: by the recipe, then by the data."""
    values = DEFAULTS[settings.recipe] | {
        "batch_size": DEFAULTS[settings.recipe].get("batch_size") or batch_size_for(problem.counts["training"]),
        "loss": "cross_entropy" if problem.outputs.task == CLASSIFICATION else "mse",
    }
    return settings.replaced(**{name: value for name, value in values.items() if getattr(settings, name) is None})


def batch_size_for(examples: int) -> int:
    """A power of two between 8 and 128 that gives about 40 steps in an epoch.

    >>> batch_size_for(150), batch_size_for(1500), batch_size_for(20_000)
    (8, 32, 128)
    """
    size = SMALLEST_BATCH
    while size < LARGEST_BATCH and size * STEPS_PER_EPOCH < examples:
        size *= 2
    return size


def shown_default(name: str) -> str | None:
    """The default of a setting that differs by recipe, for --help.

    >>> shown_default("lr")
    'digits 0.003, mnist 0.005, fashion_mnist 0.003, table 0.003'
    """
    values = {recipe: defaults.get(name) for recipe, defaults in DEFAULTS.items()}
    if not any(value is not None for value in values.values()):
        return None
    return ", ".join(f"{recipe} {_text(value)}" for recipe, value in values.items())


def _text(value: Any) -> str:
    if value is None:
        return "by its size"
    return ",".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}"
