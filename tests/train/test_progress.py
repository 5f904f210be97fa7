"""What is shown while training: a live line at a terminal, plain lines elsewhere, nothing when nobody asked."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import pytest

import thalweg as tw
from tests.support.training import classes, network, trainer
from thalweg import callbacks as cb
from thalweg.train.callbacks import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(stream, also=(), **options):
    made = trainer(metrics=["accuracy"], callbacks=[cb.ProgressBar(stream, **options), *also])
    made.fit(classes(), validation_split=0.2, epochs=3, batch_size=8)
    return stream.getvalue()


def test_plain_lines_where_there_is_no_terminal():
    lines = shown(io.StringIO(), every_epoch=True).splitlines()
    assert len(lines) == 3
    number = r"-?[\d.]+(e-?\d+)?"
    names = "  ".join(f"{name} {number}" for name in ("loss", "accuracy", "val_loss", "val_accuracy"))
    pattern = rf"epoch 2/3  {names}  [\d,]+ examples/s  left \d:\d\d"
    assert re.fullmatch(pattern, lines[1])
    assert not any("\x1b" in line or "\r" in line for line in lines)


def test_short_epochs_do_not_fill_the_screen():
    lines = shown(io.StringIO()).splitlines()
    assert 1 <= len(lines) <= 3
    assert lines[-1].startswith("epoch 3/3")


def test_a_long_epoch_says_where_it_is(monkeypatch):
    monkeypatch.setattr(progress, "BATCH_LINE_SECONDS", 0.0)
    assert "batch 6/6" in shown(io.StringIO())
    assert "batch 2/6" in shown(io.StringIO(), also=[cb.LambdaCallback(on_batch_end=lambda t: None)])


def test_a_live_line_at_a_terminal(monkeypatch):
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    text = shown(Terminal(), every_epoch=True)
    assert "\x1b[" in text
    assert "epoch 3/3" in text
    assert "examples/s" in text


def test_the_reason_of_a_stop_is_shown():
    stream = io.StringIO()
    hook = cb.LambdaCallback(on_epoch_end=lambda t: t.stop("the [best] is reached"))
    trainer(callbacks=[cb.ProgressBar(stream), hook]).fit(classes(), epochs=3)
    assert stream.getvalue().splitlines()[-1] == "stopped: the [best] is reached"


@pytest.mark.parametrize(("setting", "lines"), [(False, 0), (True, 3)])
def test_progress_of_a_trainer_goes_to_stderr(setting, lines, capsys):
    made = tw.Trainer(network(), progress=setting)
    made.fit(classes(), epochs=3)
    captured = capsys.readouterr()
    assert captured.out == ""
    ends = [line for line in captured.err.splitlines() if "batch" not in line]  # a slow machine shows batches too
    assert len(ends) == lines


def test_a_program_in_a_pipe_prints_plain_lines():
    program = (
        "import numpy as np, thalweg as tw\n"
        "tw.Trainer(tw.nn.Linear(2, 1), loss='mse', progress=True).fit(np.ones((8, 2)), np.ones(8), epochs=2)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": "src"},
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr.count("epoch")) == (0, "", 2), done.stderr
