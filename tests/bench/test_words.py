"""The words of the speed harness: tables, what falls short, the document, the pictures.

In: outcomes that were made up. Out: failures where a figure would stand in the wrong place or a reason be lost.
"""

import pytest

from bench.document import HEADINGS, NOT_YET, document, figures
from bench.harness import Outcome, Plan
from bench.peers import ONE_THREAD
from bench.plots import draw
from bench.prediction import Rates
from bench.report import Report, Run
from bench.report import report_of as report_of_run
from bench.rows import PRODUCTS, ROWS
from bench.shortfalls import shortfalls
from bench.table import main_table, time
from bench.workloads import Workload

ROW = Workload("row", "a row", "dense", (4, 3, 2), 5, floor=2.0)


def report_of(*outcomes, sides=("thalweg", "torch", "jax", "keras"), **rest):
    rates = {ONE_THREAD: Rates(1e11, {1 << 20: 1e10})}
    return report_of_run(outcomes, Run("a machine", sides=list(sides), versions={"thalweg": "0"}, rates=rates, **rest))


def outcome_of(row, **seconds):
    return Outcome(row, Plan(), {key: [value] * 5 for key, value in seconds.items()})


def row_named(name):
    return next(row for row in ROWS if row.name == name)


# --- tables ----------------------------------------------------------------------------------------------------------


def test_the_table_has_times_ratio_floor_and_prediction():
    outcome = outcome_of(ROW, thalweg=1e-3, torch=3e-3, jax=2e-3)
    head, _, row = main_table(report_of(outcome), [outcome]).splitlines()
    assert head.startswith("| workload | Thalweg | PyTorch | JAX jit | PyTorch / Thalweg |")
    assert row.startswith("| a row | 1 ms | 3 ms | 2 ms | **3.00** | at least 2 | 2.00 | ")
    assert row.endswith(" MB) |")


def test_a_floor_against_another_peer_stands_beside_its_ratio():
    outcome = outcome_of(row_named("fit-mlp-13"), thalweg=1e-6, torch=1e-4, keras=6e-5)
    row = main_table(report_of(outcome), [outcome]).splitlines()[-1]
    assert "| **100.0** | at least 50 | 60.0 (at least 50) |" in row


def test_every_way_of_running_whole_epochs_is_told():
    outcome = outcome_of(row_named("fit-mnist"), thalweg=1e-4)
    outcome.seconds["torch@1 thread, slices of shuffled arrays"] = [3e-4] * 5
    outcome.set_aside["torch@2 threads, DataLoader"] = 2e-3
    text = figures(report_of(outcome))
    assert "PyTorch (1 thread, slices of shuffled arrays) 300 µs, PyTorch (2 threads, DataLoader) 2 ms" in text


def test_thalweg_against_itself_and_fresh_processes_have_one_opponent_each():
    threads = outcome_of(row_named("threads-mlp"), **{"thalweg": 1e-3, "thalweg.one": 1.7e-3})
    memory = outcome_of(row_named("memory"), thalweg=1e8, torch=2.5e8)
    text = figures(report_of(threads, memory))
    assert "| 1 ms | Thalweg, 1 thread | 1.7 ms | **1.70** | at least 1.6 |" in text
    assert "| 100 MB | PyTorch | 250 MB | **2.50** | at least 2 |" in text


def test_a_product_has_a_cell_for_each_transposition():
    row = next(each for each in PRODUCTS if each.transposes == (True, False))
    text = figures(report_of(outcome_of(row, thalweg=1e-5, torch=2e-5)))
    assert "| 64x64x64 | — | — | **2.00** (52 : 26) | — |" in text


# --- what falls short ------------------------------------------------------------------------------------------------


def test_what_falls_short_is_said():
    slow = outcome_of(ROW, thalweg=1.0, torch=1.5, jax=0.5)
    found = shortfalls(report_of(slow, start_times={"import thalweg": 0.4}))
    assert any("1.50 times PyTorch, asked for 2" in each for each in found)
    assert any("JAX jit is ahead" in each for each in found)
    assert any("import thalweg" in each for each in found)


@pytest.mark.parametrize(
    ("name", "opponent", "ratio", "is_enough"),
    [
        ("threads-mlp", "thalweg.one", 1.5, False),
        ("threads-8", "thalweg.two", 0.7, True),  # a little slower than two threads is allowed
        ("threads-8", "thalweg.two", 0.6, False),
        ("fit-mlp-13", "sklearn", 2.5, False),
        ("fit-mnist", "sklearn", 1.1, True),
        ("fit-mnist", "keras", 0.9, False),
        ("memory", "torch", 1.9, False),
        ("start-empty", "torch", 1.1, True),
        ("avx2-layer-norm", "torch", 0.99, False),
        ("two-mlp-784", "torch", 2.7, False),
    ],
)
def test_each_floor_is_checked_against_its_own_opponent(name, opponent, ratio, is_enough):
    found = shortfalls(report_of(outcome_of(row_named(name), **{"thalweg": 1.0, opponent: ratio})))
    assert (found == []) == is_enough, found


def test_sides_whose_first_losses_disagree_are_not_compared_silently():
    outcome = outcome_of(ROW, thalweg=1.0, torch=3.0)
    outcome.first_results = {"thalweg": 1.0, "torch": 1.1}
    assert any("losses disagree" in each for each in shortfalls(report_of(outcome)))


# --- document --------------------------------------------------------------------------------------------------------


def test_each_table_says_which_run_it_came_from():
    first, second, third = (outcome_of(row_named(name), thalweg=1e-3, torch=3e-3) for name in
                            ("mlp-784", "mlp-512", "two-mlp-784"))  # fmt: skip
    report = report_of(first, third, date="2026-01-01T10:00:00+00:00", commit="abc")
    whole, _, two = figures(report).partition("### Steps, two threads")
    assert "*Measured 2026-01-01 10:00 at abc on a machine, load average 0.00 before the start.*" in whole
    assert "*Measured 2026-01-01 10:00 at abc on a machine" in two
    report.merge(report_of(second, date="2026-02-02T10:00:00+00:00"))
    text = figures(report)
    assert "- *2026-01-01 10:00 at abc on a machine, load average 0.00 before the start: mlp-784*" in text
    assert "- *2026-02-02 10:00 on a machine, load average 0.00 before the start: mlp-512*" in text
    assert "- one-thread, two-threads: 2026-01-01 10:00 at abc" in text


def test_keras_in_its_default_setting_and_tuned_stand_apart():
    default = outcome_of(row_named("fit-mlp-13"), thalweg=1e-6, torch=1e-4, keras=6e-5)
    tuned = outcome_of(row_named("fit-mlp-13-keras-16"), **{"thalweg": 1e-6, "keras.16": 2e-5})
    text = figures(report_of(default, tuned))
    assert "| 60.0 (at least 50) |" in text
    assert "| 1 µs | Keras, steps_per_execution=16 | 20 µs | **20.0** | at least 1 |" in text


def test_the_document_says_that_nothing_is_measured_or_what_is():
    assert NOT_YET in document(Report())
    outcome = outcome_of(ROW, thalweg=1e-3, torch=3e-3)
    text = document(report_of(outcome, left_out={"jax": "ModuleNotFoundError: No module named 'jax'"}))
    assert NOT_YET not in text
    assert "make bench" in text
    assert "Left out: JAX jit: ModuleNotFoundError" in text
    assert "/work" not in text


def test_every_row_stands_under_a_heading():
    assert {row.table for row in ROWS} == set(HEADINGS)


def test_a_series_is_drawn_in_a_small_file_that_the_page_shows(tmp_path):
    points = [outcome_of(row, thalweg=1e-4, torch=3e-4, jax=2e-4) for row in ROWS if row.table == "batch"]
    (path,) = draw(points, tmp_path)
    first = path.read_bytes()
    assert first.startswith(b"<?xml")
    assert len(first) < 40_000
    draw(points, tmp_path)
    assert path.read_bytes() == first
    assert f"({path.relative_to(tmp_path)})" in figures(report_of(*points))


@pytest.mark.parametrize(("seconds", "text"), [(9.999e-4, "1,000 µs"), (1.5, "1,500 ms"), (0, "0 µs")])
def test_times_in_words(seconds, text):
    assert time(seconds) == text
