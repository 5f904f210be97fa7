"""The benchmark of diagnosis: cases become the networks, losses and schedules of the schema; scores count right.

In: cases written here, so that no data set is needed. Out: trainers, outcomes, scores.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import thalweg as tw
from bench.diagnosis import objectives
from bench.diagnosis.cases import Data, metric_of, set_up, targets_of
from bench.diagnosis.networks import WaitingError, network, start
from bench.diagnosis.planted import planted_cases
from bench.diagnosis.running import Outcome
from bench.diagnosis.scoring import score
from thalweg.diagnose import PROBLEMS

CASE: dict[str, Any] = {
    "id": "made here", "label": "healthy", "also_acceptable": [], "stable": True, "data": "none", "input_scale": 1,
    "layers": [{"kind": "dense", "units": 8, "activation": "relu", "init": "he_normal", "bias_init": "zeros"}],
    "output": {"units": 3, "activation": "softmax", "init": "glorot_uniform", "bias_init": "zeros"},
    "loss": "categorical_cross_entropy", "optimizer": {"name": "adam", "lr": 0.01}, "batch_size": 16, "epochs": 3,
    "reference": {"metric": "accuracy", "value": 1.0, "fails_below": 0.5},
}  # fmt: skip
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(64, 4)).astype(np.float32)
DATA = Data(X, X[:, :3].argmax(1), X[:16], X[:16, :3].argmax(1), 3)
NUMBERS = Data(X, X[:, :1], X[:16], X[:16, :1], 0)


def case(**changed: Any) -> dict[str, Any]:
    return {**CASE, **changed}


@pytest.mark.parametrize(
    ("given", "variance"),
    [
        ("he_normal", 2 / 400), ("he_uniform", 2 / 400), ("lecun_normal", 1 / 400), ("lecun_uniform", 1 / 400),
        ("glorot_normal", 2 / 700), ("glorot_uniform", 2 / 700), ({"name": "normal", "mean": 0.0, "std": 0.3}, 0.09),
        ({"name": "uniform", "low": -0.05, "high": 0.05}, 0.1**2 / 12),
        ({"name": "truncated_normal", "std": 0.05}, (0.05 * 0.87962566) ** 2),
    ],
)  # fmt: skip
def test_initialisers_have_the_variance_of_the_schema(given: Any, variance: float) -> None:
    tw.manual_seed(0)
    weight = tw.zeros(300, 400)
    start(weight, given)
    assert float(weight.numpy().var()) == pytest.approx(variance, rel=0.03)
    if "normal" in str(given) and given != {"name": "normal", "mean": 0.0, "std": 0.3}:
        assert np.abs(weight.numpy()).max() <= 2 * math.sqrt(variance) / 0.87962566 * 1.001


def test_a_bias_has_as_many_inputs_as_entries() -> None:
    tw.manual_seed(0)
    bias = tw.zeros(10000)
    start(bias, "he_normal")
    assert float(bias.numpy().var()) == pytest.approx(2 / 10000, rel=0.1)


def test_softmax_and_its_loss_are_computed_from_scores() -> None:
    model, _ = network(CASE, (4,))
    assert isinstance(model[-1], tw.nn.Linear)
    assert objectives.loss_of(CASE) == "cross_entropy"
    single = case(output={**CASE["output"], "units": 1}, loss="mean_squared_error")
    assert isinstance(network(single, (4,))[0][-1], tw.nn.Softmax)


def test_convolutions_keep_track_of_shapes() -> None:
    layers = [
        {"kind": "conv2d", "filters": 4, "kernel": 3, "padding": "same", "activation": "relu"},
        {"kind": "maxpool2d", "size": 2},
        {"kind": "conv2d", "filters": 6, "kernel": 3, "padding": "valid", "activation": "linear"},
        {"kind": "batchnorm"}, {"kind": "layernorm"}, {"kind": "activation", "activation": "elu"}, {"kind": "flatten"},
    ]  # fmt: skip
    model, _ = network(case(layers=layers), (1, 9, 9))
    assert model(tw.zeros(2, 1, 9, 9)).shape == (2, 3)


@pytest.mark.parametrize("kind", ["simple_rnn", "lstm", "gru"])
def test_recurrent_layers_hand_on_their_last_state(kind: str) -> None:
    layers = [{"kind": kind, "units": 4, "recurrent_init": "orthogonal"}]
    model, _ = network(case(layers=layers), (5, 2))
    x = tw.ones(3, 5, 2)
    _, last = model[0].layer(x)
    state = last[0] if kind == "lstm" else last
    np.testing.assert_array_equal(model[0](x).detach().numpy(), state[0].detach().numpy())
    assert model(x).shape == (3, 3)
    assert not any(each.any().item() for name, each in model[0].named_parameters() if "bias" in name)


def test_forget_gates_start_as_far_open_as_the_case_says() -> None:
    model, _ = network(case(layers=[{"kind": "lstm", "units": 2, "forget_bias": 3.0}]), (5, 1))
    assert model[0].layer.bias_ih_l0.detach().numpy().tolist() == [0, 0, 3, 3, 0, 0, 0, 0]


@pytest.mark.parametrize("layer", [{"kind": "capsule"}, {"kind": "simple_rnn", "units": 4, "activation": "sigmoid"}])
def test_layers_that_are_not_known_wait(layer: dict[str, Any]) -> None:
    with pytest.raises(WaitingError):
        network(case(layers=[layer]), (5, 1))


@pytest.mark.parametrize(
    ("name", "naive"),
    [
        (objectives.categorical_cross_entropy,
         lambda p, t: -np.mean(np.sum(t * np.log(np.clip(p / p.sum(1, keepdims=True), 1e-7, 1 - 1e-7)), axis=1))),
        (objectives.unnormalised_cross_entropy,
         lambda p, t: -np.mean(np.sum(t * np.log(np.clip(p, 1e-7, 1 - 1e-7)), axis=1))),
        (objectives.binary_cross_entropy,
         lambda p, t: -np.mean(t * np.log(np.clip(p, 1e-7, 1)) + (1 - t) * np.log(np.clip(1 - p, 1e-7, 1)))),
        (objectives.cross_entropy_as_regression, lambda p, t: -np.mean(t * np.log(np.clip(p, 1e-10, 1)))),
        (objectives.binary_cross_entropy_with_scores,
         lambda p, t: np.mean(np.log1p(np.exp(-p)) * t + np.log1p(np.exp(p)) * (1 - t))),
    ],
)  # fmt: skip
def test_losses_are_their_formulas(name: Any, naive: Any) -> None:
    p = RANDOM.uniform(0.1, 0.9, (6, 3))
    t = np.eye(3)[RANDOM.integers(0, 3, 6)]
    assert name(tw.tensor(p), tw.tensor(t)).item() == pytest.approx(naive(p, t), rel=1e-6)


def test_a_missing_axis_broadcasts() -> None:
    p, t = RANDOM.normal(size=(5, 1)), RANDOM.normal(size=(5, 1))
    naive = np.mean([(a - b) ** 2 for a in p[:, 0] for b in t[:, 0]])
    found = objectives.mean_squared_error_missing_axis(tw.tensor(p), tw.tensor(t)).item()
    assert found == pytest.approx(naive)


@pytest.mark.parametrize(
    ("schedule", "factor"),
    [
        ({"kind": "linear_warmup", "steps": 10}, lambda t: min(1, (t + 1) / 10)),
        ({"kind": "warmup_cosine", "steps": 10}, lambda t: min(1, (t + 1) / 10) * (1 + math.cos(math.pi * t / 40)) / 2),
        ({"kind": "cosine_restarts", "cycles": 4}, lambda t: (1 + math.cos(math.pi * ((4 * t / 40) % 1))) / 2),
        ({"kind": "step", "factor": 0.1, "stages": 4}, lambda t: 0.1 ** (4 * t // 40)),
    ],
)
def test_schedules_are_their_formulas(schedule: dict[str, Any], factor: Any) -> None:
    made = objectives.CaseSchedule(lr=0.5, total=40, **schedule)
    np.testing.assert_allclose(made.values(40), [0.5 * factor(t) for t in range(40)], rtol=1e-9, atol=1e-12)


def test_a_negative_rate_climbs() -> None:
    model, _ = network(CASE, (4,))
    made = objectives.optimizer_of(case(optimizer={"name": "sgd", "lr": -0.1}), model, 10)
    assert made.param_groups[0]["maximize"] is True
    assert made.param_groups[0]["lr"] == 0.1


def test_penalties_have_the_whole_square() -> None:
    layers = [{**CASE["layers"][0], "l2": 0.25}]
    made = set_up(case(layers=layers), DATA)
    weight = made.trainer.model[0].weight.detach().numpy()
    assert made.trainer.penalties[0]().item() == pytest.approx(0.25 * float((weight**2).sum()), rel=1e-5)


def test_frozen_layers_stay() -> None:
    made = set_up(case(layers=[{**CASE["layers"][0], "trainable": False}]), DATA)
    before = np.array(made.trainer.model[0].weight.detach().numpy())
    made.fit()
    np.testing.assert_array_equal(before, made.trainer.model[0].weight.detach().numpy())


def test_signed_targets_reach_the_loss() -> None:
    binary = case(output={**CASE["output"], "units": 1, "activation": "sigmoid"}, loss="binary_cross_entropy",
                  data_options={"targets": "plus_minus_one"})  # fmt: skip
    assert sorted(np.unique(targets_of(binary, np.array([0, 1, 1]), 2))) == [-1, 1]


def test_the_metric_is_accuracy_or_the_coefficient_of_determination() -> None:
    scores = np.eye(3)[DATA.y_validation] * 3
    assert metric_of(CASE, DATA, scores.astype(np.float32)) == 1
    assert metric_of(CASE, DATA, np.full_like(scores, np.nan)) == 0
    linear = case(output={**CASE["output"], "units": 1, "activation": "linear"}, loss="mean_squared_error")
    assert metric_of(linear, NUMBERS, NUMBERS.y_validation) == 1
    assert metric_of(linear, NUMBERS, np.full_like(NUMBERS.y_validation, np.nan)) is None


def outcome(label: Any, found: list[str], also: tuple[str, ...] = (), **changed: Any) -> Outcome:
    made = Outcome("x", label, True, found, found[:1], None, None, 0.2, 0.2, 0.2, 1.0, 1.0, 1.0, 0.5, list(also))
    return replace(made, **changed)


def test_scores_are_counted_as_the_schema_says() -> None:
    found = score([
        outcome(["dying_relu"], ["dying_relu"]),
        outcome(["dying_relu", "non_finite"], ["plateau", "non_finite"], ("plateau",)),
        outcome(["dying_relu"], ["plateau"]),
        outcome("healthy", []),
        outcome("healthy", ["overfitting"], ("overfitting",)),
        outcome("healthy", ["plateau"]),
        outcome(["dying_relu"], ["dying_relu"], stable=False, metric=0.9),
        outcome(["vanishing_gradient"], [], waiting="no layer lstm yet"),
    ])  # fmt: skip
    assert (found.faulty, found.detected, found.named_first) == (3, 2, 2)
    assert (found.labels, found.labels_found) == (4, 2)
    assert (found.healthy, found.false_alarms) == (4, 1)


def test_every_planted_fault_has_a_name_and_can_be_set_up() -> None:
    cases = planted_cases()
    assert len({each["id"] for each in cases}) == len(cases)
    for each in [*cases[::11], *(each for each in cases if "planted" in each)]:
        assert set(each["label"]) <= PROBLEMS.keys()
        data = NUMBERS if each["data"].startswith("regression") else replace(DATA, y=DATA.y % 2, classes=2)
        made = set_up(each, data)
        assert len(made.training[0]) == len(made.training[1])
        assert made.trainer.model(tw.tensor(X)).shape[0] == len(X)
