"""The gallery: every experiment can be measured, drawn and told, and the page has all of them as they are kept.

In: the miniature of each experiment, on the digits that come with Thalweg; docs/gallery.json. Out: failures that name
the experiment.
"""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from bench.gallery import __main__ as command
from bench.gallery import document
from bench.gallery.data import parts
from bench.gallery.experiment import Scale, curve, each_of
from bench.gallery.registry import EXPERIMENTS, MODULES, chosen

MINIATURE = Scale(is_miniature=True)
PACKAGE = Path(command.__file__).parent
HELPERS = {"__init__", "__main__", "data", "document", "drawing", "experiment", "learning", "networks", "registry",
           "remedies"}  # fmt: skip


def test_every_experiment_is_in_the_registry() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} - HELPERS == {each.__name__.split(".")[-1] for each in MODULES}
    assert [each.__name__.split(".")[-1] for each in MODULES] == list(EXPERIMENTS)
    assert chosen([]) == list(EXPERIMENTS.values())
    with pytest.raises(SystemExit, match="no such experiment: reluu"):
        chosen(["reluu"])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_runs_in_miniature(name: str) -> None:
    each = EXPERIMENTS[name]
    results = [each.measure(MINIATURE, 0)]
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    sentences = each.tell(results)
    assert [text[-1] for text in sentences] == [".", ".", "."]
    rows = each.table(results)
    assert {len(row) for row in rows} == {len(rows[0])}
    each.draw(results)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_page_has_every_figure_as_it_is_kept(name: str) -> None:
    known = document.stored()
    each, kept = EXPERIMENTS[name], known[name]
    assert len(kept.results) == len(Scale().seeds)
    page = (document.DOCUMENTS / "gallery.md").read_text(encoding="utf-8")
    assert document.section(each, kept) in page
    path = document.DOCUMENTS / document.FIGURES / f"{name}.svg"
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 60_000
    root = ElementTree.fromstring(text)
    assert root.get("aria-label") == each.label
    assert "<image" not in text  # nothing in it is a raster
    assert "prefers-color-scheme: dark" in text


def test_a_figure_is_the_same_file_every_time() -> None:
    each, kept = EXPERIMENTS["learning_rates"], document.stored()["learning_rates"]
    one, other = (document.standalone(each.draw(kept.results), each.label) for _ in range(2))
    assert one == other
    assert ">0.025, too small<" in one  # numbers of places are shortened, those that are read are not


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    known = document.stored()
    document.save(known, tmp_path)
    assert document.stored(tmp_path) == known


def test_parts_share_no_image() -> None:
    """And they are the same every time: settings chosen yesterday were not chosen on what is measured today."""
    found = parts(MINIATURE)
    rows = [{row.tobytes() for row in part.x} for part in found]
    assert not rows[0] & rows[1] | rows[0] & rows[2] | rows[1] & rows[2]
    assert [len(part.y) for part in found] == [120, 40, 40]
    assert found.training.x.shape == (120, 784)
    assert 0 <= found.training.x.min() < found.training.x.max() <= 1


def test_curves_and_numbers_are_plain() -> None:
    assert curve([1.0, np.nan, 3.0, 5.0], points=2) == {"x": [0.5, 2.5], "y": [None, 4.0]}
    assert each_of([0.5, None]) == "not finite (0.5, not finite)"
    assert each_of([1e-5, 3e-5], ".1g") == "2e-5 (1e-5, 3e-5)"


def test_what_is_measured_is_written_at_once_and_the_rest_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known, kept = document.stored(), {}
    monkeypatch.setattr(command, "Scale", lambda: MINIATURE)
    monkeypatch.setattr(command, "stored", lambda: dict(known))
    monkeypatch.setattr(command, "save", lambda found: kept.update(found))
    monkeypatch.setattr(command, "write", lambda found: None)
    monkeypatch.setattr(command, "data_root", lambda: tmp_path)
    assert command.main(["relu", "--write"]) == 1
    assert "mnist is not there" in capsys.readouterr().err
    (tmp_path / "mnist").mkdir()
    assert command.main(["relu"]) == 0
    assert not kept
    assert command.main(["relu", "--write"]) == 0
    assert len(kept["relu"].results) == 1
    assert {name: each for name, each in kept.items() if name != "relu"} == {
        name: each for name, each in known.items() if name != "relu"
    }
