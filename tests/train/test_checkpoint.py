"""Weights and checkpoints on disk: whole or absent, readable by others, refused when they do not fit."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest

import thalweg as tw
from tests.support.training import classes, network, same_bits, trainer, weights
from thalweg import callbacks as cb
from thalweg import nn
from thalweg.data import files
from thalweg.errors import ConfigurationError, DTypeError, FileFormatError, StateError
from thalweg.train import load_checkpoint, load_weights, read_metadata, save_checkpoint, save_weights


def model() -> nn.Module:
    tw.manual_seed(1)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))


def test_weights_come_back_with_their_bits_names_dtypes_and_shapes(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, model(), {"data": "digits"})
    found = load_weights(path)
    assert same_bits(found, weights(model()))
    assert list(found) == sorted(weights(model()))
    assert found["1.num_batches_tracked"].shape == ()
    assert read_metadata(path) == {"data": "digits"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_, np.float16])
def test_arrays_of_any_dtype_and_layout(dtype, tmp_path):
    array = np.arange(6).reshape(2, 3).astype(dtype).T
    save_weights(tmp_path / "w", {"a": array, "scalar": array[0, 0], "empty": array[:0]})
    found = load_weights(tmp_path / "w")
    np.testing.assert_array_equal(found["a"], array)
    assert found["a"].dtype == dtype
    assert found["scalar"].shape == ()
    assert found["empty"].shape == (0, 2)


def test_weights_are_written_into_a_module(tmp_path):
    path = tmp_path / "w.safetensors"
    trained = trainer(model())
    trained.fit(classes(), epochs=1)
    save_weights(path, trained.model)
    other = model()
    load_weights(path, other)
    assert same_bits(weights(other), weights(trained.model))


@pytest.mark.peer
def test_pytorch_reads_our_file_and_we_read_pytorchs(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    save_weights(tmp_path / "ours", model())
    peer = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 3))
    peer.load_state_dict(load_file(tmp_path / "ours"))
    x = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    ours = model()(tw.tensor(x)).detach().numpy()
    np.testing.assert_allclose(peer(torch.tensor(x)).detach().numpy(), ours, rtol=1e-5, atol=1e-6)
    save_file(peer.state_dict(), tmp_path / "theirs")
    load_weights(tmp_path / "theirs", model())


# --- nothing is lost -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_a_failure_while_writing_leaves_the_old_file(failing, tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"w": np.zeros(3)})
    before = path.read_bytes()

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if failing == "write":
        real_open = open

        def opened(name, mode="r", *args):
            stream = real_open(name, mode, *args)
            if "x" not in mode:
                return stream
            stream.write(b"half")
            stream.close()
            return fail()

        monkeypatch.setattr(files, "open", opened, raising=False)
    else:
        monkeypatch.setattr(os, failing, fail)
    with pytest.raises(ConfigurationError, match="No space left"):
        save_weights(path, {"w": np.ones(3)})
    assert path.read_bytes() == before
    if failing != "write":
        assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_an_interrupt_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"w": np.zeros(3)})

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_weights(path, {"w": np.ones(3)})
    assert load_weights(path)["w"].sum() == 0
    assert len(list(tmp_path.iterdir())) == 1


def damage(path, kind):
    content = path.read_bytes()
    header = int.from_bytes(content[:8], "little")
    changed = {
        "empty": b"",
        "truncated header": content[: 8 + header // 2],
        "truncated data": content[:-4],
        "too long": content + b"\0" * 8,
        "lying header": (2**60).to_bytes(8, "little") + content[8:],
        "a pickle": b"\x80\x04\x95\x10\0\0\0",
        "text": b"epoch,loss\n0,1.5\n",
        "a zip": b"PK\x03\x04" + content,
        "broken JSON": content[:8] + b"{" * header + content[8 + header :],
    }
    path.write_bytes(changed[kind])


@pytest.mark.parametrize(
    "kind",
    [
        "empty",
        "truncated header",
        "truncated data",
        "too long",
        "lying header",
        "a pickle",
        "text",
        "a zip",
        "broken JSON",
    ],
)
def test_a_damaged_or_foreign_file_is_refused(kind, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, model())
    damage(path, kind)
    for read in (load_weights, read_metadata):
        with pytest.raises(FileFormatError, match=r"cannot be read(.|\n)*w\.safetensors(.|\n)*remedy"):
            read(path)


def test_no_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(FileFormatError, match="no such weights file"):
            load_weights(path)


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"cannot be written(.|\n)*missing"):
        save_weights(tmp_path / "missing" / "w", {"w": np.ones(1)})


@pytest.mark.parametrize("wrong", [{"w": np.array(["a"])}, {"w": object()}, [1], 3, {1: np.ones(2)}])
def test_what_is_no_weights_is_not_saved(wrong, tmp_path):
    with pytest.raises(DTypeError):
        save_weights(tmp_path / "w", wrong)
    with pytest.raises(DTypeError, match="metadata"):
        save_weights(tmp_path / "w", {"w": np.ones(1)}, {"epoch": 3})
    assert not list(tmp_path.iterdir())


def test_weights_of_another_model_change_nothing(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4)))
    made = model()
    before = weights(made)
    with pytest.raises(StateError, match=r"1\.running_mean(.|\n)*w\.safetensors"):
        load_weights(path, made)
    assert same_bits(before, weights(made))


# --- going on from a checkpoint --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer", ["adam", "sgd", lambda p: tw.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True)]
)
@pytest.mark.parametrize("compile", [False, True])
def test_a_resumed_run_has_the_bits_of_an_unbroken_one(optimizer, compile, tmp_path):
    def make():
        return trainer(network(dropout=0.3), optimizer=optimizer, compile=compile)

    unbroken = make()
    unbroken.fit(classes(), epochs=5, batch_size=16)
    first, second = make(), make()
    first.fit(classes(), epochs=2, batch_size=16)
    first.save_checkpoint(tmp_path / "state.safetensors")
    second.load_checkpoint(tmp_path / "state.safetensors")
    assert (second.epochs_trained, second.state.step) == (2, 8)
    history = second.fit(classes(), epochs=5, initial_epoch=second.epochs_trained, batch_size=16)
    assert same_bits(weights(second.model), weights(unbroken.model))
    assert history.epoch == [2, 3, 4]
    assert history.steps["step"][0] == 8


def test_a_schedule_goes_on_where_it_was(tmp_path):
    schedule = tw.optim.schedules.Exponential(0.1, 0.5)
    one, other = trainer(lr=schedule), trainer(lr=schedule)
    one.fit(classes(), epochs=1, batch_size=30)
    save_checkpoint(tmp_path / "c", one)
    load_checkpoint(tmp_path / "c", other)
    history = other.fit(classes(), epochs=2, initial_epoch=1, batch_size=30)
    np.testing.assert_allclose(history.steps["learning_rate"], [0.025, 0.0125])


def test_the_weights_of_a_checkpoint_load_as_weights(tmp_path):
    made = trainer()
    made.fit(classes())
    made.save_checkpoint(tmp_path / "c")
    assert same_bits(load_weights(tmp_path / "c"), weights(made.model))


def test_a_checkpoint_that_does_not_fit_changes_nothing(tmp_path):
    made = trainer()
    made.fit(classes())
    made.save_checkpoint(tmp_path / "c")
    save_weights(tmp_path / "w", made.model)
    others = [
        (tmp_path / "w", trainer(), FileFormatError),
        (tmp_path / "c", trainer(optimizer="sgd"), StateError),
        (tmp_path / "c", trainer(network(hidden=4)), StateError),
        (tmp_path / "c", _with_another_group(trainer()), StateError),
    ]
    for path, other, error in others:
        before = weights(other.model)
        with pytest.raises(error):
            other.load_checkpoint(path)
        assert same_bits(before, weights(other.model))
        assert other.epochs_trained == 0


def _with_another_group(made):
    made.optimizer.add_param_group({"params": [tw.zeros(2, requires_grad=True)]})
    return made


def test_a_header_that_is_no_checkpoint_s_is_refused(tmp_path):
    for details in ("", "{", json.dumps({"trainer": {}}), json.dumps([1])):
        save_weights(tmp_path / "c", {"model.w": np.ones(1)}, {"format": "thalweg-checkpoint-1", "details": details})
        with pytest.raises(FileFormatError, match="header"):
            load_checkpoint(tmp_path / "c", trainer())


# --- ModelCheckpoint -------------------------------------------------------------------------------------------------


def numbers(values):
    return cb.LambdaCallback(on_epoch_end=lambda t: t.state.logs.update(score=values[t.state.epoch]))


def run(values, checkpoint, **options):
    made = trainer(**options)
    made.fit(classes(20), epochs=len(values), callbacks=[numbers(values), checkpoint])
    return made


def test_a_file_for_each_epoch_with_its_numbers_in_the_name(tmp_path):
    run([0.5, 0.25], cb.ModelCheckpoint(tmp_path / "deep" / "{epoch:02d}-{score:.2f}.safetensors"))
    assert sorted(each.name for each in (tmp_path / "deep").iterdir()) == ["01-0.50.safetensors", "02-0.25.safetensors"]


def test_the_best_only_is_saved(tmp_path):
    checkpoint = cb.ModelCheckpoint(
        tmp_path / "{epoch}.st", monitor="score", mode="max", save_best_only=True, save_weights_only=True
    )
    run([1.0, 3.0, 2.0, 4.0, float("nan")], checkpoint)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["1.st", "2.st", "4.st"]
    assert checkpoint.best == 4.0


def test_a_threshold_for_the_first_file(tmp_path):
    checkpoint = cb.ModelCheckpoint(
        tmp_path / "{epoch}.st", monitor="score", save_best_only=True, initial_value_threshold=2.0
    )
    run([3.0, 2.5, 1.0], checkpoint)
    assert [each.name for each in tmp_path.iterdir()] == ["3.st"]


def test_the_newest_are_kept_and_every_second_epoch_is_saved(tmp_path):
    run([0.0] * 7, cb.ModelCheckpoint(tmp_path / "{epoch}.st", every_epochs=2, keep_last=2))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["4.st", "6.st"]


def test_only_its_own_files_are_deleted(tmp_path):
    (tmp_path / "0.st").write_text("mine")
    run([0.0] * 3, cb.ModelCheckpoint(tmp_path / "{epoch}.st", keep_last=1))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["0.st", "3.st"]


def test_the_saved_weights_are_those_of_the_epoch(tmp_path):
    path = tmp_path / "w.safetensors"
    made = run([0.0] * 2, cb.ModelCheckpoint(path, save_weights_only=True))
    assert same_bits(load_weights(path), weights(made.model))


def test_a_run_folder_holds_the_numbers_and_the_model(tmp_path):
    folder = tmp_path / "runs" / "first"
    made = trainer(run_folder=folder, callbacks=[cb.EarlyStopping(patience=1, restore_best_weights=True)])
    made.fit(classes(), validation=classes(seed=1), epochs=3)
    made.fit(classes(), validation=classes(seed=1), epochs=3)  # the same trainer goes on
    assert sorted(each.name for each in folder.iterdir()) == ["metrics.jsonl", "model.safetensors"]
    assert same_bits(load_weights(folder / "model.safetensors"), weights(made.model))
    with pytest.raises(ConfigurationError, match="another run"):
        trainer(run_folder=folder).fit(classes(), epochs=1)
    resumed = trainer(run_folder=folder)
    resumed.fit(classes(), initial_epoch=3, epochs=4)
    events = [json.loads(each)["event"] for each in (folder / "metrics.jsonl").read_text().splitlines()]
    assert events.count("end") == 3
