"""Run folders as reports: what was trained is what the page says, whenever it is asked for.

In: run folders of small trainings. Out: reports, comparisons, kernels, explanations of a step; clear errors.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from tests.recipes.conftest import check_explanation, check_report, quick
from tests.support.html_page import checked
from thalweg.cli import main
from thalweg.diagnose import Finding
from thalweg.errors import ConfigurationError, FileFormatError
from thalweg.recipes.reporting import FINDINGS, KERNELS, KeptRun, compared, report_of, write_report
from thalweg.recipes.run_folder import RunFolder


@pytest.fixture
def copied(digits_run, tmp_path):
    """A run folder that may be changed."""
    return RunFolder(shutil.copytree(digits_run.folder.path, tmp_path / "copied"))


RUNS = ["classifier", "regressor", "digits_run"]


@pytest.mark.parametrize("name", RUNS)
def test_the_report_of_a_folder_says_what_the_run_came_to(name, request):
    check_report(request.getfixturevalue(name))


def test_what_was_watched_of_the_layers_is_in_the_report(digits_run):
    quantities = KeptRun(digits_run.folder).quantities()
    for name in ("gradient_rms", "update_ratio", "output_rms", "dead_share", "weight_rms"):
        assert quantities[name].size
    ratios = quantities["update_ratio"].values
    assert np.nanmin(ratios) >= 0
    assert 1e-5 < np.nanmedian(ratios) < 1
    assert "Update to weight" in report_of(digits_run.folder).text()


def test_findings_and_kernels_are_shown_where_they_are_there(copied, capsys):
    finding = Finding("plateau", epoch=2)
    (copied.path / FINDINGS).write_text(json.dumps({"findings": [finding.to_json()]}), encoding="utf-8")
    weights = copied.weights.read_bytes()
    assert main(["report", str(copied), "--kernels"]) == 0
    assert copied.weights.read_bytes() == weights
    text = (copied.path / "report.html").read_text(encoding="utf-8")
    found = checked(text)
    assert {"findings", "kernels"} <= set(found.ids)
    kernels = json.loads((copied.path / KERNELS).read_text(encoding="utf-8"))["kernels"]
    assert sum(each["seconds"] for each in kernels) > 0
    assert any("hidden_1" in each["sources"] for each in kernels)
    assert capsys.readouterr().out == f"report  {copied.path / 'report.html'}\n"


def test_several_runs_are_compared(digits_run, classifier, here, capsys):
    assert main(["report", str(digits_run.folder), str(classifier.folder)]) == 0
    text = (here / "comparison.html").read_text(encoding="utf-8")
    checked(text)
    rows = compared([digits_run.folder, classifier.folder])
    assert rows[0].results["Accuracy"] in text
    assert "recipe" in text[text.index('id="settings"') :]
    assert write_report([str(digits_run.folder)] * 2, str(here / "one.html")) == here / "one.html"
    assert "runs compared" not in (here / "one.html").read_text(encoding="utf-8")


def test_a_run_without_results_or_a_damaged_one_is_refused(copied, tmp_path):
    copied.results.write_text("{", encoding="utf-8")
    with pytest.raises(FileFormatError, match="cannot be read"):
        report_of(copied)
    copied.results.unlink()
    with pytest.raises(FileFormatError, match="has no such file"):
        report_of(copied)
    with pytest.raises(FileFormatError, match="no such run folder"):
        write_report([str(tmp_path / "nowhere")])
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_report([str(quick("digits", tmp_path / "new", epochs=1).folder)], str(tmp_path / "no" / "folder.html"))


# --- a step, explained -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_a_step_of_any_run_is_explained(name, request, tmp_path):
    check_explanation(request.getfixturevalue(name), tmp_path)


def test_a_recipe_is_explained_before_it_was_ever_trained(here, capsys):
    assert main(["explain", "digits", "--html", "page.html", "--examples", "2"]) == 0
    checked((here / "page.html").read_text(encoding="utf-8"))
    assert not (here / "runs").exists()


def test_the_worked_example_is_a_page_too(here, capsys):
    assert main(["explain", "--html", "textbook.html"]) == 0
    text = (here / "textbook.html").read_text(encoding="utf-8")
    checked(text)
    for number in ("0.298371109", "0.082167041", "0.35891648"):
        assert number in text
    assert main(["explain", "--layers", "8,16,4", "--html", "large.html"]) == 0
    checked((here / "large.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits", "--layers", "2,2"], "a network of its own"),
        (["digits", "--examples", "0"], "nothing to explain"),
        (["digits", "--html", "no/folder/page.html"], "cannot be written"),
    ],
)
def test_misuse_says_what_to_do(arguments, message, here, capsys):
    assert main(["explain", *arguments]) == 2
    assert message in capsys.readouterr().err
