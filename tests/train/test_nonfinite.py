"""`Trainer(nonfinite=...)`: a batch with a NaN is as if it had not been there, or the run ends or goes back."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import thalweg as tw
from tests.support.training import same_bits, weights
from thalweg import callbacks as cb
from thalweg import nn, optim
from thalweg.errors import ArgumentError, NonFiniteError
from thalweg.optim.schedules import Exponential
from thalweg.train.callbacks import nonfinite as policies

pytestmark = pytest.mark.filterwarnings("ignore:.*is left out:RuntimeWarning", "ignore:.*back to the weights")
BATCH, BAD = 16, 3


def data(bad=(BAD,), batches=8):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(batches * BATCH, 5)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    for each in bad:
        x[each * BATCH + 2, 1] = np.nan
    return x, y


def without(bad=(BAD,), batches=8):
    rows = np.concatenate([np.arange(BATCH) + BATCH * i for i in range(batches) if i not in bad])
    return tuple(each[rows] for each in data(bad, batches))


def policy_of(trainer):
    return next(each for each in trainer.callbacks if isinstance(each, policies.NonFinitePolicy))


class AfterTheFirstRollback(cb.Callback):
    priority = cb.Priority.SAVE

    def on_fit_begin(self, trainer):
        self.weights = None

    def on_slice_end(self, trainer):
        if policy_of(trainer).rollbacks and self.weights is None:
            self.weights = weights(trainer.model)


def fit(policy, samples, epochs=2, callbacks=(), **options):
    tw.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, 2))
    options = {"optimizer": "adam", "metrics": ["accuracy"]} | options
    made = tw.Trainer(
        model, nonfinite=policy, progress=False, check_finite=False, callbacks=[*callbacks], **options
    )  # fmt: skip
    return made, made.fit(samples, epochs=epochs, batch_size=BATCH, shuffle=False)


WAYS = {
    "many steps in one call": {},
    "one by one": {"callbacks": [cb.LambdaCallback(on_batch_end=lambda trainer: None)]},
    "cut in two": {"callbacks": [cb.LambdaCallback(on_gradients=lambda trainer: None)]},
    "clipped": {"clip_norm": 1.0},
    "not compiled": {"compile": False},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_that_is_left_out_is_as_if_it_had_not_been_there(way):
    spoilt, left_out = fit("skip_step", data(), **WAYS[way])
    clean, rest = fit("skip_step", without(), **WAYS[way])
    assert same_bits(weights(spoilt.model), weights(clean.model))
    assert left_out["loss"] == rest["loss"]
    assert left_out["accuracy"] == rest["accuracy"]
    assert [i for i, each in enumerate(left_out.steps["skipped"]) if each] == [BAD, BAD + 8]
    assert policy_of(spoilt).skipped == [BAD, BAD + 8]


@pytest.mark.parametrize("policy", ["raise", "skip_step", "rollback"])
def test_a_policy_changes_no_bit_of_a_run_without_such_values(policy):
    guarded, history = fit(policy, data(bad=()))
    plain, other = fit("warn", data(bad=()))
    assert same_bits(weights(guarded.model), weights(plain.model))
    assert history.steps["loss"] == other.steps["loss"]


@pytest.mark.parametrize("way", WAYS)
def test_raising_names_the_step_and_the_operation_and_leaves_the_weights(way):
    def in_two_halves(x, y):
        made, _ = fit("raise", (x[: BAD * BATCH], y[: BAD * BATCH]), epochs=1, **WAYS[way])
        return made

    tw.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, 2))
    options = {"optimizer": "adam", "metrics": ["accuracy"]} | WAYS[way]
    made = tw.Trainer(model, nonfinite="raise", progress=False, check_finite=False, **options)
    with pytest.raises(NonFiniteError) as raised:
        made.fit(data(), epochs=1, batch_size=BATCH, shuffle=False)
    assert f"step {BAD} (epoch 1, batch {BAD + 1})" in str(raised.value)
    assert "argument 0 holds nan" in str(raised.value)
    assert same_bits(weights(model), weights(in_two_halves(*data()).model))


def test_an_operation_is_named_with_its_layer_and_line():
    class Root(nn.Module):
        def forward(self, x):
            return (x - 3.0).sqrt()

    model = nn.Sequential(nn.Linear(5, 4), Root())
    made = tw.Trainer(model, loss="mse", nonfinite="raise", progress=False)
    with pytest.raises(NonFiniteError, match=r"sqrt made the first nan .* layer 1, .*test_nonfinite.py:\d+") as raised:
        made.fit(data(bad=())[0], np.zeros((8 * BATCH, 4), np.float32), batch_size=BATCH)
    assert "the square root of a negative number" in str(raised.value)


@pytest.mark.parametrize("compile", [True, False])
def test_ten_in_a_row_end_the_run(compile):
    with pytest.raises(NonFiniteError, match="10 steps in a row"):
        fit("skip_step", data(bad=range(1, 14), batches=16), compile=compile)


def test_nine_in_a_row_are_told_once():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        _, history = fit("skip_step", data(bad=range(1, 10), batches=16))
    assert sum("left out" in str(each.message) for each in told) == 1
    assert sum(history.steps["skipped"]) == 18
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("lr", [0.01, Exponential(0.01, 0.9)])
def test_rolling_back_puts_the_weights_back_and_halves_the_rate(lr):
    before = []
    seen = cb.LambdaCallback(on_epoch_begin=lambda trainer: before.append(weights(trainer.model)))
    after = AfterTheFirstRollback()
    made, _ = fit("rollback", data(), 1, [seen, after], optimizer="adam", lr=lr)
    assert same_bits(before[0], after.weights)
    assert policy_of(made).rollbacks == [(BAD, 0)]
    rate = made.optimizer.learning_rates()[0]
    assert rate == pytest.approx(0.005 * (1.0 if isinstance(lr, float) else 0.9**4))
    assert all(np.isfinite(each).all() for each in weights(made.model).values())


def test_rolling_back_goes_to_the_last_state_and_ends_when_it_is_of_no_help(monkeypatch):
    monkeypatch.setattr(policies, "SNAPSHOT_EVERY", 4)
    made, _ = fit("rollback", data(bad=(6,)), epochs=1)
    assert policy_of(made).rollbacks == [(6, 4)]
    with pytest.raises(NonFiniteError, match="5 times went back"):
        fit("rollback", data(bad=range(1, 8)), epochs=1)


def test_the_policy_is_part_of_a_checkpoint():
    policy = policies.NonFinitePolicy("rollback")
    made, _ = fit("rollback", data())
    state = policy_of(made).state_dict()
    policy.load_state_dict(state)
    assert policy.rollbacks == policy_of(made).rollbacks
    policy._snapshot.put_back_weights(made)
    assert same_bits(weights(made.model), state["snapshot"]["weights"])


def test_an_optimizer_of_ones_own_is_guarded_too():
    class Plain(optim.Optimizer):
        def update(self, grad, param, state, hyper):
            return param - hyper["lr"] * grad, state

    def make(params):
        return Plain(params, {"lr": 0.1})

    spoilt, _ = fit("skip_step", data(), optimizer=make)
    clean, _ = fit("skip_step", without(), optimizer=make)
    assert same_bits(weights(spoilt.model), weights(clean.model))


@pytest.mark.parametrize("given", ["ignore", None, 3])
def test_an_unknown_policy_is_refused(given):
    with pytest.raises(ArgumentError, match="rollback"):
        tw.Trainer(nn.Linear(1, 1), nonfinite=given)
