"""Logs: one line for each event, silent unless asked, JSON for machines, whole lines from many writers.

In: small runs, loggers that listen and that do not. Out: the lines that there are.
"""

from __future__ import annotations

import io
import json
import logging
import threading

import pytest

from tests.support.training import classes, trainer
from thalweg.errors import ArgumentError, ConfigurationError
from thalweg.train import EventLog, log_to
from thalweg.train.callbacks import LambdaCallback, LogEvents
from thalweg.train.callbacks.event_log import LOGGER


@pytest.fixture
def listening():
    """`log_to` whose handlers are gone afterwards."""
    level, made = LOGGER.level, []

    def listen(*arguments, **options):
        made.append(log_to(*arguments, **options))
        return made[-1]

    yield listen
    for handler in made:
        LOGGER.removeHandler(handler)
        handler.close()
    LOGGER.setLevel(level)


def fit(*callbacks, epochs=2):
    return trainer().fit(classes(24), epochs=epochs, batch_size=12, callbacks=[LogEvents(), *callbacks])


def test_nothing_is_said_unless_somebody_listens(capfd):
    fit()
    EventLog("a").event("warned", "warning")
    assert capfd.readouterr() == ("", "")


def test_each_event_is_one_line_of_json(listening):
    listening(stream := io.StringIO(), format="json")
    fit()
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [each["event"] for each in events] == ["fit_begin", "epoch_end", "epoch_end", "fit_end"]
    assert all({"time", "level", "event"} <= each.keys() for each in events)
    assert events[2]["epoch"] == 1
    assert events[2]["loss"] > 0


def test_each_event_is_one_line_of_text(listening):
    listening(stream := io.StringIO())
    EventLog("a run").event("said", text="two\nlines", number=0.1234567890)
    assert len(stream.getvalue().splitlines()) == 1
    assert stream.getvalue().rstrip().endswith('INFO said run="a run" text="two\\nlines" number=0.123457')


@pytest.mark.parametrize(("level", "expected"), [("info", 2), ("warning", 1), ("error", 0)])
def test_levels_choose_what_is_shown(listening, level, expected):
    listening(stream := io.StringIO(), level=level)
    EventLog().event("one")
    EventLog().event("two", "warning")
    assert len(stream.getvalue().splitlines()) == expected


def test_an_error_is_a_line_and_still_raises(listening):
    listening(stream := io.StringIO(), format="json")

    def fail(*_):
        raise ValueError("what a user's callback may do")

    with pytest.raises(Exception, match="failed"):
        fit(LambdaCallback(on_epoch_end=fail))
    levels = {each["event"]: each["level"] for each in map(json.loads, stream.getvalue().splitlines())}
    assert levels["exception"] == "error"


def test_a_handler_of_the_users_own_is_enough(caplog):
    with caplog.at_level(logging.INFO, logger="thalweg"):
        fit(epochs=1)
    assert [record.event for record in caplog.records] == ["fit_begin", "epoch_end", "fit_end"]


def test_lines_of_several_threads_in_one_file_stay_whole(tmp_path):
    def write(name):
        for number in range(200):
            EventLog(name, tmp_path / "log.jsonl").event("counted", number=number, text="x" * 200)

    threads = [threading.Thread(target=write, args=(str(index),)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(lines) == 800
    for name in "0123":
        assert [each["number"] for each in lines if each["run"] == name] == list(range(200))


def test_misuse_is_named(tmp_path, listening):
    with pytest.raises(ArgumentError, match="unknown format"):
        listening(format="xml")
    with pytest.raises(ArgumentError, match="unknown level"):
        listening(level="loud")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        EventLog("a", tmp_path / "nowhere" / "log.jsonl").event("said")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        listening(tmp_path / "nowhere" / "log.txt")
