"""A record: what was watched comes back as arrays, in a file too, and its figures do not depend on the loss's scale."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import thalweg as tw
from tests.diagnose.watching import data, trained
from thalweg import callbacks as cb
from thalweg import nn
from thalweg.diagnose import Layer, Record
from thalweg.diagnose import record as record_module
from thalweg.diagnose.facts import constant_loss, facts_of_array, facts_of_targets
from thalweg.diagnose.watch import WHOLE, Column
from thalweg.errors import ArgumentError, FileFormatError

# --- made by hand ----------------------------------------------------------------------------------------------------


def layers(count: int, **changes: object) -> list[Layer]:
    shapes = [((f"{i}.weight", (4, 3)), (f"{i}.bias", (4,))) for i in range(count)]
    return [Layer(str(i), "Linear", shape, depth=i, **changes) for i, shape in enumerate(shapes)]


def made(gradients: np.ndarray, weights: float = 1.0, updates: float = 1e-3, losses: object = None) -> Record:
    """A record of kernels' gradients (steps x layers); biases have gradients of 0."""
    steps, count = gradients.shape
    record = Record()
    record.layers = layers(count)
    columns, values = [], []
    for i in range(count):
        for name, size, scale in ((f"{i}.weight", 12, 1.0), (f"{i}.bias", 4, 0.0)):
            columns += [Column(f"{each}_rms", name, size) for each in ("gradient", "weight", "update")]
            values += [
                gradients[:, i] ** 2 if scale else np.zeros(steps),
                np.full(steps, weights**2),
                np.full(steps, updates**2),
            ]
            columns.append(Column("gradient_update", name, size))
            values.append(-gradients[:, i] * updates if scale else np.zeros(steps))
    losses = np.zeros(steps) if losses is None else losses
    record.add_steps(range(steps), 0, losses, [0.1] * steps, {WHOLE: np.stack(values, 1)}, {WHOLE: tuple(columns)})
    return record


FALLING = 10.0 ** np.arange(-5, 0)[None, :].repeat(3, 0)


def test_a_layer_is_the_root_mean_square_over_all_of_its_entries():
    record = made(FALLING)
    np.testing.assert_allclose(record["gradient_rms"], FALLING * math.sqrt(12 / 16), rtol=1e-6)
    np.testing.assert_allclose(record.weights_only("gradient_rms"), FALLING, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_slope_and_ratios_of_neighbours_do_not_depend_on_the_scale_of_the_loss(scale):
    record = made(FALLING * scale)
    np.testing.assert_allclose(record.gradient_slope, 1.0, rtol=1e-6)
    np.testing.assert_allclose(record.adjacent_ratio, 0.1, rtol=1e-6)


def test_layers_on_branches_do_not_count_for_the_slope():
    record = made(np.where(np.arange(5) == 2, 1e-30, FALLING))
    record.layers[2] = layers(5, is_branch=True)[2]
    slope = np.polyfit(range(4), [-5, -4, -2, -1], 1)[0]
    np.testing.assert_allclose(record.gradient_slope, slope, rtol=1e-6)
    record.layers = layers(5, is_branch=True)
    assert np.isnan(record.gradient_slope).all()


def test_update_ratio_is_a_power_of_ten():
    np.testing.assert_allclose(made(FALLING, weights=2.0, updates=2e-4).update_ratio, -4.0, rtol=1e-6)


def test_a_gradient_that_is_not_finite_is_seen_in_its_layer_only():
    gradients = FALLING.copy()
    gradients[1, 3], gradients[2, 0] = np.nan, np.inf
    expected = np.ones_like(gradients, bool)
    expected[1, 3] = expected[2, 0] = False
    assert (made(gradients).is_finite == expected).all()


def test_noise_ignores_a_trend_and_does_not_depend_on_the_scale():
    noise = np.random.default_rng(0).normal(size=400)
    flat = made(np.ones((400, 1)), losses=10 + noise).loss_noise(400)
    trend = made(np.ones((400, 1)), losses=1e3 * (10 + noise + np.linspace(1, -1, 400))).loss_noise(400)
    assert flat == pytest.approx(0.1, rel=0.1)
    assert trend == pytest.approx(flat, rel=0.02)


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0, 1.9])
def test_curvature_along_the_step_is_that_of_a_parabola(rate):
    """On w^2 / 2 gradient descent multiplies w by 1 - rate: u'Hu / -g.u is the rate itself."""
    w = 3.0 * (1 - rate) ** np.arange(8)
    record = Record()
    record.layers = [Layer("0", "Linear", (("0.weight", (1, 1)),))]
    columns = (Column("gradient_update", "0.weight", 1),)
    record.add_steps(range(8), 0, w**2 / 2, [rate] * 8, {WHOLE: (-rate * w**2)[:, None]}, {WHOLE: columns})
    assert record.step_curvature() == pytest.approx(rate, rel=1e-5)


def test_skill_is_measured_against_the_best_constant():
    record = Record()
    record.facts["constant_loss"] = 2.0
    record.add_epoch({"loss": 2.0, "accuracy": 0.3, "confusion": [1, 2]}, {})
    record.add_epoch({"loss": 0.5, "val_loss": 1.0}, {"0": 0.25})
    assert record.skill().tolist() == [0.0, 0.75]
    assert np.isnan(record.skill("val_loss")).tolist() == [True, False]
    assert record.epochs.keys() == {"loss", "accuracy", "val_loss"}


def test_a_long_run_is_thinned_out_and_stays_even(monkeypatch):
    monkeypatch.setattr(record_module, "MOST_STEPS", 100)
    record = Record()
    for first in range(0, 1000, 50):
        columns = {WHOLE: (Column("weight_rms", "0.weight", 1),)}
        record.add_steps(range(first, first + 50), 0, [0.0] * 50, [0.0] * 50, {WHOLE: np.ones((50, 1))}, columns)
    assert record.steps.tolist() == list(range(0, 1000, record.stride))
    assert 50 <= len(record) <= 100


# --- of a run --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watched() -> Record:
    watch = cb.Watch()
    trained("convolutional", watch, cb.LambdaCallback(on_gradients=lambda trainer: None, every_steps=4))
    return watch.record


def test_a_file_gives_the_same_record_back(watched, tmp_path):
    watched.save(tmp_path / "record.npz")
    again = Record.load(tmp_path / "record.npz")
    assert again.layers == watched.layers
    assert (again.facts, again.epochs) == (watched.facts, watched.epochs)
    np.testing.assert_array_equal(again.dead_shares, watched.dead_shares)
    for name in watched.names:
        np.testing.assert_array_equal(again[name], watched[name], err_msg=name)
    for name in ("losses", "learning_rates", "steps", "epoch_of_step", "update_ratio", "sample_spread", "output_std"):
        np.testing.assert_array_equal(getattr(again, name), getattr(watched, name), err_msg=name)


def test_another_file_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    np.savez(tmp_path / "rows.npz", texts=np.frombuffer(b'{"layers": [3]}', np.uint8))
    (tmp_path / "text.npz").write_text("no")
    for name in ("other.npz", "rows.npz", "text.npz", "missing.npz"):
        with pytest.raises(FileFormatError):
            Record.load(tmp_path / name)


def test_facts_are_plain_and_tell_the_set_up(watched):
    facts = json.loads(json.dumps(watched.facts, allow_nan=False))
    assert facts["loss"] == "cross_entropy"
    assert facts["optimizer"] == "Adam"
    assert facts["groups"][0]["lr"] == 0.01
    assert facts["batch_size"] == 16
    assert facts["dropout"] == {"7": 0.2}
    assert facts["output_activation"] is None
    assert facts["inputs"][0]["shape"] == [75, 1, 8, 8]
    assert sum(facts["targets"]["counts"]) == 75
    assert facts["constant_loss"] == pytest.approx(math.log(3), abs=0.05)


def test_a_quantity_that_was_not_watched_is_refused_with_those_that_were(watched):
    with pytest.raises(ArgumentError, match="gradient_rms"):
        watched["weight_largest"]


def test_the_spread_between_samples_is_gone_where_all_look_the_same():
    tw.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
    with tw.no_grad():
        model[2].weight.mul_(0.0)
    watch = cb.Watch()
    tw.Trainer(model, lr=1e-9, progress=False).fit(data((6,)), batch_size=25, callbacks=[watch])
    assert (watch.record.sample_spread[:, 0] > 0.1).all()
    assert (watch.record.sample_spread[:, 1] < 1e-3).all()


# --- facts -----------------------------------------------------------------------------------------------------------


def test_facts_of_an_array_are_those_of_numpy():
    x = np.random.default_rng(0).normal(3.0, [1.0, 100.0], size=(500, 2))
    facts = facts_of_array(x)
    assert facts["mean"] == pytest.approx(x.mean())
    assert facts["std"] == pytest.approx(x.std())
    assert (facts["smallest"], facts["largest"]) == (x.min(), x.max())
    assert facts["feature_std"] == pytest.approx([x.std(0).min(), x.std(0).max()])
    x[3, 0] = np.nan
    assert facts_of_array(x)["finite_share"] == pytest.approx(0.999)


def test_the_best_constant_prediction_is_the_best():
    labels = np.array([0, 0, 0, 1])
    grid = np.linspace(0.001, 0.999, 999)
    entropy = -(np.log(1 - grid) * 0.75 + np.log(grid) * 0.25)
    assert constant_loss("cross_entropy", labels) == pytest.approx(entropy.min(), abs=1e-5)
    assert constant_loss("bce_with_logits", labels.astype(np.float32)) == pytest.approx(entropy.min(), abs=1e-5)
    values = np.random.default_rng(0).normal(size=101)
    guesses = np.linspace(-3, 3, 6001)
    assert constant_loss("mse", values) == pytest.approx(((values[:, None] - guesses) ** 2).mean(0).min(), abs=1e-5)
    assert constant_loss("l1", values) == pytest.approx(np.abs(values[:, None] - guesses).mean(0).min(), abs=1e-3)
    assert constant_loss("my_loss", values) is None


def test_labels_are_counted_and_numbers_are_not():
    assert facts_of_targets(np.array([2, 2, 7]))["counts"] == [2, 1]
    assert "classes" not in facts_of_targets(np.array([0.5, 1.5]))
