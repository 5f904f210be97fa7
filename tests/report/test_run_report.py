"""Reports of runs and their comparison as pages, from made-up numbers: whole, empty, and full of odd names.

In: `RunReport`, `ComparedRun`. Out: pages that stand alone; their looks are judged by eye, their parts here.
"""

from __future__ import annotations

import builtins
import math

import numpy as np
import pytest

from tests.report.test_pictures import epochs, history
from tests.support.html_page import checked
from thalweg.diagnose import Evidence, Finding
from thalweg.report import pictures
from thalweg.report.comparison import ComparedRun, comparison_page
from thalweg.report.curves import history_html
from thalweg.report.run_report import KernelTime, RunReport, Shown
from thalweg.report.vector import svg_of
from thalweg.report.watched import Watched, of_columns

pytest.importorskip("matplotlib")
LAYERS = ("first", "a <b> & 'c'", "third", "last")


def watched(low=1e-3, high=1.0, steps=300, layers=LAYERS):
    values = np.exp(np.random.default_rng(0).uniform(math.log(low), math.log(high), (steps, len(layers))))
    values[5] = np.nan
    return Watched(np.arange(steps) * 2, layers, values)


def whole(**changes):
    names = ("gradient_rms", "gradient_mean", "gradient_std", "output_rms", "output_mean", "output_std", "zero_share",
             "dead_share", "saturated_share", "update_ratio", "weight_rms", "own_quantity")  # fmt: skip
    matrix = np.array([[3.0, 1.0], [0.0, 4.0]])
    parts = {
        "title": "a <script>alert(1)</script> & b",
        "result": "Accuracy: 0.9",
        "facts": [("data", "x" * 200)],
        "tables": [("Each class", ["class", "IoU"], [["<cat>", "0.5"]])],
        "pictures": [Shown("Confusion", "who is who", None, pictures.draw_confusion(matrix, ["<cat>", "$dog$"]))],
        "command": "thalweg train 'a<b>'",
        "notes": ["<b>note</b>"],
        "steps": history(),
        "epochs": epochs(),
        "best_epoch": 3,
        "quantities": {name: watched() for name in names},
        "findings": [Finding("dying_relu", "first", "net.py:3", epoch=1, evidence=(Evidence("share", 0.6, 0.4),))],
        "kernels": [KernelTime(f"k{n}", "matmul <x>", "first", 1e-6 * n, 1e6, 2e3, 0.5) for n in range(1, 41)],
        "memory": [("arena", "4 KiB")],
        "repeat": [("seed", "0")],
    }
    return RunReport(**(parts | changes))


def test_a_report_with_everything_stands_alone():
    text = whole().text()
    found = checked(text)
    for each in ("summary", "findings", "course", "layers", "test-part", "kernels", "repeat"):
        assert each in found.ids
    for script in ("<script>alert", "<b>note</b>", "<cat>"):
        assert script not in text
    assert found.tags.count("figure") == found.tags.count("svg") >= 15
    assert "25 more kernels" in " ".join(found.words)
    assert "dead units in first (net.py:3), epoch 2" in " ".join(found.words)


def test_a_report_without_anything_is_a_page_too():
    found = checked(RunReport("empty", "nothing", []).text())
    assert found.ids == ["summary"]


@pytest.mark.parametrize("steps", [1, 2, 3, 240, 241, 1000])
@pytest.mark.parametrize("layers", [("only",), LAYERS, tuple(f"layer{n}.conv" for n in range(90))])
def test_layers_are_drawn_whatever_their_number(steps, layers):
    quantities = {name: watched(steps=steps + 6, layers=layers) for name in ("gradient_rms", "own")}
    checked(whole(quantities=quantities, steps={}, epochs={}).text())


@pytest.mark.parametrize("values", [0.0, 1.0, math.nan, math.inf, -2.0])
def test_quantities_of_one_value_are_drawn(values):
    same = Watched(np.arange(4), LAYERS, np.full((4, 4), values))
    quantities = dict.fromkeys(("gradient_rms", "dead_share", "output_mean", "output_std", "own"), same)
    checked(whole(quantities=quantities).text())


def test_the_same_run_gives_the_same_page():
    assert whole().text() == whole().text()


def test_colours_of_a_figure_follow_the_page_and_stay_in_a_notebook():
    svg = svg_of(pictures.draw_loss(history(), epochs(), None), 'a "label"')
    assert "var(--blue, #0072b2)" in svg
    assert 'aria-label="a &quot;label&quot;"' in svg
    assert "xmlns" not in svg
    assert "<metadata" not in svg


def test_columns_become_arrays_and_steps_without_numbers_are_left_out():
    steps = {"step": [0, 1, 2], "loss": [1.0, 1.0, 1.0], "q/a": [1.0, None, 3.0], "q/b": [None, None, 4.0]}
    found = of_columns(steps)["q"]
    np.testing.assert_array_equal(found.steps, [0, 2])
    np.testing.assert_array_equal(found.values, [[1.0, math.nan], [3.0, 4.0]])
    assert of_columns({"step": [], "loss": []}) == {}


# --- several runs ----------------------------------------------------------------------------------------------------


def compared(name, **settings):
    values = {"lr": "0.1", "seed": "0"} | settings
    return ComparedRun(name, {"Accuracy": "0.9", "epochs": "6"}, values, history(), epochs())


def test_runs_are_compared_by_what_differs():
    text = comparison_page([compared("<one>"), compared("two", lr="0.2"), compared("three", momentum="0.9")])
    found = checked(text)
    assert "<one>" not in text
    settings = text[text.index('id="settings"') : text.index('id="course"')]
    assert "lr" in settings
    assert "momentum" in settings
    assert "seed" not in settings
    assert found.tags.count("svg") == 4  # loss of each step, loss and rmse of each epoch, learning rate


@pytest.mark.parametrize("count", [2, 12, 40])
def test_any_number_of_runs_is_compared(count):
    checked(comparison_page([compared(f"run {number}", seed=str(number)) for number in range(count)]))


def test_equal_runs_have_no_table_of_differences():
    assert 'id="settings"' not in comparison_page([compared("one"), compared("two")])


# --- without matplotlib, and in notebooks ----------------------------------------------------------------------------


def test_without_matplotlib_the_numbers_stay(monkeypatch):
    drawn = whole()
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    drawn.pictures = []
    text = drawn.text()
    checked(text)
    assert "matplotlib is not installed" in text
    assert "thalweg[report]" in comparison_page([compared("one"), compared("two", lr="2")])
    assert "<svg" not in history_html(history(), epochs())


def test_a_history_shows_itself_in_a_notebook():
    fragment = history_html(history(6000, 30), epochs(30))
    found = checked(fragment, is_whole=False)
    assert found.tags.count("svg") == 2  # loss, rmse
    assert found.tags.count("tr") == 13  # the names, and the first and last epochs
    checked(history_html({"step": []}, {}), is_whole=False)
