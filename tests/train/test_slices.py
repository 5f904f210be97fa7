"""Many steps in one go: the bits of one at a time, however long a slice is and wherever the rows come from."""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from tests.support.training import classes, fitted, is_same, network, same_bits, trainer, weights
from thalweg import callbacks as cb
from thalweg import nn
from thalweg.train import slices
from thalweg.train.callbacks.listeners import ENDLESS, Listeners


def nothing(_):
    pass


@pytest.mark.parametrize("metrics", [["accuracy", "macro_f1", tw.metrics.ConfusionMatrix(3)], []])
@pytest.mark.parametrize("length", [1, 2, 3, 1000])
def test_slices_of_any_length_are_the_same_bits(monkeypatch, length, metrics):
    def numbers_of(run):
        return {name: np.asarray(values).tobytes() for name, values in run[1].items()}

    one = fitted(cb.LambdaCallback(on_batch_end=nothing), metrics=metrics)
    monkeypatch.setattr(slices.Pace, "stop", lambda self, steps: setattr(self, "steps", length))
    other = fitted(metrics=metrics)
    assert same_bits(one[0], other[0])
    assert numbers_of(one) == numbers_of(other)
    assert one[2] == other[2]


def test_metrics_that_sum_fractions_and_weights_have_the_same_bits():
    x, y = classes(70)
    w = np.random.default_rng(0).random(70).astype(np.float32)
    options = {"loss": "mse", "metrics": ["mae", "r2", "rmse"], "data": (x, np.stack([x[:, 0], y, y / 3], 1), w)}
    assert is_same(fitted(**options), fitted(cb.LambdaCallback(on_batch_end=nothing), **options))
    options = {"metrics": ["accuracy"], "data": (x, y, w), "class_weight": "balanced"}
    assert is_same(fitted(**options), fitted(cb.LambdaCallback(on_batch_end=nothing), **options))
    options = {"metrics": ["accuracy"], "data": (x, np.where(y == 1, -100, y)), "loss": nn.CrossEntropyLoss()}
    options["model"] = network()
    one = fitted(**options)
    options["model"] = network()
    assert is_same(one, fitted(cb.LambdaCallback(on_batch_end=nothing), **options))


def test_a_slice_ends_where_the_loss_is_no_number():
    x = np.ones((64, 2), np.float32)
    x[40] = np.inf
    made = trainer(check_finite=False, metrics=["accuracy"], callbacks=[cb.TerminateOnNaN()])
    with pytest.warns(RuntimeWarning, match=r"epoch 1, batch 6 \(step 5\)"):
        history = made.fit(x, np.zeros(64, int), batch_size=8, shuffle=False)
    assert history.steps["step"] == list(range(6))
    assert "step 5" in history.stop_reason


def test_a_batch_size_that_changes_and_batches_that_come_one_by_one():
    x, y = classes(64)
    made, other = trainer(), trainer()
    made.fit((x, y), batch_size=16, shuffle=False)
    other.fit(lambda: ((x[first : first + 16], y[first : first + 16]) for first in range(0, 64, 16)))
    assert same_bits(weights(made.model), weights(other.model))
    made.fit((x, y), epochs=2, initial_epoch=1, batch_size=10, shuffle=False)
    assert made.state.step == 4 + 7
    assert made.state.examples == 64


@pytest.mark.parametrize("wrap", [
    lambda x, y: tw.data.TensorDataset(x, y),
    lambda x, y: tw.data.Subset(tw.data.TensorDataset(x, y), np.arange(64)),
    lambda x, y: tw.data.DataLoader(tw.data.TensorDataset(x, y), batch_size=16, shuffle=True, seed=0),
    lambda x, y: tw.data.DataLoader(tw.data.TensorDataset(x, y), batch_size=16, shuffle=True, seed=0, num_workers=2),
])  # fmt: skip
def test_rows_in_memory_are_the_same_however_they_are_given(wrap):
    x, y = classes(64)
    made, other = trainer(), trainer()
    made.fit((x, y), batch_size=16, epochs=2)
    other.fit(wrap(x, y), batch_size=16, epochs=2)
    assert same_bits(weights(made.model), weights(other.model))


def test_a_data_set_of_ones_own_is_asked_for_its_samples():
    class Shifted(tw.data.TensorDataset):
        def take(self, indices):
            x, y = super().take(indices)
            return x + 100, y

    largest = []
    look = cb.LambdaCallback(on_batch_begin=lambda t: largest.append(float(t.state.inputs.numpy().min())))
    trainer(callbacks=[look]).fit(Shifted(*classes()))
    assert min(largest) > 90


@pytest.mark.parametrize(("listener", "expected"), [
    ({}, [ENDLESS] * 4),
    ({"on_update": nothing}, [0] * 4),
    ({"on_update": nothing, "every_steps": 3}, [0, 2, 1, 0]),
    ({"on_loss": nothing, "every_steps": 3}, [0, 2, 1, 0]),
    ({"on_loss": nothing, "every_steps": 3, "traced": True}, [1, 2, 1, 1]),
    ({"on_loss": nothing, "traced": True}, [ENDLESS] * 4),
    ({"on_epoch_end": nothing}, [ENDLESS] * 4),
    ({"on_slice_end": nothing}, [ENDLESS] * 4),
])  # fmt: skip
def test_how_many_steps_may_run_before_a_callback_takes_part(listener, expected):
    listeners = Listeners([cb.LambdaCallback(**listener)])
    assert [listeners.silent_steps(step) for step in range(4)] == expected


@pytest.mark.parametrize("name", ["History", "ProgressBar", "GradientNorms", "TerminateOnNaN", "RunFolder",
                                  "ModelCheckpoint", "EarlyStopping"])  # fmt: skip
def test_the_callbacks_of_the_library_let_steps_run_many_at_a_time(name, tmp_path):
    made = {"RunFolder": [tmp_path], "ModelCheckpoint": [tmp_path / "a"]}.get(name, [])
    assert Listeners([getattr(cb, name)(*made)]).silent_steps(0) == ENDLESS


def test_a_slice_grows_until_it_takes_its_time(monkeypatch):
    clock = iter([0.0, 0.25, 1.0, 1.001953125, 2.0, 2.015625])
    monkeypatch.setattr(slices.time, "perf_counter", lambda: next(clock))
    pace, found = slices.Pace(), []
    for steps in (1, 1, 8):
        pace.start()
        pace.stop(steps)
        found.append(pace.steps)
    assert found == [1, 8, 25]
