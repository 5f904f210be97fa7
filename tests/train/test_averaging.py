"""Averages of weights in a Trainer: the formulas, validation with the average, and runs that go on exactly.

In: small runs with `WeightAveraging`. Out: the average of the weights of the steps, however the run is cut.
"""

from __future__ import annotations

import numpy as np
import pytest

import thalweg as tw
from tests.support.training import classes, network, trainer, weights
from thalweg import callbacks as cb


def weights_of_steps(epochs, **options):
    """The weights after each step, from a run that nobody averages."""
    seen = []
    note = cb.LambdaCallback(on_update=lambda t: seen.append({k: v.copy() for k, v in weights(t.model).items()}))
    trainer(network(), callbacks=[note], **options).fit(classes(), epochs=epochs, batch_size=16, validation_split=0.2)
    return seen


def assert_near(found, expected):
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("compile", [True, False])
def test_ema_is_the_recursion_over_the_steps_and_is_left_in_the_model(compile):
    expected = None
    for each in weights_of_steps(3, compile=compile):
        expected = each if expected is None else {k: 0.8 * v + 0.2 * each[k] for k, v in expected.items()}
    made = trainer(network(), callbacks=[cb.WeightAveraging(0.8)], compile=compile)
    made.fit(classes(), epochs=3, batch_size=16, validation_split=0.2)
    assert_near(weights(made.model), expected)


@pytest.mark.parametrize("validates", [True, False])
def test_swa_is_the_mean_of_the_ends_of_epochs_from_its_start(validates):
    seen = weights_of_steps(5)
    ends = seen[len(seen) // 5 - 1 :: len(seen) // 5][2:]
    averaging = cb.WeightAveraging(None, start_epoch=2, validates=validates, swaps=False)
    made = trainer(network(), callbacks=[averaging])
    made.fit(classes(), epochs=5, batch_size=16, validation_split=0.2)
    assert_near(weights(averaging.averaged.module), {k: np.mean([each[k] for each in ends], axis=0) for k in ends[0]})
    assert_near(weights(made.model), seen[-1])


def test_validation_sees_the_average_and_training_goes_on_with_the_weights():
    averaging = cb.WeightAveraging(0.5)
    made = trainer(network(), callbacks=[averaging])
    history = made.fit(classes(), epochs=2, batch_size=16, validation=classes(seed=1))
    assert made.evaluate(classes(seed=1))["loss"] == pytest.approx(history["val_loss"][-1], rel=1e-5)


def test_a_run_that_goes_on_from_a_checkpoint_has_the_same_average(tmp_path):
    def run(epochs, **options):
        made = trainer(network(dropout=0.3), callbacks=[cb.WeightAveraging(0.8)])
        saving = cb.ModelCheckpoint(tmp_path / "{epoch}.safetensors")
        made.fit(classes(), epochs=epochs, batch_size=16, validation_split=0.2, callbacks=[saving], **options)
        return weights(made.model)

    whole = run(4)
    found = run(4, resume=tmp_path / "2.safetensors")
    for name, value in found.items():
        np.testing.assert_array_equal(value, whole[name])


@pytest.mark.parametrize(
    ("options", "match"),
    [({"decay": 1.5}, "decay"), ({"every": "batch"}, "every"), ({"start_epoch": -1}, "start_epoch")],
)
def test_misuse_is_explained(options, match):
    with pytest.raises(tw.ThalwegError, match=match):
        cb.WeightAveraging(**options)


# --- TensorBoard ------------------------------------------------------------------------------------------------------


def events_of(folder):
    """(name, step, value) of every number in a folder's event files: length, checksum, protocol buffer, checksum."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            size = int.from_bytes(data[:8], "little")
            event = event_pb2.Event.FromString(data[12 : 12 + size])
            found += [(each.tag, event.step, each.simple_value) for each in event.summary.value]
            data = data[16 + size :]
    return found


def test_event_files_hold_the_numbers_of_epochs_steps_and_parameters(tmp_path):
    board = cb.TensorBoard(tmp_path, histogram_freq=2, update_freq=3)
    made = trainer(network(), callbacks=[board], metrics=["accuracy"])
    history = made.fit(classes(), epochs=2, batch_size=16, validation_split=0.2)
    train, held_out = events_of(tmp_path / "train"), events_of(tmp_path / "validation")
    assert [value for name, _, value in train if name == "epoch_loss"] == pytest.approx(history["loss"])
    assert [value for name, _, value in held_out if name == "epoch_accuracy"] == pytest.approx(history["val_accuracy"])
    assert [step for name, step, _ in train if name == "batch_loss"] == [0, 3]
    assert {name for name, step, _ in train if step == 1 and "/" in name} >= {"0/weight", "2/bias"}


def test_a_folder_for_events_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(tw.ThalwegError, match="event files"):
        trainer(network(), callbacks=[cb.TensorBoard(tmp_path / "file")]).fit(classes(), epochs=1)
