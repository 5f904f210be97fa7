"""The kill measurement in small: a few kills of each network, and the bits of the undisturbed runs."""

from __future__ import annotations

import argparse
import os

import pytest

from bench.reliability import __main__ as command
from bench.reliability import kill, soak


def given(module, *arguments):
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_run_that_is_killed_goes_on_to_the_same_bits(monkeypatch, capsys):
    monkeypatch.setattr(kill, "TRAINING", 2.0)  # few kills: most of a run's life goes by
    figures = kill.main(given(kill, "--kills", "1", "--only", "mlp", "--seed", "3"))
    assert figures["holds"], capsys.readouterr().out
    assert set(figures["outcomes"][0]["same"]) == {"weights", "optimizer", "history", "log.jsonl", "log.csv"}


def test_the_soak_samples_and_judges():
    figures = soak.main(given(soak, "--minutes", "0.06", "--every", "0.6"))
    assert len(figures["samples"]) >= 2
    assert figures["steps"] > 100
    assert all(each["mib"] > 1 for each in figures["samples"])


@pytest.mark.parametrize(
    ("grows", "holds"), [({}, True), ({"mib": 2.0}, False), ({"handles": 1.0}, False), ({"rate": -30.0}, False)]
)
def test_what_grows_is_not_flat(grows, holds):
    samples = [
        {"minute": m, **{name: start + grows.get(name, 0.0) * m for name, start in
                         (("mib", 90.0), ("handles", 9.0), ("rate", 1000.0))}} for m in range(6)
    ]  # fmt: skip
    assert soak.judged(samples)["holds"] is holds


def test_measurements_are_found_by_their_names():
    assert {"kill", "soak"} <= set(command.measurements())
