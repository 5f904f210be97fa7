"""`thalweg doctor`: says what is wrong with what would be trained, and its exit status says whether anything is.

In: files with and without a fault, run folders, flags. Out: lines, statuses, pages; no run folder, ever.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recipes.samples import write_classes
from thalweg.cli import main
from thalweg.diagnose import Finding

QUICK = ["--layers", "16", "--epochs", "2", "--batch-size", "64"]


@pytest.fixture
def call(capsys: Any, tmp_path: Path, monkeypatch: Any) -> Any:
    """Calls the command line in a folder of its own: (status, what was printed, what was complained of)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: Any) -> tuple[int, str, str]:
        status = main([str(each) for each in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err + captured.out
        return status, captured.out, captured.err

    return run


def test_a_healthy_table_has_status_0_and_no_run_folder(call: Any, tmp_path: Path) -> None:
    data = write_classes(tmp_path)
    status, out, _ = call("doctor", data, "--target", "kind", *QUICK, "--gradients", "--html", "found.html")
    assert status == 0, out
    for word in ("finite values", "classes", "small batch", "gradients", "Nothing wrong was found", "found.html"):
        assert word in out
    page = (tmp_path / "found.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "What was looked at" in page
    assert not (tmp_path / "runs").exists()


def test_what_is_wrong_has_status_3_with_evidence_and_remedies(call: Any, tmp_path: Path) -> None:
    data = write_classes(tmp_path)
    flags = ["--target", "kind", *QUICK, "--l2", "1000"]
    status, out, _ = call("doctor", data, *flags)
    assert status == 3
    for word in ("over-regularised", "seen:", "to do:", "problem "):
        assert word in out
    status, out, _ = call("doctor", data, *flags, "--quiet")
    assert (status, len(out.splitlines())) == (3, 1)


def test_rows_that_repeat_across_the_parts_are_found(call: Any, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = np.tile(generator.normal(size=(150, 3)), (4, 1))
    lines = [",".join(f"{value:.6f}" for value in (*row, row[0] - row[1])) for row in rows]
    (tmp_path / "twice.csv").write_text("\n".join(["a,b,c,y", *lines]) + "\n")
    status, out, _ = call("doctor", "twice.csv", "--target", "y", *QUICK)
    assert (status, "data leakage" in out) == (3, True)


def test_a_run_folder_is_examined_as_it_was_set_up(call: Any, tmp_path: Path) -> None:
    data = write_classes(tmp_path)
    assert call("train", data, "--target", "kind", *QUICK, "--no-pictures", "--quiet", "--run", "mine")[0] == 0
    before = sorted(path.name for path in (tmp_path / "mine").iterdir())
    status, out, _ = call("doctor", "mine", "--fresh")
    assert (status, "-16-" in out, "examined: the network before training" in out) == (0, True, True)
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == before
    _, out, _ = call("doctor", "mine", "--layers", "8")
    assert "-8-" in out
    assert "examined: the network before training" in out
    status, _, err = call("doctor", "mine", "--config", "mine/config.json")
    assert (status, "a run has a configuration of its own" in err) == (2, True)
    Path(data).write_text("\n".join(Path(data).read_text().splitlines()[:-9]) + "\n")
    status, _, err = call("doctor", "mine")
    assert (status, "the data is not what the run was trained on" in err) == (2, True)


def test_a_run_is_examined_with_the_weights_that_it_has_trained(call: Any, tmp_path: Path) -> None:
    data = write_classes(tmp_path)
    flags = [data, "--target", "kind", "--layers", "16", "--batch-size", "64", "--no-pictures", "--quiet"]
    assert call("train", *flags, "--epochs", "40", "--lr", "0.03", "--run", "mine")[0] == 0
    status, out, _ = call("doctor", "mine")
    assert (status, "examined: the weights that mine has trained (best epoch," in out) == (0, True), out
    loss = float(re.search(r"loss  +(\S+), guessing costs (\S+)", out)[1])
    assert loss < 0.5 * float(re.search(r"guessing costs ([\d.]+)", out)[1])
    for name in ("results.json", "record.npz"):  # of a run that was interrupted
        (tmp_path / "mine" / name).unlink()
    assert call("doctor", "mine", "--quiet")[:2] == (0, "Nothing wrong was found.\n")
    (tmp_path / "mine" / "model.safetensors").unlink()
    assert "examined: the network before training" in call("doctor", "mine")[1]


def test_what_was_found_while_a_run_was_trained_is_said_again(call: Any, tmp_path: Path) -> None:
    data = write_classes(tmp_path)
    assert call("train", data, "--target", "kind", *QUICK, "--no-pictures", "--quiet", "--run", "mine")[0] == 0
    kept = {"findings": [Finding("learning_rate_too_low", epoch=1).to_json()]}  # copies were trained to know
    (tmp_path / "mine" / "findings.json").write_text(json.dumps(kept))
    status, out, _ = call("doctor", "mine")
    assert (status, "while it was trained     learning rate too low, epoch 2" in out) == (3, True)
    assert "learning rate too low" not in call("doctor", "mine", "--fresh")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "what shall be trained on?"),
        (["nowhere.csv"], "nowhere.csv"),
        (["digits", "--resume", "runs/digits-001"], "--resume belongs to training"),
        (["digits", "--find-learning-rate"], "--find-learning-rate belongs to training"),
        (["digits", "--lr", "-1"], "lr"),
        (["digits", "--fresh"], "--fresh is about a run"),
        (["digits", "--gradient"], "did you mean --gradients"),
    ],
)
def test_misuse_has_status_2_and_says_what_to_do(call: Any, arguments: list[str], said: str) -> None:
    status, _, err = call("doctor", *arguments)
    assert (status, said in err) == (2, True), err
