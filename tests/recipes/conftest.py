"""What tests of the recipes share: a folder of their own to run in, and one trained run of each kind.

In: pytest's temporary folders. Out: run folders that tests read and never change.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.recipes.picture_samples import write_masked, write_photographs, write_voc
from tests.recipes.samples import write_classes, write_numbers
from tests.support.html_page import checked
from thalweg.recipes.explaining import explanation_of
from thalweg.recipes.reporting import KeptRun, report_of
from thalweg.recipes.settings import settings_from
from thalweg.recipes.train import train
from thalweg.report.run_report import WITHOUT_MATPLOTLIB

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


def check_report(outcome):
    """That the report of a run's folder says what the run came to."""
    run = KeptRun(outcome.folder)
    kept = run.scores()
    assert kept.numbers == pytest.approx(outcome.scores.numbers, nan_ok=True)
    assert (kept.task, kept.examples) == (outcome.scores.task, outcome.scores.examples)
    assert run.history.steps["step"] == outcome.history.steps["step"]
    np.testing.assert_allclose(run.history.steps["loss"], outcome.history.steps["loss"], rtol=1e-6)
    report = report_of(outcome.folder)
    checked(report.text())
    assert dict(report.repeat)["seed"] == str(outcome.settings.seed)
    fingerprints = [value for name, value in report.repeat if name.startswith("fingerprint")]
    assert [len(each) for each in fingerprints] == [64]
    assert WITHOUT_MATPLOTLIB not in report.text()


def check_explanation(outcome, folder):
    """That a step of the run is explained, with all its updates, and that the run stays as it is."""
    before = outcome.folder.weights.read_bytes()
    title, explanation = explanation_of(str(outcome.folder), 3)
    checked(explanation.to_html(folder / "page.html", title).read_text(encoding="utf-8"))
    names = {path for path, each in outcome.predictor.model.named_parameters() if each.requires_grad}
    assert {each.name for each in explanation.updates} == names
    assert "UPDATE: AdamW" in str(explanation)
    assert outcome.folder.weights.read_bytes() == before
