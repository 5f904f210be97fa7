"""The range test: the right order of magnitude, on copies, for every kind of data, with clear words for bad input.

In: small networks and data sets. Out: curves; and trainers that are, bit for bit, as if nobody had tested anything.
"""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

import thalweg as tw
from tests.support.training import classes, network, same_bits, trainer, weights
from thalweg import nn
from thalweg.data import DataLoader, TensorDataset
from thalweg.diagnose import LearningRateCurve, find_learning_rate
from thalweg.diagnose.learning_rate_curve import has_diverged, smoothed
from thalweg.errors import ArgumentError, ConfigurationError, DataError, IndexRangeError, NonFiniteError
from thalweg.optim import schedules
from thalweg.tensor.random import default_generator

X, Y = classes(256)


def found(made: tw.Trainer | None = None, x: object = X, y: object = Y, **options: object) -> LearningRateCurve:
    made = trainer(optimizer="sgd") if made is None else made
    return find_learning_rate(made, x, y, **{"steps": 40, "lowest": 1e-4, **options})


# --- what it finds ---------------------------------------------------------------------------------------------------


def test_losses_and_rates_are_those_of_gradient_descent_by_hand() -> None:
    """L = (w x - y)^2 with x = 1, the whole data in one batch; nothing is noise."""
    x = np.ones((8, 1), np.float32)
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    curve = found(trainer(model, loss="mse", optimizer="sgd"), x, 3 * x, batch_size=8, steps=200, smoothing=0.0)
    errors, w = [], 0.0
    for rate in curve.rates:
        errors.append((w - 3) ** 2)
        w -= rate * 2 * (w - 3)
    np.testing.assert_allclose(curve.losses, errors, rtol=1e-3, atol=1e-9)
    assert curve.suggestion == pytest.approx(curve.minimum / 10)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_the_suggested_rate_learns_and_ten_thousand_times_less_does_not(name: str) -> None:
    curve = found(trainer(optimizer=name), steps=100)
    assert curve.suggestion is not None
    losses = [trainer(optimizer=name, lr=rate).fit((X, Y), epochs=8).history["loss"][-1]
              for rate in (curve.suggestion, curve.suggestion / 1e4)]  # fmt: skip
    assert losses[0] < 0.5
    assert losses[1] > 0.9


def test_rates_grow_by_a_factor_and_end_where_the_loss_diverges() -> None:
    curve = found(highest=1e4, steps=60)
    np.testing.assert_allclose(curve.rates[1:] / curve.rates[:-1], 1e8 ** (1 / 59), rtol=1e-9)
    assert len(curve.rates) < 60
    assert curve.has_diverged
    assert len(curve.losses) == len(curve.rates)


def test_where_nothing_is_learnt_nothing_is_suggested() -> None:
    """Rates far too low, so that batches differ by chance alone; chance seldom looks like learning."""
    curve = found(lowest=1e-12, highest=1e-9)
    assert curve.suggestion is None
    assert "no learning rate to suggest" in str(curve)
    assert "No rate lowered the loss" in str(curve)
    assert "no suggestion" in curve._repr_html_()
    random, rates = np.random.default_rng(0), np.geomspace(1e-7, 10, 100)
    alarms = [LearningRateCurve(rates, 2.3 + random.normal(size=100), 0.9, 10.0, 100).has_learnt for _ in range(300)]
    assert sum(alarms) <= 3


def test_a_loss_that_still_falls_at_the_last_rate_is_said() -> None:
    assert "raise highest" in str(found(highest=0.2, steps=200))


def test_groups_keep_the_ratio_of_their_rates() -> None:
    model = network()
    groups = [{"params": model[0].parameters(), "lr": 0.2}, {"params": model[2].parameters(), "lr": 0.1}]
    seen = []

    class Spy(tw.optim.SGD):
        def update(self, grad: object, param: object, state: object, hyper: object) -> object:
            seen.append([group["lr"] for group in self.param_groups])
            return super().update(grad, param, state, hyper)

    find_learning_rate(tw.Trainer(model, optimizer=Spy(groups), compile=False, progress=False), X, Y, steps=10)
    assert len(seen) >= 40
    np.testing.assert_allclose([first / second for first, second in seen], 2.0, rtol=1e-9)
    assert groups[0]["lr"] == 0.2


def test_a_trainer_with_a_schedule_is_tested_too() -> None:
    model = network()
    scheduled = trainer(model, optimizer=tw.optim.SGD(model.parameters(), lr=schedules.Exponential(0.1, 0.9)))
    np.testing.assert_array_equal(found(scheduled).losses, found(trainer(network(), optimizer="sgd")).losses)


# --- what it leaves alone --------------------------------------------------------------------------------------------


def test_nothing_of_the_user_changes_by_a_bit() -> None:
    """A trained trainer with momentum, batch statistics and dropout; and it goes on as if it had not been tested."""

    def run(is_tested: bool) -> tuple[object, ...]:
        tw.manual_seed(3)
        model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
        made = trainer(model, optimizer=tw.optim.Adam(model.parameters(), lr=0.01))
        made.fit((X, Y), epochs=2)
        state = default_generator.get_state(), model.training, made.state.step, made.epochs_trained, made.history
        if is_tested:
            before = weights(model), made.optimizer.state_dict()
            found(made)
            assert same_bits(weights(model), before[0])
            assert str(made.optimizer.state_dict()) == str(before[1])
            assert all(parameter.grad is None for parameter in model.parameters())
            assert (default_generator.get_state(), model.training, made.state.step, made.epochs_trained,
                    made.history) == state  # fmt: skip
        made.fit((X, Y), epochs=2)
        return weights(model), tw.rand(3).tolist()

    one, other = run(True), run(False)
    assert same_bits(one[0], other[0])
    assert one[1] == other[1]


def test_it_is_the_same_every_time_and_a_loader_keeps_its_place() -> None:
    loader = DataLoader(TensorDataset(X, Y), 32, shuffle=True, seed=1)
    made = trainer(network(dropout=0.2), optimizer="sgd")
    one, other = found(made, loader, None), found(made, loader, None)
    assert one.losses.tobytes() == other.losses.tobytes()
    assert loader.epoch == 0


def test_its_steps_are_compiled(recwarn: pytest.WarningsRecorder) -> None:
    """One program for all rates."""
    kept: list[tw.Trainer] = []

    class Kept(tw.Trainer):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)
            kept.append(self)

    found(Kept(network(), optimizer="sgd", progress=False))
    programs = kept[-1].steps._programs
    assert [key[0] for key in programs] == ["whole"]
    assert not [each for each in recwarn if "not compiled" in str(each.message)]


# --- data of every kind ----------------------------------------------------------------------------------------------


def test_arrays_pairs_sets_loaders_lists_and_functions_are_taken() -> None:
    batches = [(X[first : first + 32], Y[first : first + 32]) for first in range(0, 256, 32)]
    for data in ((X, Y), TensorDataset(X, Y), DataLoader(TensorDataset(X, Y), 32), batches, lambda: iter(batches)):
        assert found(x=data, y=None).suggestion is not None
    assert len(found(x=iter(batches), y=None).rates) == 8  # what can be read once ends the test


def test_inputs_that_are_several_and_weights() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(2, 3), nn.Linear(2, 3)

        def forward(self, a: object, b: object) -> object:
            return self.one(a) + self.two(b)

    assert found(trainer(Sum(), optimizer="sgd"), (X, X), Y).suggestion is not None
    weighted = found(x=(X, Y, (Y == 0).astype(float)), y=None, smoothing=0.0)
    assert weighted.losses.min() < 0.3  # one class alone is learnt at once


def test_balanced_class_weights_are_those_of_all_labels() -> None:
    counts = np.bincount(Y)
    by_hand = {label: len(Y) / (3 * count) for label, count in enumerate(counts)}
    one, other = (found(trainer(optimizer="sgd", class_weight=each)) for each in ("balanced", by_hand))
    np.testing.assert_array_equal(one.losses, other.losses)


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"lowest": 0.0}, ArgumentError, "0 < lowest < highest"),
        ({"lowest": 1.0, "highest": 0.1}, ArgumentError, "lowest=1.0, highest=0.1"),
        ({"highest": float("inf")}, ArgumentError, "0 < lowest < highest"),
        ({"steps": 3}, ArgumentError, "at least 10"),
        ({"steps": 20.5}, ArgumentError, "a whole number"),
        ({"smoothing": 1.0}, ArgumentError, "less than 1"),
        ({"batch_size": 0}, ArgumentError, "batch_size"),
        ({"y": Y[:-1]}, DataError, "255"),
        ({"x": 3, "y": None}, DataError, "nothing to train on"),
        ({"x": [], "y": None}, DataError, "no data"),
        ({"x": np.full_like(X, np.nan)}, NonFiniteError, "from the first step on"),
        ({"y": Y + 1}, IndexRangeError, "0 to 2"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(options: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        found(**options)


def test_balanced_weights_need_labels() -> None:
    with pytest.raises(ConfigurationError, match="counts the labels"):
        found(trainer(class_weight="balanced"), DataLoader(TensorDataset(X, Y), 32), None)


# --- the curve -------------------------------------------------------------------------------------------------------


def test_smoothing_is_its_formula() -> None:
    losses = np.random.default_rng(0).normal(size=30)
    naive = [sum(0.2 * 0.8 ** (i - j) * losses[j] for j in range(i + 1)) / (1 - 0.8 ** (i + 1)) for i in range(30)]
    np.testing.assert_allclose(smoothed(losses, 0.8), naive, rtol=1e-12)
    np.testing.assert_array_equal(smoothed(losses, 0.0), losses)


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [([], False), ([1.0], False), ([1.0, np.nan], True), ([1.0, np.inf], True), ([1.0, 3.9], False), ([1.0, 4.1], True),
     ([-1.0, -5.0, 5.0], False), ([-1.0, -5.0, 11.0], True), ([0.0, 0.0], False)],
)  # fmt: skip
def test_divergence_is_measured_by_what_was_gained(losses: list[float], diverged: bool) -> None:
    assert has_diverged(np.array(losses)) is diverged


def test_the_verdict_does_not_depend_on_the_units_of_the_loss() -> None:
    rates = np.geomspace(1e-5, 10, 80)
    losses = 2 - 1.5 / (1 + (0.03 / rates) ** 2) + rates**2 + 0.05 * np.random.default_rng(0).normal(size=80)
    curves = [LearningRateCurve(rates, losses * unit, 0.9, 10.0, 80) for unit in (1.0, 1e-6, 1e6)]
    assert len({each.suggestion for each in curves}) == 1
    assert len({each.line() for each in curves}) == 1


def test_text_and_figure_name_the_suggestion(tmp_path: object) -> None:
    curve = found()
    assert f"suggested learning rate: {curve.suggestion:.2g}" in str(curve)
    svg = curve.to_svg(tmp_path / "rates.svg")
    root = ElementTree.fromstring((tmp_path / "rates.svg").read_text(encoding="utf-8"))
    assert root.tag.endswith("svg")
    assert f"suggested: {curve.suggestion:.2g}" in svg
    assert svg in curve._repr_html_()
    assert len(svg) < 20_000
    assert repr(curve) == f"LearningRateCurve({len(curve.rates)} rates, suggestion={curve.suggestion:.3g})"


def test_a_curve_of_equal_losses_can_be_drawn() -> None:
    curve = LearningRateCurve(np.geomspace(1e-3, 1, 12), np.zeros(12), 0.9, 1.0, 12)
    ElementTree.fromstring(curve.to_svg())
    assert curve.suggestion is None
