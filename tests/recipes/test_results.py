"""docs/results.md: what it says is what `python -m bench.results` runs.

In: the rows of the bench. Out: a document with the mean, every seed's value and the command; misses are seen.
"""

import dataclasses

import pytest

from bench import results


def measured(row, *values):
    return results.Measured(row, values, (1.0,) * len(values), (2.0,) * len(values))


def test_the_document_holds_figures_commands_and_what_was_left_out():
    known = {row: measured(row, row.bound, row.bound, row.bound) for row in results.ROWS}
    text = results.document(known)
    for row in results.ROWS:
        assert f"{row.command} --seed 0" in text
        assert f"**{row.bound:.4f}** | {row.bound:.4f}, {row.bound:.4f}, {row.bound:.4f} | {row.asked}" in text
    first = results.ROWS[0]
    del known[first]
    assert f"- {first.task}" in results.document(known)


def test_numbers_that_are_reported_besides_stand_in_the_table():
    row = next(row for row in results.ROWS if row.also)
    others = tuple((0.5,) for _ in row.also)
    line = results.table_row(results.Measured(row, (0.93,), (1.0,), (2.0,), others))
    assert "**0.9300**; mean IoU 0.5000; mean Dice 0.5000 |" in line


def test_the_document_tells_the_machine():
    row = results.ROWS[0]
    assert "8 cores" in results.document({row: dataclasses.replace(measured(row, 1.0), where="2026 on 8 cores")})


def test_what_is_kept_comes_back_and_is_forgotten_when_the_command_changes(tmp_path, monkeypatch):
    known = {row: dataclasses.replace(measured(row, 0.5, 0.25), others=((0.1, 0.2),)) for row in results.ROWS}
    results.save(known, tmp_path / "results.json")
    assert results.stored(tmp_path / "results.json") == known
    changed = dataclasses.replace(results.ROWS[0], arguments="digits --epochs 1")
    monkeypatch.setattr(results, "ROWS", (changed, *results.ROWS[1:]))
    assert changed not in results.stored(tmp_path / "results.json")
    assert len(results.stored(tmp_path / "results.json")) == len(known) - 1


@pytest.mark.parametrize("row", results.ROWS, ids=lambda row: row.task.split(":")[0])
def test_a_figure_that_is_missed_is_seen(row):
    slow = results.Measured(row, (row.bound,), (1e6,), (1e6,))
    assert slow.is_reached == (row.most_seconds is None)
    worse = row.bound * (0.99 if row.is_better_when_higher else 1.01)
    assert measured(row, row.bound).is_reached
    assert not measured(row, worse).is_reached


def test_the_standing_document_names_every_command():
    text = results.DOCUMENT.read_text(encoding="utf-8")
    for row in results.ROWS:
        assert row.command in text


def test_a_row_without_its_data_is_left_out_with_the_reason(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("THALWEG_SHARED_DATA", str(tmp_path))
    monkeypatch.setattr(results, "DOCUMENT", tmp_path / "results.md")
    monkeypatch.setattr(results, "STORE", tmp_path / "results.json")
    monkeypatch.setattr(results, "ROWS", tuple(row for row in results.ROWS if row.needs))
    assert results.main([]) == 0
    assert capsys.readouterr().err.count("is not there") == len(results.ROWS)


def test_a_row_is_measured_through_the_command_line(monkeypatch):
    row = dataclasses.replace(results.ROWS[0], arguments="digits --epochs 1 --layers 8 --no-pictures")
    monkeypatch.setattr(results, "SEEDS", (0,))
    assert 0 < results.measure(row).mean <= 1
