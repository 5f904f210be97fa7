"""What a recipe does when nobody says otherwise: its defaults, chosen on validation parts, never on a test part.

In: settings with gaps. Out: settings without. For a table, and for pictures of one's own, they depend on how many
examples there are: few need small batches to get enough steps.
"""

from __future__ import annotations

import math
from typing import Any

from thalweg.recipes.network import USUAL_SCHEDULE
from thalweg.recipes.problem import (
    CLASSIFICATION,
    CONTROL,
    DETECTION,
    LANGUAGE,
    REGRESSION,
    SEGMENTATION,
    TRANSCRIPTION,
    TRANSLATION,
    Problem,
)
from thalweg.recipes.sequence_defaults import NETWORK_DEFAULTS, RECIPE_DEFAULTS, USUAL_SEQUENCE_NETWORK
from thalweg.recipes.settings import (
    CENTERNET,
    CONVOLUTIONAL,
    PERCEPTRON,
    RESNET,
    SEQUENCES,
    TABLE,
    UNET,
    Settings,
)

COMMON: dict[str, Any] = {
    "batch_norm": False, "label_smoothing": 0.0, "dropout": 0.0, "clip": 1.0, "weight_decay": 0.01,
    "schedule": USUAL_SCHEDULE,
}  # fmt: skip
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
PICTURE_DEFAULTS: dict[str, dict[str, Any]] = {
    CONVOLUTIONAL: {"base": 32, "dropout": 0.25, "lr": 1e-2, "batch_size": 128},
    RESNET: {"base": 16, "lr": 5e-3, "batch_size": 64},
    UNET: {"base": 16, "lr": 5e-3, "batch_size": 2},
    CENTERNET: {"base": 16, "lr": 6e-3, "batch_size": 8, "clip": 10.0, "weight_decay": 0.1},
}
"""By network; what a named set does otherwise is in `NAMED_DEFAULTS`."""
NAMED_DEFAULTS: dict[str, dict[str, Any]] = {
    "mnist": {"epochs": 8},
    "fashion_mnist": {"epochs": 16, "dropout": 0.3},
    "cifar10": {"epochs": 45, "weight_decay": 0.05, "label_smoothing": 0.1},
    "membrane": {"epochs": 80},
    "bccd": {"epochs": 50},
}
USUAL_NETWORK = {
    "digits": PERCEPTRON, "mnist": CONVOLUTIONAL, "fashion_mnist": CONVOLUTIONAL, "cifar10": RESNET, "membrane": UNET,
    "bccd": CENTERNET, "image_folder": RESNET, "mask_folder": UNET, "voc": CENTERNET,
}  # fmt: skip
LOSSES = {
    CLASSIFICATION: "cross_entropy", SEGMENTATION: "cross_entropy", DETECTION: "centernet", REGRESSION: "mse",
    LANGUAGE: "cross_entropy", TRANSLATION: "cross_entropy", TRANSCRIPTION: "ctc", CONTROL: "docking",
}  # fmt: skip
PICTURE_STEPS = 3000
SMALLEST_BATCH, LARGEST_BATCH = 8, 1024
FEWEST_STEPS, MOST_STEPS = 40, 400
"""Steps in an epoch of a table: a small one gets smaller batches, a large one larger batches."""
FEWEST_EPOCHS, MOST_EPOCHS, STEPS_OF_A_RUN = 10, 60, 8000


def with_network(settings: Settings) -> Settings:
    """The settings with the kind of network decided: --layers asks for a perceptron."""
    if settings.recipe == TABLE or settings.network is not None:
        return settings
    asks = settings.layers is not None and settings.recipe in DEFAULTS
    usual = USUAL_NETWORK | USUAL_SEQUENCE_NETWORK
    return settings.replaced(network=PERCEPTRON if asks else usual[settings.recipe])


def resolved(settings: Settings, problem: Problem) -> Settings:
    """The settings with every gap filled: by the recipe, then by the data."""
    settings = settings.replaced(loss=settings.loss or LOSSES[problem.outputs.task])
    if settings.recipe in SEQUENCES:
        return filled(settings, problem.counts["training"])
    values = dict(COMMON)
    if settings.network in (None, PERCEPTRON):
        values |= _of_perceptron(settings, problem)
    else:
        values |= _of_pictures(settings, problem)
    return _with(settings, values)


def filled(settings: Settings, examples: int) -> Settings:
    """The settings of a recipe for sequences with every gap filled, for so many training examples."""
    own = NETWORK_DEFAULTS.get(str(settings.network), {})
    values = COMMON | {"patience": 0, "augment": True} | own
    if "batch_size" not in values:
        values["batch_size"] = batch_size_for(examples)
    values["epochs"] = epochs_for(max(examples, 1), settings.batch_size or values["batch_size"])
    return _with(settings, values | RECIPE_DEFAULTS.get((settings.recipe, str(settings.network)), {}))


def _with(settings: Settings, values: dict[str, Any]) -> Settings:
    return settings.replaced(**{name: value for name, value in values.items() if getattr(settings, name) is None})


def _of_perceptron(settings: Settings, problem: Problem) -> dict[str, Any]:
    examples = problem.counts["training"]
    size = settings.batch_size or batch_size_for(examples)
    known = DEFAULTS.get(problem.outputs.task if settings.recipe == TABLE else settings.recipe)
    own = DEFAULTS[CLASSIFICATION] if known is None else known
    return {"batch_size": size, "epochs": epochs_for(examples, size), "augment": False} | own


def _of_pictures(settings: Settings, problem: Problem) -> dict[str, Any]:
    assert settings.network is not None
    values = {"patience": 0, "augment": True} | PICTURE_DEFAULTS[settings.network]
    examples = problem.counts["training"]
    if settings.recipe not in NAMED_DEFAULTS:  # small sets in small batches
        values["batch_size"] = min(values["batch_size"], batch_size_for(examples))
    steps = math.ceil(examples / (settings.batch_size or values["batch_size"]))
    values["epochs"] = min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(PICTURE_STEPS / steps)))
    return values | NAMED_DEFAULTS.get(settings.recipe, {})


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

    >>> shown_default("patience")
    'digits 15, mnist perceptron 5, fashion_mnist perceptron 5, classification 15, regression 15'
    """
    also = {recipe: f"{recipe} perceptron" for recipe in NAMED_DEFAULTS}
    perceptrons = ((also.get(recipe, recipe), defaults) for recipe, defaults in DEFAULTS.items())
    tables = [*perceptrons, *PICTURE_DEFAULTS.items(), *NAMED_DEFAULTS.items(),
              *NETWORK_DEFAULTS.items(), *((recipe, of) for (recipe, _), of in RECIPE_DEFAULTS.items())]  # fmt: skip
    if name not in COMMON and not any(name in defaults for _, defaults in tables):
        return None
    usual = COMMON.get(name, "differs")
    values = [(recipe, defaults[name]) for recipe, defaults in tables if name in defaults]
    texts = [f"{recipe} {_text(value)}" for recipe, value in values if value != usual]
    return ", ".join(texts + ([f"otherwise {_text(usual)}"] if name in COMMON else []))


def _text(value: Any) -> str:
    if value is None:
        return "by its size"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str):
        return value
    return ",".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}"
