"""Evaluation and prediction: many batches in one native call, with the bits of one after the other, in little memory.

In: data of every kind, with full and short batches, weights, several inputs, other dtypes. Out: the same losses,
metrics and outputs as where every batch is a call of its own.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import thalweg as tw
from tests.support.training import classes, network, trainer
from thalweg import nn
from thalweg.tensor.trace import Step
from thalweg.train import evaluation, meters
from thalweg.train import trainer as trainer_module
from thalweg.train.slices import Pace

many, call = Step.many, Step.__call__


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which calls were made: of many batches, or of one."""
    made: list[str] = []
    monkeypatch.setattr(Step, "many", lambda *args, **options: noted(made, "many", many(*args, **options)))
    monkeypatch.setattr(Step, "__call__", lambda *args: noted(made, "one", call(*args)))
    return made


def noted(made, name, result):
    if result is not None:
        made.append(name)
    return result


def one_by_one(monkeypatch) -> None:
    monkeypatch.setattr(Step, "many", lambda *_, **__: None)


def results_of(data, metrics, targets=True, **options):
    made = trainer(network(), metrics=metrics, **options)
    found = [made.evaluate(*data, batch_size=16) for _ in range(2 * targets)]
    return found, [made.predict(data[0], batch_size=16) for _ in range(2)]


def is_same(one, other) -> bool:
    return repr(one[0]) == repr(other[0]) and all(
        a.tobytes() == b.tobytes() for a, b in zip(one[1], other[1], strict=True)
    )


X, Y = classes(100)  # six batches of 16, and one of 4
X = X.astype(np.float32)
W = np.random.default_rng(1).random(100).astype(np.float32)
KINDS = {
    "arrays": (X, Y),
    "float64": (X.astype(np.float64), Y),
    "uint8": ((X * 30).astype(np.int16).astype(np.uint8), Y.astype(np.int32)),
    "columns first": (np.asfortranarray(X), Y),
    "every other row": (np.repeat(X, 2, axis=0)[::2], Y),
    "a column of labels": (X, Y[:, None]),
    "weights": ((X, Y, W),),
    "part of a data set": (tw.data.Subset(tw.data.TensorDataset(X, Y), np.arange(100)[::-1].copy()),),
    "a loader": (tw.data.DataLoader(tw.data.TensorDataset(X, Y), batch_size=16),),
    "a stream": (lambda: iter([(X[:16], Y[:16]), (X[16:40], Y[16:40]), (X[40:], Y[40:])]),),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metrics", [[], ["accuracy", "macro_f1"]], ids=str)
def test_many_batches_in_one_call_have_the_bits_of_one_after_the_other(monkeypatch, kind, metrics):
    found = results_of(KINDS[kind], metrics)
    one_by_one(monkeypatch)
    assert is_same(found, results_of(KINDS[kind], metrics))


def test_metrics_of_fractions_have_the_same_bits_too(monkeypatch):
    data = (X, np.stack([X[:, 0], Y, Y / 3], 1))
    found = results_of(data, ["mae", "r2"], loss="mse")
    one_by_one(monkeypatch)
    assert is_same(found, results_of(data, ["mae", "r2"], loss="mse"))


def test_the_numbers_are_those_of_evaluation_without_compiling():
    found, [outputs, _] = results_of((X, Y), ["accuracy"])
    plain, [expected, _] = results_of((X, Y), ["accuracy"], compile=False)
    assert found[0]["accuracy"] == plain[0]["accuracy"]
    assert found[0]["loss"] == pytest.approx(plain[0]["loss"], rel=1e-6)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


def test_once_warm_full_batches_are_one_call_and_the_short_one_another(calls):
    made = trainer(network(), metrics=["accuracy"])
    made.evaluate(X, Y, batch_size=16)
    assert calls[0] == "one"
    assert calls.count("one") == 2  # one of each size
    calls.clear()
    made._test_pace.steps = 100
    made.evaluate(X, Y, batch_size=16)
    made.evaluate(X, Y, batch_size=16)
    assert set(calls) == {"many"}


def test_outputs_are_held_a_block_at_a_time(monkeypatch):
    monkeypatch.setattr(evaluation, "_BLOCK_BYTES", 40 * 3 * 4)
    found = []
    real = evaluation._in_turn
    monkeypatch.setattr(evaluation, "_in_turn", lambda *args: noted(found, len(args[3]), real(*args)))
    monkeypatch.setattr(Pace, "stop", lambda self, steps: setattr(self, "steps", 1000))
    made = trainer(network())
    np.testing.assert_array_equal(made.predict(X, batch_size=16), made.predict(X, batch_size=16))
    assert max(found) == 32  # forty rows are a block: two batches
    found.clear()
    made.evaluate(X, Y, batch_size=16)
    assert max(found) == 96  # without metrics nobody wants the outputs
    assert trainer(network(), metrics=["accuracy"]).evaluate(X, Y, batch_size=16)["accuracy"] >= 0


def test_predicting_needs_no_second_copy_of_the_outputs():
    model = nn.Linear(4, 400)
    made = tw.Trainer(model, "mse", progress=False)
    x = np.zeros((20_000, 4), np.float32)
    made.predict(x[:600])
    tracemalloc.start()
    found = made.predict(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.nbytes == 20_000 * 400 * 4
    assert peak < found.nbytes + (10 << 20)


def test_a_loss_that_is_no_number_ends_nothing(monkeypatch):
    x = X.copy()
    x[40] = np.nan
    found = results_of((x, Y), ["accuracy"], check_finite=False)
    assert np.isnan(found[0][0]["loss"])
    assert np.isnan(found[0][0]["accuracy"])
    assert np.isnan(found[1][0]).any(axis=1).sum() == 1
    one_by_one(monkeypatch)
    assert is_same(found, results_of((x, Y), ["accuracy"], check_finite=False))


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, a, b):
        return self.layer(a) * b.float()


def test_models_of_several_inputs():
    made = tw.Trainer(TwoInputs(), "mse", progress=False)
    inputs, target = (X, np.ones((100, 3), np.int64)), np.zeros((100, 3), np.float32)
    made.evaluate((inputs, target), batch_size=16)
    np.testing.assert_array_equal(made.predict((inputs, target), batch_size=16), made.predict((inputs,), batch_size=16))


def test_a_model_that_gives_more_rows_than_it_takes():
    class Twice(nn.Module):
        def forward(self, x):
            return tw.cat([x, x + 1])

    found = tw.Trainer(nn.Sequential(nn.Linear(2, 2), Twice()), "mse", progress=False).predict(X, batch_size=16)
    assert found.shape == (200, 2)
    np.testing.assert_array_equal(found[16:32], found[:16] + 1)
    np.testing.assert_array_equal(found[196:], found[192:196] + 1)


def test_any_number_of_rows_may_be_asked_for_without_a_program_for_each(recwarn):
    made = trainer(network())
    whole = made.predict(X)
    for rows in range(1, 20):
        np.testing.assert_allclose(made.predict(X[:rows]), whole[:rows], atol=1e-6)
    assert len(made.steps._programs) == 8
    assert not recwarn.list
    before = made.predict(X)
    assert before.tobytes() == whole.tobytes()


def test_validation_between_epochs_is_the_same_however_it_is_run(monkeypatch):
    def history():
        made = trainer(network(dropout=0.5), metrics=["accuracy"])
        numbers = made.fit(X, Y, epochs=3, batch_size=16, validation=(X, Y)).history
        return repr({name: values for name, values in numbers.items() if name != "seconds"})

    found = history()
    one_by_one(monkeypatch)
    assert history() == found


def test_a_label_out_of_range_among_many_is_the_usual_error():
    made = trainer(network())
    bad = Y.copy()
    bad[70] = 3
    data = tw.data.TensorDataset(X, bad)
    with pytest.raises(tw.ThalwegError, match="range"):
        made.evaluate(data, batch_size=16)
    assert made.evaluate(X, Y, batch_size=16)["loss"] > 0


def test_ctrl_c_ends_a_validation_after_a_slice(monkeypatch):
    made, measured = trainer(network()), []

    def measure(*given):
        measured.append(meters.measure(*given))
        made._interrupt("Ctrl-C")

    monkeypatch.setattr(trainer_module, "measure", measure)
    monkeypatch.setattr(Pace, "stop", lambda self, steps: None)  # slices of one batch
    made.validate((X, Y), batch_size=16, during_fit=True)
    assert len(measured) == 1
