"""Watching: every quantity is what its naive twin says, compiled and eager, and no bit of a run changes by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import thalweg as tw
from tests.diagnose.watching import NETWORKS, bits, data, trained
from thalweg import callbacks as cb
from thalweg import nn
from thalweg.diagnose.quantities import OF_OUTPUTS, OF_PARAMETERS, QUANTITIES, When
from thalweg.errors import ArgumentError
from thalweg.train.callbacks import Callback

OPTIMIZERS = ["sgd", "adam", "rmsprop"]

# --- no bit changes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_watching_everything_changes_no_bit(name, optimizer):
    everything = cb.Watch(QUANTITIES)
    assert bits(trained(name, everything, optimizer=optimizer)) == bits(trained(name, optimizer=optimizer))
    assert len(everything.record) == 10


@pytest.mark.parametrize(
    "options",
    [{"compile": False}, {"clip_norm": 0.5}, {"optimizer": "adamw"}, {"optimizer": "adagrad"}],
    ids=lambda options: next(iter(options)) + str(next(iter(options.values()))),
)
def test_watching_changes_no_bit_of_other_runs(options):
    assert bits(trained("perceptron", cb.Watch(), **options)) == bits(trained("perceptron", **options))


def test_watching_changes_no_bit_of_a_run_with_everything():
    def run(*callbacks):
        tw.manual_seed(1)
        model = nn.Sequential(nn.Linear(6, 128), nn.ReLU(), nn.Linear(128, 100), nn.Tanh(), nn.Linear(100, 3))
        penalty = tw.optim.penalties.L2(1e-2, model.named_parameters())
        trainer = tw.Trainer(model, penalties=[penalty], clip_norm=0.1, clip_value=0.05, progress=False)
        trainer.fit(data((6,)), epochs=2, batch_size=16, callbacks=callbacks)
        return bits(trainer)

    assert run(cb.Watch(QUANTITIES)) == run()


def test_nothing_is_held_after_a_run():
    watch = cb.Watch()
    made = trained("perceptron", watch)
    made.model.train()
    made.model(tw.ones(2, 6))
    assert not watch._watcher.passage._last


def test_watching_beside_python_in_the_step_changes_no_bit():
    look = cb.LambdaCallback(on_gradients=lambda trainer: None)
    assert bits(trained("perceptron", cb.Watch(), look)) == bits(trained("perceptron"))


def test_watching_changes_no_bit_with_a_penalty():
    def run(*callbacks):
        tw.manual_seed(1)
        model = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 3))
        penalty = tw.optim.penalties.L2(1e-2, model.named_parameters())
        trainer = tw.Trainer(model, penalties=[penalty], progress=False)
        trainer.fit(data((6,)), epochs=2, batch_size=16, callbacks=callbacks)
        return bits(trainer)

    assert run(cb.Watch()) == run()


# --- naive twins -----------------------------------------------------------------------------------------------------


class Naive(Callback):
    """The same numbers from NumPy, one step after the other."""

    def __init__(self) -> None:
        self.rows: list[dict[str, dict[str, float]]] = []
        self.outputs: dict[str, np.ndarray] = {}
        self.before: dict[str, np.ndarray] = {}
        self.gradients: dict[str, np.ndarray] = {}

    def on_fit_begin(self, trainer: Any) -> None:
        for path, module in trainer.model.named_modules():
            if path:
                module.register_forward_hook(lambda m, a, y, path=path: self._keep(path, y))

    def _keep(self, path: str, y: Any) -> None:
        self.outputs[path] = y

    def on_gradients(self, trainer: Any) -> None:
        named = dict(trainer.model.named_parameters())
        self.before = {name: each.detach().numpy().astype(np.float64) for name, each in named.items()}
        self.gradients = {name: each.grad.numpy().astype(np.float64) for name, each in named.items()}
        self.seen = {path: y.detach().numpy().astype(np.float64) for path, y in self.outputs.items()}

    def on_weights(self, trainer: Any) -> None:
        row: dict[str, dict[str, float]] = {name: {} for name in QUANTITIES}
        for name, each in trainer.model.named_parameters():
            w, g = each.detach().numpy().astype(np.float64), self.gradients[name]
            u = w - self.before[name]
            row["weight_rms"][name] = np.sqrt((w**2).mean())
            row["gradient_rms"][name] = np.sqrt((g**2).mean())
            row["gradient_mean"][name] = g.mean()
            row["gradient_largest"][name] = np.abs(g).max()
            row["update_rms"][name] = np.sqrt((u**2).mean())
            row["gradient_update"][name] = (g * u).sum()
            row["weight_largest"][name] = np.abs(w).max()
            row["update_largest"][name] = np.abs(u).max()
        for path, shown, units_first in OUTPUTS:
            y = self.seen[shown]
            units = y.reshape(*y.shape[:2], -1).swapaxes(0, 1) if units_first else y.T
            units = units.reshape(len(units), -1)
            row["output_mean"][path] = y.mean()
            row["output_rms"][path] = np.sqrt((y**2).mean())
            row["output_common"][path] = (units.mean(1) ** 2).mean()
            row["zero_share"][path] = (y == 0).mean()
            row["saturated_share"][path] = ((y < 0.05) | (y > 0.95)).mean()
        self.rows.append(row)


# Of the network below: the layer, the module that puts out what is watched of it, and where its units lie.
OUTPUTS = [("0", "2", True), ("1", "2", True), ("4", "5", True), ("7", "8", False), ("9", "9", False)]


def mixed() -> nn.Module:
    tw.manual_seed(2)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(24, 700), nn.Sigmoid(), nn.Linear(700, 3),
    )  # fmt: skip


def run_of_mixed(*callbacks: Callback, **options: Any) -> None:
    trainer = tw.Trainer(mixed(), optimizer="sgd", lr=0.1, progress=False, **options)
    trainer.fit(data((1, 8, 8), 40), epochs=1, batch_size=16, callbacks=callbacks)


@pytest.fixture(scope="module")
def twin() -> Naive:
    naive = Naive()
    run_of_mixed(naive, compile=False)
    return naive


@pytest.mark.parametrize("compile", [True, False])
@pytest.mark.parametrize("name", [each.name for each in (*OF_PARAMETERS, *OF_OUTPUTS) if "penalties" not in each.needs])
def test_a_quantity_is_what_its_naive_twin_says(name, compile, twin):
    watch = cb.Watch([name])
    run_of_mixed(watch, compile=compile)
    found = watch.record.of_parameters(name)
    expected = {subject: [row[name][subject] for row in twin.rows] for subject in found}
    assert found.keys() <= twin.rows[0][name].keys()
    largest = max(np.abs(each).max() for each in expected.values())
    for subject, values in found.items():
        np.testing.assert_allclose(values, expected[subject], rtol=2e-3, atol=2e-4 * largest, err_msg=subject)


def test_every_quantity_is_of_all_that_it_has_a_meaning_for():
    watch = cb.Watch()
    run_of_mixed(watch)
    names = [name for name, _ in mixed().named_parameters()]
    assert list(watch.record.of_parameters("gradient_rms")) == names
    assert [each.path for each in watch.record.layers] == ["0", "1", "4", "7", "9"]
    assert [each.activation for each in watch.record.layers] == ["ReLU", "ReLU", "ReLU", "Sigmoid", None]
    assert set(watch.record.of_parameters("zero_share")) == {"0", "1", "4"}
    assert set(watch.record.of_parameters("saturated_share")) == {"7"}


def test_penalties_are_told_from_the_data():
    tw.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 3))
    first = {name: each.detach().numpy().astype(np.float64) for name, each in model.named_parameters()}
    watch = cb.Watch()
    penalty = tw.optim.penalties.L2(0.5, model.named_parameters(), only="*.weight")
    trainer = tw.Trainer(model, penalties=[penalty], progress=False)
    trainer.fit(data((6,)), epochs=1, batch_size=75, callbacks=[watch])
    found = watch.record.of_parameters("penalty_rms")
    assert found.keys() == {"0.weight", "2.weight"}
    scale = found["0.weight"][0] / np.sqrt((first["0.weight"] ** 2).mean())
    for name, values in found.items():
        np.testing.assert_allclose(values[0], scale * np.sqrt((first[name] ** 2).mean()), rtol=1e-5)
    share = watch.record.penalty_share[0]
    assert ((share > 0) & (share < 1)).all()


# --- when ------------------------------------------------------------------------------------------------------------


def test_watching_every_third_step_records_these():
    watch = cb.Watch(every=3)
    trained("perceptron", watch, epochs=3)
    assert watch.record.steps.tolist() == [0, 3, 6, 9, 12]
    assert np.isfinite(watch.record["gradient_rms"]).all()


def test_python_in_the_step_does_not_keep_numbers_from_being_recorded():
    watch, plain = cb.Watch(), cb.Watch()
    trained("perceptron", watch, cb.LambdaCallback(on_gradients=lambda trainer: None, every_steps=2))
    trained("perceptron", plain)
    for name in plain.record.names:
        np.testing.assert_allclose(watch.record[name], plain.record[name], rtol=1e-5, atol=1e-7, err_msg=name)


def test_many_steps_still_run_in_one_call(monkeypatch):
    sizes = []
    watch, look = cb.Watch(), cb.LambdaCallback(on_slice_end=lambda trainer: sizes.append(len(trainer.state.slice)))
    make, shape = NETWORKS["perceptron"]
    trainer = tw.Trainer(make(), progress=False, callbacks=[watch, look])
    trainer.fit(data(shape, 3200), epochs=4, batch_size=16)
    assert max(sizes) > 50
    assert len(watch.record) == 800


def test_only_quantities_for_every_step_are_watched_unless_asked_for():
    watch = cb.Watch()
    trained("perceptron", watch, epochs=1)
    assert set(watch.record.names) <= {each.name for each in QUANTITIES.values() if each.when is When.EVERY_STEP}


def test_an_unknown_quantity_is_refused_with_the_names_that_there_are():
    with pytest.raises(ArgumentError, match="gradient_rms"):
        cb.Watch(["gradient_norm"])


# --- dead units ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compile", [True, False])
def test_a_unit_is_dead_if_it_was_zero_for_every_sample_of_the_epoch(compile):
    tw.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))
    with tw.no_grad():
        model[0].weight.zero_()
        model[0].bias.copy_(tw.tensor([-1.0] * 6 + [1.0] * 2))
        model[0].weight[5, 0] = 100.0  # silent for most samples, but not for all
    watch = cb.Watch()
    trainer = tw.Trainer(model, lr=1e-6, callbacks=[watch], progress=False, compile=compile)
    x = np.full((40, 2), -1.0, np.float32)
    x[17, 0] = 1.0
    trainer.fit((x, np.zeros(40, np.int64)), epochs=2, batch_size=8)
    assert watch.record.dead_shares[:, 0].tolist() == [5 / 8, 5 / 8]
    assert np.isnan(watch.record.dead_shares[:, 1]).all()


def test_units_are_counted_only_where_zeros_are_watched():
    watch = cb.Watch(["gradient_rms"])
    trained("perceptron", watch)
    assert watch.record.names == ["gradient_rms"]
    assert np.isnan(watch.record.dead_shares).all()


# --- several, and runs in parts --------------------------------------------------------------------------------------


def test_two_watches_of_one_run_record_their_own_numbers():
    both = cb.Watch(["gradient_rms", "update_rms"]), cb.GradientNorms()
    trainer = trained("perceptron", *both)
    alone = cb.Watch(["gradient_rms", "update_rms"])
    trained("perceptron", alone)
    for name in alone.record.names:
        np.testing.assert_array_equal(both[0].record[name], alone.record[name])
    squares = sum(alone.record.of_parameters("gradient_rms")[f"0.{name}"] ** 2 * size
                  for name, size in (("weight", 120), ("bias", 20)))  # fmt: skip
    np.testing.assert_allclose(both[1].norms["0"], np.sqrt(squares), rtol=1e-5)
    assert trainer.history.steps["gradient_norm/0"] == both[1].norms["0"]


def test_a_record_goes_on_in_the_middle_of_an_epoch(tmp_path):
    whole, part = cb.Watch(), cb.Watch()
    trainer = trained("perceptron", whole, cb.ModelCheckpoint(tmp_path / "{step}.st", save_freq=4), epochs=3)
    _, shape = NETWORKS["perceptron"]
    other = trained("perceptron", epochs=0)
    other.fit(data(shape), validation=data(shape, 20), epochs=3, batch_size=16, callbacks=[part],
              resume=tmp_path / "8.st")  # fmt: skip
    assert trainer.history.steps == other.history.steps
    assert part.record.epoch_of_step.tolist() == whole.record.epoch_of_step.tolist()
    assert part.record.epochs == whole.record.epochs | {"seconds": part.record.epochs["seconds"]}
    np.testing.assert_array_equal(part.record.dead_shares, whole.record.dead_shares)
    for name in whole.record.names:
        np.testing.assert_array_equal(part.record[name], whole.record[name])


def test_asking_which_units_are_dead_leaves_the_cells_where_they_lie():
    """For another array the next step would run by itself, with a table of its own: 1 ms an epoch."""
    watch = cb.Watch(["zero_share"])
    trained("perceptron", watch)
    (cell,) = watch._watcher._active.values()
    cell._array()[...] = 1.0
    before = cell._array()
    assert list(watch._watcher.dead_shares().values()) == [0.0]
    assert cell._array() is before
    assert not before.any()
    assert list(watch._watcher.dead_shares().values()) == [1.0]
