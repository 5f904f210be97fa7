"""`Doctor` on real runs: healthy ones get no findings, each fault its own, and no bit of the run changes.

In: small regressions and classifications. Out: findings after `fit`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import thalweg as tw
from thalweg import nn
from thalweg.diagnose.judge import problems
from thalweg.train.callbacks.doctor import Doctor


def data(seed: int = 0) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(600, 2)).astype(np.float32)
    y = ((x**2).sum(1) > 1.4).astype(int)
    return (x[:400], y[:400]), (x[400:], y[400:])


def mlp(activation: Callable[[], nn.Module] = nn.ReLU, depth: int = 2, width: int = 24) -> nn.Sequential:
    tw.manual_seed(0)
    layers: list[nn.Module] = []
    for number in range(depth):
        linear = nn.Linear(width if number else 2, width)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        layers += [linear, activation()]
    return nn.Sequential(*layers, nn.Linear(width, 2))


def examined(model: nn.Module, factor: float = 1.0, epochs: int = 30, **settings: Any) -> tuple[tw.Trainer, Doctor]:
    (x, y), (xv, yv) = data()
    doctor = Doctor(show=False)
    settings = {"optimizer": "adam", "lr": 0.01} | settings
    trainer = tw.Trainer(model, callbacks=[doctor], progress=False, **settings)
    trainer.fit((x * factor, y), validation=(xv * factor, yv), epochs=epochs)
    return trainer, doctor


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.GELU, nn.ELU])
def test_a_healthy_run_has_no_findings(activation: Callable[[], nn.Module]) -> None:
    _, doctor = examined(mlp(activation))
    assert doctor.findings == []


def test_a_rate_that_is_too_low_is_found_by_probes() -> None:
    _, doctor = examined(mlp(), optimizer="sgd", lr=1e-5)
    assert problems(doctor.findings)[0] == "learning_rate_too_low"


def test_a_rate_that_is_too_high_is_found_by_probes() -> None:
    _, doctor = examined(mlp(), lr=3.0)
    assert problems(doctor.findings)[0] == "learning_rate_too_high"


def test_a_gradient_that_vanishes_is_found_with_its_layer_and_line() -> None:
    _, doctor = examined(mlp(nn.Sigmoid, depth=9, width=5), optimizer="sgd", lr=0.1)
    found = doctor.findings[0]
    assert found.problem == "vanishing_gradient"
    assert found.layer in ("0", "2", "4")
    assert found.line is not None
    assert "test_doctor.py" in found.line


def test_inputs_that_are_not_scaled_come_before_their_consequences() -> None:
    _, doctor = examined(mlp(), factor=1000.0, optimizer="sgd", lr=0.05)
    assert [each.problem for each in doctor.findings] == ["unscaled_input"]


def test_a_penalty_that_is_too_strong_is_found() -> None:
    model = mlp()
    penalties = [tw.optim.L2(2.0, model.named_parameters(), only="*.weight")]
    _, doctor = examined(model, penalties=penalties)
    assert problems(doctor.findings)[0] == "over_regularized"


@pytest.mark.parametrize("layer", [0, 2, 4])
def test_dead_units_are_found_in_the_layer_where_they_were_planted(layer: int) -> None:
    model = mlp(depth=3)
    nn.init.constant_(model[layer].bias, -30.0)
    _, doctor = examined(model, optimizer="sgd", lr=0.01)
    assert doctor.findings[0].problem == "dying_relu"
    assert doctor.findings[0].layer == str(layer)


def test_the_doctor_changes_no_bit_of_the_run() -> None:
    trainers = []
    for callbacks in ([], [Doctor(show=False)]):
        model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))
        for parameter, seed in zip(model.parameters(), range(9), strict=False):
            values = np.random.default_rng(seed).normal(size=parameter.shape)
            with tw.no_grad():
                parameter.copy_(tw.tensor(values.astype(np.float32)))
        trainer = tw.Trainer(model, callbacks=callbacks, progress=False, seed=3)
        train, validation = data()
        trainer.fit(train, validation=validation, epochs=4)
        trainers.append(trainer)
    for one, other in zip(*(each.model.state_dict().values() for each in trainers), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize("kind", ["dataset", "loader", "batches"])
def test_other_data_is_read_into_a_sample(kind: str) -> None:
    (x, y), validation = data()
    dataset = tw.data.TensorDataset(x * 1000, y)
    given = {
        "dataset": dataset, "loader": tw.data.DataLoader(dataset, 32, shuffle=True),
        "batches": lambda: ((x[i : i + 32] * 1000, y[i : i + 32]) for i in range(0, 400, 32)),
    }  # fmt: skip
    doctor = Doctor(show=False)
    trainer = tw.Trainer(mlp(), optimizer="sgd", lr=0.05, callbacks=[doctor], progress=False)
    trainer.fit(given[kind], validation=validation, epochs=10)
    assert [each.problem for each in doctor.findings] == ["unscaled_input"]


def test_data_that_can_be_read_once_is_left_alone() -> None:
    (x, y), _ = data()
    doctor = Doctor(show=False)
    batches = ((x[i : i + 32], y[i : i + 32]) for i in range(0, 96, 32))
    history = tw.Trainer(mlp(), callbacks=[doctor], progress=False).fit(batches)
    assert doctor.run is None
    assert len(history.steps["loss"]) == 3


def test_looking_makes_no_step_be_traced_again() -> None:
    (x, y), validation = data()
    counts = []
    for callbacks in ([], [Doctor(show=False)]):
        model = mlp()
        passes = counted_passes(model)
        trainer = tw.Trainer(model, callbacks=callbacks, progress=False)
        trainer.fit((x, y), validation=validation, epochs=12)
        counts.append(len(passes))
    assert counts[1] <= counts[0] + 1  # the first look's validation, which the run's own then finds compiled


def counted_passes(model: nn.Module) -> list[int]:
    """Notes each forward pass of this very model in Python: once a trace, not once a step."""
    passes: list[int] = []
    model.register_forward_hook(lambda module, args, result: passes.append(1) if module is model else None)
    return passes


def test_watching_trains_no_copies() -> None:
    (x, y), _ = data()
    doctor = Doctor("watch", show=False)
    tw.Trainer(mlp(), optimizer="sgd", lr=1e-5, callbacks=[doctor], progress=False).fit((x, y), epochs=10)
    assert doctor.run is not None
    assert doctor.run.probed == {}
    assert problems(doctor.findings)


def test_what_is_certain_is_told_beside_the_progress_bar_when_it_arises() -> None:
    (x, y), _ = data()
    stream = io.StringIO()
    doctor, bar = Doctor("watch"), tw.callbacks.ProgressBar(stream, every_epoch=True)
    model = mlp()
    nn.init.constant_(model[0].bias, -30.0)
    tw.Trainer(model, optimizer="sgd", lr=0.01, callbacks=[doctor, bar], progress=False).fit((x, y), epochs=10)
    lines = stream.getvalue().splitlines()
    told = [number for number, line in enumerate(lines) if line.startswith("doctor: dead units in 0")]
    last = next(number for number, line in enumerate(lines) if line.startswith("epoch 10/10"))
    assert len(told) == 1
    assert told[0] < last


def test_weights_that_another_callback_puts_back_are_those_that_are_judged() -> None:
    (x, y), validation = data()
    doctor = Doctor(show=False)
    stopping = tw.callbacks.EarlyStopping(patience=50, restore_best_weights=True)
    trainer = tw.Trainer(mlp(), lr=0.01, callbacks=[doctor], progress=False)
    trainer.fit((x, y), validation=validation, epochs=6, callbacks=[stopping])
    assert doctor.run is not None
    np.testing.assert_allclose(doctor.run.last.validation_outputs, trainer.predict(validation[0]), rtol=1e-4, atol=1e-5)


def test_a_repair_that_may_not_change_layers_keeps_the_network() -> None:
    (x, y), _ = data()
    model = mlp(nn.Sigmoid, depth=6, width=8)
    trainer = tw.Trainer(model, optimizer="sgd", lr=0.1, callbacks=[doctor := Doctor("repair", False, show=False)],
                         progress=False)  # fmt: skip
    trainer.fit((x * 1000, y), epochs=12)
    assert doctor.repair is not None
    assert {name: each.shape for name, each in trainer.model.named_parameters()} == {
        name: each.shape for name, each in model.named_parameters()
    }
    assert repr(trainer.model) == repr(model)


def test_a_repair_of_the_rate_is_kept_and_takes_the_place_of_the_run() -> None:
    (x, y), validation = data()
    trainer = tw.Trainer(mlp(), optimizer="sgd", lr=1e-6, progress=False, doctor="repair", metrics=["accuracy"])
    trainer.fit((x, y), epochs=30)
    (doctor,) = (each for each in trainer.callbacks if isinstance(each, Doctor))
    assert doctor.repair is not None
    assert any(each.kept for each in doctor.repair.attempts)
    assert trainer.evaluate(validation)["accuracy"] > 0.85


def test_a_repaired_run_has_seen_all_of_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where copies were tried on a sample, as with data that is read, the kept one is trained on all of it."""
    (x, y), _ = data()
    monkeypatch.setattr("thalweg.diagnose.beginning.MANY_READ", 160)
    trainer = tw.Trainer(mlp(), optimizer="sgd", lr=1e-6, progress=False, doctor="repair", metrics=["accuracy"])
    trainer.fit(tw.data.DataLoader(list(zip(x, y, strict=True)), 16, shuffle=True), epochs=30)
    (doctor,) = (each for each in trainer.callbacks if isinstance(each, Doctor))
    assert doctor.run is not None
    assert len(doctor.run.y) < 200
    assert doctor.repair is not None
    assert doctor.repair.trainer is not None
    assert trainer.evaluate((x, y))["accuracy"] > 0.85


def test_inputs_are_scaled_inside_the_repaired_model() -> None:
    (x, y), (xv, yv) = data()
    trainer = tw.Trainer(mlp(), optimizer="sgd", lr=0.05, progress=False, doctor="repair", metrics=["accuracy"])
    trainer.fit((x * 1000, y), epochs=30)
    assert trainer.evaluate((xv * 1000, yv))["accuracy"] > 0.85


def test_a_healthy_run_is_not_repaired() -> None:
    (x, y), _ = data()
    model = mlp()
    trainer = tw.Trainer(model, lr=0.01, progress=False, doctor="repair")
    trainer.fit((x, y), epochs=30)
    assert trainer.model is model


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(tw.ThalwegError, match="repair"):
        tw.Trainer(mlp(), doctor="cure")
