"""What tests of the recipes share: a folder of their own to run in, and one trained run of each kind.

In: pytest's temporary folders. Out: run folders that tests read and never change.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recipes.picture_samples import write_masked, write_photographs, write_voc
from tests.recipes.samples import write_classes, write_numbers
from thalweg.recipes.settings import settings_from
from thalweg.recipes.train import train

QUICK = {"layers": [16], "epochs": 12, "batch_size": 32, "lr": 0.02, "no_pictures": True, "quiet": True}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A new working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def quick(recipe, folder, **flags):
    """Train for a moment, silently."""
    return train(settings_from(recipe, {**QUICK, "run": str(folder), **flags}, {}), say=lambda line: None)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory):
    folder = Path(tmp_path_factory.mktemp("classifier"))
    data = write_classes(folder)
    return quick("table", folder / "run", data=data, target="kind")


@pytest.fixture(scope="session")
def regressor(tmp_path_factory):
    folder = Path(tmp_path_factory.mktemp("regressor"))
    return quick("table", folder / "run", data=write_numbers(folder), target="price", epochs=30)


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    return quick("digits", tmp_path_factory.mktemp("digits") / "run", epochs=4)


# --- pictures --------------------------------------------------------------------------------------------------------

QUICK_PICTURES = {"epochs": 8, "batch_size": 8, "lr": 0.02, "quiet": True, "no_pictures": True}


def quick_pictures(recipe, folder, **flags):
    """Train a small network on pictures for a moment, silently."""
    return train(settings_from(recipe, {**QUICK_PICTURES, "run": str(folder), **flags}, {}), say=lambda line: None)


@pytest.fixture(scope="session")
def photographs_run(tmp_path_factory):
    folder = Path(tmp_path_factory.mktemp("photographs"))
    data = write_photographs(folder / "photographs")
    flags = {"network": "convolutional", "base": 4, "no_pictures": False}
    return quick_pictures("image_folder", folder / "run", data=data, **flags)


@pytest.fixture(scope="session")
def masks_run(tmp_path_factory):
    folder = Path(tmp_path_factory.mktemp("masks"))
    data = write_masked(folder / "cells", 14)
    return quick_pictures("mask_folder", folder / "run", data=data, base=2, epochs=16, batch_size=2, no_pictures=False)


@pytest.fixture(scope="session")
def boxes_run(tmp_path_factory):
    folder = Path(tmp_path_factory.mktemp("boxes"))
    data = write_voc(folder / "voc")
    return quick_pictures("voc", folder / "run", data=data, base=4, epochs=40, no_pictures=False)
