"""Ctrl-C stops at a step boundary with everything saved; a second one stops at once."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from tests.support.training import classes, network, same_bits, trainer, weights
from thalweg import callbacks as cb
from thalweg.train import load_weights


def press(*_):
    os.kill(os.getpid(), signal.SIGINT)


def at_step(step, action):
    return cb.LambdaCallback(on_batch_begin=lambda t: t.state.step == step and action())


def test_the_step_is_finished_and_everything_is_saved(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    ended = []
    made = trainer(run_folder=tmp_path / "run")
    history = made.fit(
        classes(), epochs=9, batch_size=20, callbacks=[at_step(4, press), cb.LambdaCallback(on_fit_end=ended.append)]
    )
    assert history.interrupted
    assert "Ctrl-C" in history.stop_reason
    assert ended == [made]
    assert len(history.steps["loss"]) == 5
    assert history.epoch == [0]
    assert made.epochs_trained == 1
    assert signal.getsignal(signal.SIGINT) is before
    assert same_bits(load_weights(tmp_path / "run" / "model.safetensors"), weights(made.model))


def test_the_steps_before_an_interrupt_are_those_of_an_unbroken_run():
    made, other = trainer(network(dropout=0.2)), trainer(network(dropout=0.2))
    made.fit(classes(), epochs=9, batch_size=20, callbacks=[at_step(5, press)])
    other.fit(classes(), epochs=2, batch_size=20)
    assert same_bits(weights(made.model), weights(other.model))


def test_an_interrupted_validation_is_no_validation():
    made = trainer()
    history = made.fit(
        classes(), validation=classes(), epochs=3, callbacks=[cb.LambdaCallback(on_validation_begin=press)]
    )
    assert history.interrupted
    assert history.epoch == []
    assert set(made.evaluate(classes(), batch_size=10)) == {"loss"}


def test_a_second_interrupt_stops_at_once():
    ended = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        trainer().fit(
            classes(),
            epochs=9,
            callbacks=[at_step(1, lambda: (press(), press())), cb.LambdaCallback(on_fit_end=ended.append)],
        )
    assert ended
    assert signal.getsignal(signal.SIGINT) is before


def test_the_handler_is_put_back_after_an_error():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(cb.CallbackError):
        trainer().fit(classes(), callbacks=[at_step(0, lambda: 1 / 0)])
    assert signal.getsignal(signal.SIGINT) is before


def test_a_program_that_ignores_interrupts_keeps_doing_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        history = trainer().fit(classes(), epochs=2, callbacks=[at_step(0, press)])
        assert not history.interrupted
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_training_works_in_another_thread():
    results = []
    thread = threading.Thread(target=lambda: results.append(trainer().fit(classes(), epochs=2)))
    thread.start()
    thread.join()
    assert results[0].epoch == [0, 1]
