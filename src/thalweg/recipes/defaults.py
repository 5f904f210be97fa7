"""What a recipe does when nobody says otherwise: its defaults, chosen on validation parts, never on a test part.

In: settings with gaps. Out: settings without. For a table they depend on its size: a small one needs small batches to
get enough steps.
"""

from __future__ import annotations

import math
from typing import Any

from thalweg.recipes.problem import CLASSIFICATION, REGRESSION, Problem
from thalweg.recipes.settings import TABLE, Settings

COMMON: dict[str, Any] = {"batch_norm": False, "label_smoothing": 0.0}
DEFAULTS: dict[str, dict[str, Any]] = {
    # Five-fold cross-validation within the training part, two seeds: 0.987; without normalisation 0.979.
    "digits": {"layers": (256, 128), "batch_norm": True, "dropout": 0.3, "label_smoothing": 0.05, "lr": 3e-3,
               "batch_size": 32, "epochs": 40, "patience": 15},
    "mnist": {"layers": (128,), "dropout": 0.2, "lr": 5e-3, "batch_size": 128, "epochs": 12, "patience": 5},
    "fashion_mnist": {"layers": (256, 128), "dropout": 0.2, "lr": 3e-3, "batch_size": 128, "epochs": 15, "patience": 5},
    # On the validation parts of Adult wider networks lose half a point, on those of California housing they win it.
    CLASSIFICATION: {"layers": (128, 64), "dropout": 0.3, "lr": 3e-3, "patience": 15},
    REGRESSION: {"layers": (256, 128), "dropout": 0.1, "lr": 5e-3, "patience": 15},
}  # fmt: skip
SMALLEST_BATCH, LARGEST_BATCH = 8, 1024
FEWEST_STEPS, MOST_STEPS = 40, 400
"""Steps in an epoch of a table: a small one gets smaller batches, a large one larger batches."""
FEWEST_EPOCHS, MOST_EPOCHS, STEPS_OF_A_RUN = 10, 60, 8000


def resolved(settings: Settings, problem: Problem) -> Settings:
    """The settings with every gap filled: by the recipe, then by the data."""
    task = problem.outputs.task
    size = settings.batch_size or batch_size_for(problem.counts["training"])
    loss = "cross_entropy" if task == CLASSIFICATION else "mse"
    by_data = {"batch_size": size, "epochs": epochs_for(problem.counts["training"], size), "loss": loss}
    values = COMMON | by_data | DEFAULTS[task if settings.recipe == TABLE else settings.recipe]
    return settings.replaced(**{name: value for name, value in values.items() if getattr(settings, name) is None})


def batch_size_for(examples: int) -> int:
    """A power of two: over 40 steps in an epoch up to batches of 128, and then 400 up to batches of 1024.

    >>> [batch_size_for(examples) for examples in (150, 1500, 20_000, 200_000)]
    [8, 64, 128, 512]
    """
    size = SMALLEST_BATCH
    while size < LARGEST_BATCH and size * (FEWEST_STEPS if size < 128 else MOST_STEPS) < examples:
        size *= 2
    return size


def epochs_for(examples: int, batch_size: int) -> int:
    """Epochs for about 8,000 steps in all: from 10 for a large table to 60 for a small one.

    >>> epochs_for(1500, 64), epochs_for(30_000, 128), epochs_for(1_000_000, 1024)
    (60, 34, 10)
    """
    steps = math.ceil(examples / batch_size)
    return min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(STEPS_OF_A_RUN / steps)))


def shown_default(name: str) -> str | None:
    """The default of a setting that differs by recipe, for --help.

    >>> shown_default("lr")
    'digits 0.003, mnist 0.005, fashion_mnist 0.003, classification 0.003, regression 0.005'
    """
    values = {recipe: defaults.get(name, COMMON.get(name)) for recipe, defaults in DEFAULTS.items()}
    if not any(name in defaults for defaults in DEFAULTS.values()):
        return None
    usual = COMMON.get(name, "differs")
    texts = [f"{recipe} {_text(value)}" for recipe, value in values.items() if value != usual]
    return ", ".join(texts + ([f"otherwise {_text(usual)}"] if name in COMMON else []))


def _text(value: Any) -> str:
    if value is None:
        return "by its size"
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}"
