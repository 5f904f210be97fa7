"""Progress: silent for two seconds, then a line.

In: a clock that the test moves. Out: what stands on stderr.
"""

import pytest

from thalweg.data import progress
from thalweg.data.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_quick_work_prints_nothing(clock, capsys):
    with Progress("reading", "rows") as line:
        clock[0] = 1.9
        line.update(100)
    assert capsys.readouterr().err == ""


def test_long_work_prints_now_and_then(clock, capsys):
    with Progress("reading", "rows", total=2000) as line:
        for clock[0] in range(14):
            line.update(100 * int(clock[0]))
    assert capsys.readouterr().err == ("reading: 200 of 2,000 rows (10 %)\nreading: 1,200 of 2,000 rows (60 %)\n")


def test_a_terminal_gets_one_line_that_is_rewritten(clock, capsys, monkeypatch):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)
    with Progress("reading", "rows") as line:
        clock[0] = 3.0
        line.update(1500)
    assert capsys.readouterr().err == "reading: 1,500 rows\r\n"
