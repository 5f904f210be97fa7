"""The training loop: what it computes, in which order, how often, and that it can be repeated bit for bit."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import thalweg as tw
from tests.support.training import CountEvaluations, classes, close, line, network, same_bits, trainer, weights
from thalweg import nn, optim
from thalweg.tensor.random import default_generator
from thalweg.train import Batch
from thalweg.train.metrics import Accuracy


def test_a_network_learns():
    made = trainer(metrics=["accuracy"])
    history = made.fit(classes(), epochs=30, batch_size=16)
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    assert history["accuracy"][-1] > 0.9
    assert made.epochs_trained == 30


@pytest.mark.parametrize("compile", [True, False])
def test_fit_is_the_loop_that_one_writes_by_hand(compile):
    x, y = line()
    model = network(3, 1)
    made = trainer(network(3, 1), loss="mse", optimizer="sgd", lr=0.1, compile=compile)
    made.fit((x, y), epochs=3, batch_size=16, shuffle=False)
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def step(batch, target):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(batch), target)
        loss.backward()
        optimizer.step()
        return loss

    step = tw.compile(step) if compile else step
    for _ in range(3):
        for first in range(0, len(x), 16):
            step(tw.tensor(x[first : first + 16]), tw.tensor(y[first : first + 16]))
    assert same_bits(weights(made.model), weights(model))


def test_the_public_pieces_make_the_same_loop():
    x, y = line()
    whole, pieces = (trainer(network(3, 1), loss="mse", optimizer="sgd", lr=0.1) for _ in range(2))
    whole.fit((x, y), epochs=2, batch_size=16, shuffle=False)
    for epoch in range(2):
        pieces.begin_epoch(epoch)
        for first in range(0, len(x), 16):
            pieces.run_batch(Batch(x[first : first + 16], y[first : first + 16]))
    assert same_bits(weights(whole.model), weights(pieces.model))


def test_train_step_is_a_function_of_tensors():
    x, y = line()
    made = trainer(network(3, 1), loss="mse")
    loss, prediction = made.train_step(tw.tensor(x), tw.tensor(y))
    again, _ = made.train_step(tw.tensor(x), tw.tensor(y))
    assert loss.shape == ()
    assert prediction.shape == (40, 1)
    assert again.item() < loss.item()


@pytest.mark.parametrize("batch_size", [40, 1, 16])
def test_batch_stochastic_and_mini_batch_descent_are_one_loop(batch_size):
    x, y = line()
    made = trainer(network(3, 1), loss="mse", optimizer="sgd", lr=0.05)
    history = made.fit(x, y, epochs=4, batch_size=batch_size)
    assert len(history.steps["loss"]) == 4 * -(-40 // batch_size)
    assert history["loss"][-1] < history["loss"][0]


def test_one_batch_is_two_evaluations_the_gradients_and_the_update(monkeypatch):
    counter = CountEvaluations(monkeypatch)
    schedule = optim.schedules.Exponential(0.05, 0.9)
    made = trainer(
        network(dropout=0.2), metrics=["accuracy"], lr=schedule, clip_norm=1.0,
        callbacks=[tw.callbacks.GradientNorms()], compile=False,
    )  # fmt: skip
    made.penalties = [optim.L2(1e-3, made.model.named_parameters())]
    counter.count = 0
    made.fit(classes(48), epochs=2, batch_size=16)
    reading_the_schedule_before_the_first_step = 1
    assert counter.count <= 2 * 6 + reading_the_schedule_before_the_first_step


def test_one_batch_of_an_evaluation_is_one_evaluation(monkeypatch):
    made = trainer(metrics=["accuracy"], compile=False)
    counter = CountEvaluations(monkeypatch)
    made.evaluate(classes(48), batch_size=16)
    assert counter.count == 3


def test_checks_before_the_first_step_compute_nothing(monkeypatch):
    made = trainer(metrics=["accuracy"])
    counter = CountEvaluations(monkeypatch)
    made.fit(classes(), epochs=0)
    assert counter.count == 0


# --- exact numbers ---------------------------------------------------------------------------------------------------


def test_numbers_of_an_epoch_are_exact_over_an_unequal_last_batch():
    x, y = classes(50)
    made = trainer(optimizer="sgd", lr=0.0, metrics=["accuracy", "macro_f1"])
    history = made.fit((x, y), epochs=1, batch_size=16, validation=(x, y))
    whole = made.evaluate((x, y), batch_size=50)
    for name, value in whole.items():
        assert history[name][0] == pytest.approx(value, rel=1e-6)
        assert history[f"val_{name}"][0] == pytest.approx(value, rel=1e-6)


def test_evaluate_is_the_loop_by_hand():
    x, y = classes(37)
    made = trainer(metrics=["accuracy"])
    results = made.evaluate((x, y), batch_size=10)
    logits = made.predict(x)
    shifted = logits - logits.max(1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    assert results["loss"] == pytest.approx(-log_probabilities[np.arange(37), y].mean(), rel=1e-5)
    assert results["accuracy"] == pytest.approx((logits.argmax(1) == y).mean())


def test_predict_gives_a_row_for_each_example_and_does_not_need_targets():
    x, y = classes(37)
    made = trainer()
    rows = made.predict(x, batch_size=8)
    assert rows.shape == (37, 3)
    assert rows.dtype == np.float32
    for data in ((x, y), tw.tensor(x), tw.data.TensorDataset(x, y), tw.data.DataLoader((x, y), batch_size=5)):
        np.testing.assert_allclose(made.predict(data), rows, rtol=1e-5, atol=1e-6)


def test_evaluation_leaves_the_model_in_its_mode_and_uses_no_dropout():
    x, y = classes()
    made = trainer(network(dropout=0.5))
    made.model.train()
    made.model[1].eval()
    assert made.evaluate((x, y)) == made.evaluate((x, y))
    np.testing.assert_array_equal(made.predict(x), made.predict(x))
    assert made.model.training
    assert not made.model[1].training
    assert made.model[2].training


def test_history_has_the_loss_and_rate_of_every_step():
    schedule = optim.schedules.Exponential(0.1, 0.5)
    made = trainer(optimizer="sgd", lr=schedule)
    history = made.fit(classes(), epochs=2, batch_size=20)
    assert history.steps["step"] == list(range(6))
    assert history.steps["epoch"] == [0] * 3 + [1] * 3
    np.testing.assert_allclose(history.steps["learning_rate"], schedule.values(6))
    assert np.mean(history.steps["loss"][:3]) == pytest.approx(history["loss"][0], rel=1e-6)
    assert history["learning_rate"] == [history.steps["learning_rate"][2], history.steps["learning_rate"][5]]


def test_a_penalty_is_minimised_but_not_reported():
    x, y = line()
    made = trainer(network(3, 1), loss="mse", optimizer="sgd", lr=0.1)
    made.penalties = [optim.L2(0.1, made.model.named_parameters())]
    plain = trainer(network(3, 1), loss="mse", optimizer=lambda p: optim.SGD(p, lr=0.1, weight_decay=0.1))
    first, second = (each.fit((x, y), epochs=3, batch_size=16) for each in (made, plain))
    np.testing.assert_allclose(first["loss"], second["loss"], rtol=1e-5)
    assert close(weights(made.model), weights(plain.model))


@pytest.mark.parametrize("option", [{"clip_norm": 0.01}, {"clip_value": 0.001}])
def test_clipping_limits_the_update(option):
    x, y = line()
    clipped, free = (trainer(network(3, 1), loss="mse", optimizer="sgd", lr=1.0, **each) for each in (option, {}))
    before = weights(free.model)
    for each in (clipped, free):
        each.fit((x, y), batch_size=40)
    moved = [
        np.sqrt(sum(((weights(each.model)[n] - before[n]) ** 2).sum() for n in before)) for each in (clipped, free)
    ]
    assert moved[0] < 0.02 < moved[1]


# --- repeatability ---------------------------------------------------------------------------------------------------


def run(seed: int = 0, **options: object) -> dict[str, np.ndarray]:
    made = trainer(network(dropout=0.3), seed=seed, **options)
    made.fit(classes(), epochs=3, batch_size=16, validation_split=0.2)
    return weights(made.model)


@pytest.mark.parametrize("compile", [False, True])
def test_the_same_seed_gives_the_same_bits(compile):
    first = run(compile=compile)
    tw.rand(7)  # what others draw changes nothing
    tw.data.manual_seed(5)
    assert same_bits(first, run(compile=compile))
    assert not same_bits(first, run(seed=1, compile=compile))


def test_training_leaves_the_random_numbers_of_others_alone():
    tw.manual_seed(3)
    expected = (tw.rand(2), tw.rand(2))[1].numpy()
    tw.manual_seed(3)
    tw.rand(2)
    saved = default_generator.get_state()
    made = trainer(network(dropout=0.5))
    default_generator.set_state(saved)
    made.fit(classes(), epochs=2)
    np.testing.assert_array_equal(tw.rand(2).numpy(), expected)


@pytest.mark.parametrize("compile", [True, False])
@pytest.mark.parametrize("every", [1, 2])
def test_watching_changes_no_bit(compile, every):
    norms = tw.callbacks.GradientNorms(every_steps=every)
    assert same_bits(run(compile=compile), run(compile=compile, callbacks=[norms], metrics=["accuracy"]))


def test_triggers_of_callbacks_outside_the_step_cause_no_further_program(tmp_path):
    extra = [tw.callbacks.JSONLinesLogger(tmp_path / "log", every_steps=3), tw.callbacks.GradientNorms(every_steps=2)]
    made = trainer(compile=True, callbacks=extra)
    made.fit(classes(48), epochs=3, batch_size=16)
    assert len(made.steps._programs) == 2


def test_epochs_of_one_trainer_have_different_orders_also_over_several_fits():
    seen = []
    made = trainer(
        callbacks=[tw.callbacks.LambdaCallback(on_batch_begin=lambda t: seen.append(t.state.targets.numpy()))]
    )
    for _ in range(2):
        made.fit(classes(), epochs=1, batch_size=60)
    assert not np.array_equal(seen[0], seen[1])


def test_two_fits_of_one_epoch_are_one_fit_of_two():
    made = trainer(network(dropout=0.3))
    made.fit(classes(), epochs=1, batch_size=16)
    made.fit(classes(), epochs=2, initial_epoch=1, batch_size=16)
    other = trainer(network(dropout=0.3))
    history = other.fit(classes(), epochs=2, batch_size=16)
    assert same_bits(weights(made.model), weights(other.model))
    assert history.epoch == [0, 1]
    assert made.history.epoch == [1]


def test_compiled_training_agrees():
    x, y = classes(50)
    results = []
    for compile in (False, True):
        made = trainer(
            network(dropout=0.2), metrics=["accuracy"], clip_norm=1.0, compile=compile,
            callbacks=[
                tw.callbacks.GradientNorms(every_steps=2), tw.callbacks.ReduceLROnPlateau(patience=0, threshold=9),
            ],
        )  # fmt: skip
        results.append((made.fit((x, y), epochs=4, batch_size=16, validation=(x, y)), weights(made.model)))
    (plain, one), (compiled, other) = results
    assert close(other, one, 1e-4)
    np.testing.assert_allclose(compiled["val_loss"], plain["val_loss"], rtol=1e-4)
    assert compiled["learning_rate"] == plain["learning_rate"]
    assert [n is None for n in compiled.steps["gradient_norm/0"]] == [n is None for n in plain.steps["gradient_norm/0"]]


# --- weights ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["cross_entropy", nn.CrossEntropyLoss(), "nll"])
def test_a_sample_weight_counts_an_example_that_often(loss):
    x, y = classes(20)
    counts = np.random.default_rng(1).integers(0, 4, 20)
    repeated = np.repeat(np.arange(20), counts)
    final = [nn.LogSoftmax(1)] if loss == "nll" else []
    results = []
    for data, many in (((x, y), counts), ((x[repeated], y[repeated]), None)):
        made = trainer(nn.Sequential(network(), *final), loss=loss, metrics=["accuracy"])
        history = made.fit(*data, sample_weight=many, epochs=3, batch_size=100)
        results.append((history, made.evaluate(data, sample_weight=many), weights(made.model)))
    (one, evaluated, first), (other, evaluated_other, second) = results
    assert close(first, second, 1e-4)
    np.testing.assert_allclose(one["loss"], other["loss"], rtol=1e-5)
    np.testing.assert_allclose(one["accuracy"], other["accuracy"], rtol=1e-9)
    assert evaluated == pytest.approx(evaluated_other, rel=1e-5)


def test_sample_weights_of_a_regression_with_several_outputs():
    x, _ = line()
    y = np.stack([x[:, 0], x[:, 1]], 1)
    w = np.random.default_rng(0).random(40)
    made = trainer(network(3, 2), loss="mse", optimizer="sgd", lr=0.0)
    history = made.fit((x, y, w), epochs=1, batch_size=16)
    expected = (((made.predict(x) - y) ** 2).mean(1) * w).sum() / w.sum()
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("given", [{0: 3.0, 2: 0.5}, [3.0, 1.0, 0.5], np.array([3.0, 1.0, 0.5])])
def test_class_weights_are_those_of_the_loss_module(given):
    x, y = classes()
    made = trainer(class_weight=given)
    other = trainer(loss=nn.CrossEntropyLoss(weight=tw.tensor([3.0, 1.0, 0.5])))
    made.fit(x, y, epochs=2, batch_size=60)
    other.fit(x, y, epochs=2, batch_size=60)
    assert close(weights(made.model), weights(other.model), 1e-4)


def test_balanced_class_weights_count_every_class_the_same():
    x, y = classes(60, kinds=2)
    kept = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:5]]
    x, y = x[kept], y[kept]
    own = len(y) / (2 * np.bincount(y))
    made, other = trainer(network(outputs=2), class_weight="balanced"), trainer(network(outputs=2), class_weight=own)
    made.fit(x, y, batch_size=16)
    other.fit(x, y, batch_size=16)
    assert same_bits(weights(made.model), weights(other.model))


def test_class_weights_do_not_weigh_metrics_or_validation():
    x, y = classes()
    made = trainer(optimizer="sgd", lr=0.0, class_weight={0: 10.0}, metrics=["accuracy"])
    history = made.fit(x, y, validation=(x, y))
    plain = made.evaluate((x, y))
    assert history["accuracy"][0] == pytest.approx(plain["accuracy"])
    assert history["val_loss"][0] == pytest.approx(plain["loss"])
    assert history["loss"][0] != pytest.approx(plain["loss"])


def test_a_batch_of_weight_zero_changes_nothing():
    x, y = classes(20)
    made = trainer(optimizer="sgd", lr=0.1)
    before = weights(made.model)
    made.fit(x[:10], y[:10], sample_weight=np.r_[np.ones(5), np.zeros(5)], batch_size=5, shuffle=False)
    after = weights(made.model)
    other = trainer(optimizer="sgd", lr=0.1)
    other.fit(x[:5], y[:5], batch_size=5, shuffle=False)
    assert not same_bits(before, after)
    assert close(after, weights(other.model), 1e-5)


def test_ignored_labels_weigh_nothing_in_loss_and_metrics():
    x, y = classes(30)
    masked = np.where(np.arange(30) % 3 == 0, -100, y)
    made = trainer(loss=nn.CrossEntropyLoss(), metrics=["accuracy"], optimizer="sgd", lr=0.0)
    history = made.fit(x, masked, batch_size=7)
    visible = made.evaluate((x[masked >= 0], y[masked >= 0]))
    assert history["loss"][0] == pytest.approx(visible["loss"], rel=1e-5)
    assert history["accuracy"][0] == pytest.approx(visible["accuracy"])


# --- losses, optimizers, targets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["mse", "mae", "l1", "huber", nn.MSELoss(), nn.HuberLoss(delta=0.5)])
@pytest.mark.parametrize("shape", [(40, 1), (40,)])
def test_a_column_and_a_vector_are_the_same_targets(loss, shape):
    x, y = line()
    made, other = trainer(network(3, 1), loss=loss), trainer(network(3, 1), loss=loss)
    made.fit(x, y.reshape(shape), epochs=2)
    other.fit(x, y, epochs=2)
    assert same_bits(weights(made.model), weights(other.model))


@pytest.mark.parametrize(
    "labels", [lambda y: y, lambda y: y.astype(bool), lambda y: y.astype(float)[:, None], lambda y: y.astype(np.uint8)]
)
def test_binary_labels_of_any_dtype(labels):
    x, y = classes(kinds=2)
    made = trainer(network(outputs=1), loss="bce_with_logits", metrics=["accuracy", "f1"])
    history = made.fit(x, labels(y), epochs=20, batch_size=16)
    assert history["accuracy"][-1] > 0.9


def test_binary_probabilities():
    x, y = classes(kinds=2)
    made = trainer(nn.Sequential(network(outputs=1), nn.Sigmoid()), loss="bce", metrics=["accuracy"])
    assert made.fit(x, y, epochs=20, batch_size=16)["accuracy"][-1] > 0.9


def test_soft_targets_are_taken():
    x, y = classes()
    made, other = trainer(), trainer()
    made.fit(x, np.eye(3)[y])
    other.fit(x, y)
    assert close(weights(made.model), weights(other.model), 1e-4)


def test_a_loss_function_and_a_weighted_one():
    x, y = line()

    def mean_fourth_power(prediction, target):
        return ((prediction - target) ** 4).mean()

    def fourth_power(prediction, target):
        return (prediction - target) ** 4

    one, other = trainer(network(3, 1), loss=mean_fourth_power), trainer(network(3, 1), loss=fourth_power)
    one.fit(x, y, epochs=2)
    other.fit(x, y, epochs=2, sample_weight=np.ones(40))
    assert close(weights(one.model), weights(other.model), 1e-4)


@pytest.mark.parametrize("optimizer", [*sorted(tw.train.OPTIMIZERS), optim.SGD, lambda p: optim.Adam(p, lr=0.1)])
def test_an_optimizer_by_name_class_or_function(optimizer):
    x, y = line()
    made = tw.Trainer(network(3, 1), loss="mse", optimizer=optimizer, progress=False)
    history = made.fit(x, y, epochs=3)
    assert history["loss"][-1] < history["loss"][0]


def test_a_float64_model_trains_in_float64():
    x, y = classes()
    made = trainer(network().double())
    made.fit(x.astype(np.float32), y)
    assert made.predict(x).dtype == np.float64


def test_uint8_images_are_cast_not_scaled():
    images = np.random.default_rng(0).integers(0, 256, (12, 4), np.uint8)
    made = trainer(network(4))
    np.testing.assert_array_equal(made.predict(images), made.predict(images.astype(np.float32)))


def test_integer_inputs_reach_an_embedding_as_they_are():
    tw.manual_seed(0)
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2))
    tokens = np.random.default_rng(0).integers(0, 5, 50).astype(np.int32)
    made = trainer(model, metrics=["accuracy"])
    assert made.fit(tokens, tokens % 2, epochs=20, batch_size=10)["accuracy"][-1] == 1.0


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 1), nn.Linear(3, 1)

    def forward(self, a, b):
        return self.first(a) + self.second(b)


def test_a_model_of_several_inputs():
    a, b = np.ones((12, 2)), np.random.default_rng(0).normal(size=(12, 3))
    made = trainer(TwoInputs(), loss="mse")
    history = made.fit((a, b), b[:, :1], epochs=10, batch_size=4, validation=((a, b), b[:, :1]))
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert made.predict(((a, b),)).shape == made.predict(((a, b), b[:, :1])).shape == (12, 1)


def test_a_metric_instance_is_used_as_it_is_set():
    x, y = classes(kinds=2)
    made = trainer(network(outputs=1), loss="bce_with_logits", metrics=[Accuracy(from_logits=True, name="hits")])
    assert "val_hits" in made.fit(x, y, validation=(x, y)).history


def test_a_metric_that_is_no_number_is_kept_in_the_history():
    made = trainer(metrics=[tw.metrics.ConfusionMatrix(3), tw.metrics.Recall(average=None)])
    history = made.fit(classes(), epochs=2)
    assert history["confusion_matrix"][1].shape == (3, 3)
    assert len(history["recall"]) == 2


def test_a_loss_that_is_no_number_is_reported_once_and_its_metrics_are_nan():
    x, y = classes()
    made = trainer(loss=lambda p, t: p.sum() * np.inf, metrics=["accuracy"])
    with pytest.warns(RuntimeWarning, match="the loss became") as caught:
        history = made.fit(x, y, epochs=2)
    assert len(caught) == 1
    assert np.isnan(history["accuracy"]).all()


def test_the_source_of_the_loop_fits_on_one_screen():
    text = tw.Trainer.training_loop()
    assert "def train_step" in text
    assert ".backward()" in text
    body = inspect.getsource(tw.Trainer.fit).split('"""')[2]
    assert len(body.splitlines()) < 30
