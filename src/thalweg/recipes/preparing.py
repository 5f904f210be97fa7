"""The data of a recipe, whatever kind it is of.

In: settings whose network is decided.
Out: a `Problem`; and a check that data is still what a run was trained on.
"""

from __future__ import annotations

from typing import Any

from thalweg.errors import ConfigurationError, DataError, explain
from thalweg.recipes import images, pictures, sequences, tabular
from thalweg.recipes.picture_network import check_network
from thalweg.recipes.picture_parts import task_of
from thalweg.recipes.problem import Problem
from thalweg.recipes.run_folder import RunFolder
from thalweg.recipes.settings import FOLDERS, PERCEPTRON, SEQUENCES, TABLE, Settings


def prepare(settings: Settings) -> Problem:
    """The data, split and encoded. Raises DataError, FileFormatError, ConfigurationError."""
    if settings.recipe == TABLE:
        return tabular.prepare(settings)
    if settings.recipe in SEQUENCES:
        return sequences.prepare(settings)
    _check_layers(settings)
    if settings.network != PERCEPTRON:
        return pictures.prepare(settings)
    check_network(settings, task_of(settings.recipe))
    if settings.recipe in FOLDERS:
        raise ConfigurationError(
            explain(
                "a perceptron takes a named set of pictures",
                received=settings.recipe,
                expected="digits, mnist, fashion_mnist, cifar10",
                where="--network",
                remedy="leave --network out",
            )
        )
    return images.prepare(settings)


def _check_layers(settings: Settings) -> None:
    if settings.layers is not None and settings.network != PERCEPTRON:
        raise ConfigurationError(
            explain(
                f"{settings.network} has no hidden layers of free widths",
                received=f"layers {','.join(map(str, settings.layers))}",
                where="--layers",
                remedy="leave --layers out; --base N sets its channels",
            )
        )


def check_unchanged(recorded: dict[str, Any], found: dict[str, Any], folder: RunFolder) -> None:
    """Refuse data that is not what a run was trained on."""
    if _fingerprints(recorded) != _fingerprints(found):
        raise DataError(
            explain(
                "the data is not what the run was trained on: its test part may hold rows that were trained on",
                received="another fingerprint (SHA-256)",
                where=f"{folder.config}, key 'data'",
                remedy="bring the old file back, or name a file of rows that are new: --data FILE",
            )
        )


def _fingerprints(data: dict[str, Any]) -> list[Any]:
    files = data.get("files", {})
    return [data.get("sha256"), *(files.get(name, {}).get("sha256") for name in ("training", "test"))]
