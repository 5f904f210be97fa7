"""A run that was broken off, at any step and in any way, goes on to the bits of one that never was.

In: runs with everything in them, and each callback by discovery. Out: the same weights, optimizer state, history, logs
and memory of callbacks; the newest checkpoint that can be read, and one line if that is not the newest.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import thalweg as tw
from tests.support.training import classes, network, same_bits, trainer, weights
from tests.train.test_callbacks import MAKERS
from thalweg import callbacks as cb
from thalweg import nn
from thalweg.data import files
from thalweg.errors import ArgumentError, ConfigurationError, DTypeError, FileFormatError, StateError
from thalweg.train import checkpoint
from thalweg.train.resuming import checkpoints_in, newest

DATA, BATCHES = classes(70), 4  # 56 of them to train on
FIT = {"epochs": 4, "batch_size": 16, "validation_split": 0.2}


def everything(folder, **options):
    """A trainer with dropout, metrics, clipping, early stopping and a rate that falls."""
    made = trainer(network(dropout=0.3), metrics=["accuracy", "macro_f1"], clip_norm=1.0, **options)
    made.callbacks += [
        cb.EarlyStopping(patience=3, restore_best_weights=True), cb.ReduceLROnPlateau(factor=0.5, patience=1),
        cb.ModelCheckpoint(folder / "{step:03d}.st", save_freq=1),
    ]  # fmt: skip
    return made


def state(made):
    """Weights, optimizer and history, times aside."""
    history = made.history
    optimizer = made.optimizer.state_dict()
    arrays = {f"{i}.{name}": np.asarray(value) for i, each in optimizer.pop("state").items()
              for name, value in each.items()}  # fmt: skip
    epochs = {name: values for name, values in history.history.items() if name != "seconds"}
    return {**weights(made.model), **arrays}, json.dumps([epochs, history.epoch, history.steps, optimizer])


def is_same(one, other):
    return same_bits(state(one)[0], state(other)[0]) and state(one)[1] == state(other)[1]


# --- the same bits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"compile": True}, {"compile": False, "optimizer": "rmsprop"}])
def test_a_run_goes_on_from_any_step_to_the_same_bits(options, tmp_path):
    whole = everything(tmp_path, **options)
    whole.fit(DATA, **FIT)
    for path in sorted(tmp_path.glob("*.st"))[:: 2 if options["compile"] else 7]:
        part = everything(tmp_path / "again", **options)
        part.fit(DATA, resume=path, **FIT)
        assert is_same(whole, part), path.name
        assert part.state.step == whole.state.step


def test_a_run_goes_on_from_the_last_step_of_an_epoch_with_the_rate_that_it_had(tmp_path):
    def made(folder):
        schedule = tw.optim.schedules.CosineAnnealing(0.05, 40)
        model = network()
        optimizer = tw.optim.SGD(model.parameters(), lr=schedule, momentum=0.9)
        saver = cb.ModelCheckpoint(folder / "{step:03d}.st", save_freq=1)
        return tw.Trainer(model, optimizer=optimizer, callbacks=[saver], progress=False)

    whole = made(tmp_path)
    whole.fit(DATA, **FIT)
    for path in sorted(tmp_path.glob("*.st"))[:-1]:
        part = made(tmp_path / "again")
        part.fit(DATA, resume=path, **FIT)
        assert is_same(whole, part), path.name


def pictures():
    x = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8)).astype(np.uint8)
    changes = [tw.data.RandomCrop(8, padding=2), tw.data.RandomHorizontalFlip(), tw.data.Normalize([0.5], [0.3])]
    return tw.data.ImageArrays(x, np.arange(40) % 3, tw.data.Compose(changes))


@pytest.mark.parametrize("workers", [0, 2])
def test_augmentation_momentum_a_schedule_and_a_seed_that_was_drawn_go_on(workers, tmp_path):
    def make():
        tw.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
        rate = tw.optim.schedules.OneCycle(0.1, 20)
        made = trainer(model, optimizer=tw.optim.SGD(model.parameters(), lr=rate, momentum=0.9, nesterov=True))
        return made, tw.data.DataLoader(pictures(), batch_size=8, shuffle=True, num_workers=workers)

    (whole, data), (part, other) = make(), make()
    assert data.seed != other.seed
    whole.fit(data, epochs=4, callbacks=[cb.ModelCheckpoint(tmp_path / "{step}.st", save_freq=7)])
    part.fit(other, epochs=4, resume=tmp_path / "7.st")
    assert is_same(whole, part)


def streamed():
    for first in range(0, 60, 10):
        yield DATA[0][first : first + 10], DATA[1][first : first + 10]


class Stream(tw.data.IterableDataset):
    def __iter__(self):
        return iter(zip(*DATA, strict=True))


@pytest.mark.parametrize("data", [streamed, Stream()])
def test_streams_go_on_in_the_middle(data, tmp_path):
    whole, part = trainer(network(dropout=0.3)), trainer(network(dropout=0.3))
    whole.fit(data, epochs=3, callbacks=[cb.ModelCheckpoint(tmp_path / "{step}.st", save_freq=8)])
    part.fit(data, epochs=3, resume=tmp_path / "8.st")
    assert is_same(whole, part)


def test_a_run_that_was_stopped_by_a_callback_does_not_go_on(tmp_path):
    def make():
        return cb.EarlyStopping("loss", baseline=-1.0, patience=2, restore_best_weights=True)

    whole, part = trainer(network()), trainer(network())
    saved = cb.ModelCheckpoint(tmp_path / "{epoch}.st")
    whole.fit(DATA, epochs=9, callbacks=[make(), saved])
    part.fit(DATA, epochs=9, callbacks=[make()], resume=saved.saved[-1])
    assert is_same(whole, part)
    assert part.history.stop_reason == whole.history.stop_reason is not None


# --- what callbacks remember -----------------------------------------------------------------------------------------

TIMES = {"_started", "_refreshed", "_printed", "_epoch_started", "_saved_at", "_first_epoch", "_last_line", "seconds"}
OWN = {"BackupAndRestore": {"saved"}, "ModelCheckpoint": {"_due", "_last"}, "ProgressBar": {"_examples_before"}}


def memory(value):
    """What a callback holds, as far as it is plain values and arrays."""
    if isinstance(value, dict):
        return {key: memory(each) for key, each in value.items() if key not in TIMES}
    if isinstance(value, list | tuple):
        return [memory(each) for each in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return value.name
    return value if isinstance(value, int | float | str | bool) or value is None else type(value).__name__


def held(callback):
    return {
        name: memory(value) for name, value in vars(callback).items()
        if name not in TIMES | OWN.get(type(callback).__name__, set()) and not isinstance(value, os.PathLike)
        and not str(value).startswith(os.sep)
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_what_a_callback_remembers_is_the_same_after_going_on(name, tmp_path):
    callbacks = [MAKERS[name](tmp_path / each) for each in ("whole", "part")]
    saver = cb.ModelCheckpoint(tmp_path / "{step}.st", save_freq=6)
    whole, part = trainer(network(), callbacks=[callbacks[0], saver]), trainer(network(), callbacks=[callbacks[1]])
    whole.fit(DATA, **FIT)
    if hasattr(callbacks[1], "path"):  # a run that goes on finds its log
        callbacks[1].path.parent.mkdir(parents=True)
        callbacks[1].path.write_bytes(callbacks[0].path.read_bytes() + b"later")
    part.fit(DATA, resume=tmp_path / "6.st", **FIT)
    assert held(callbacks[0]) == held(callbacks[1])
    assert is_same(whole, part)


class Counting(cb.Callback):
    def __init__(self):
        self.epochs, self.resumed = 0, 0

    def on_epoch_begin(self, trainer):
        self.epochs += 1

    def on_resume(self, trainer):
        self.resumed += trainer.state.batch

    def state_dict(self):
        return {"epochs": self.epochs}

    def load_state_dict(self, state):
        self.epochs = state["epochs"]


def test_callbacks_of_ones_own_remember_too_and_an_epoch_begins_once(tmp_path):
    first, second = [Counting(), Counting()], [Counting(), Counting()]
    saver = cb.ModelCheckpoint(tmp_path / "{step}", save_freq=7)
    trainer().fit(DATA, epochs=3, batch_size=16, callbacks=[*first, saver])
    trainer().fit(DATA, epochs=3, batch_size=16, callbacks=second, resume=tmp_path / "7")
    assert [each.epochs for each in second] == [3, 3]
    assert [each.resumed for each in second] == [2, 2]


def test_a_callback_that_is_missing_is_told_of_and_one_that_cannot_go_on_is_an_error(tmp_path):
    trainer().fit(DATA, callbacks=[Counting(), cb.ModelCheckpoint(tmp_path / "{step}", save_freq=2)])
    with pytest.warns(RuntimeWarning, match="Counting"):
        trainer().fit(DATA, resume=tmp_path / "2")

    class Changed(Counting):
        def load_state_dict(self, state):
            self.epochs = state["count"]

    Changed.__name__ = "Counting"
    with pytest.raises(StateError, match="cannot go on"):
        trainer().fit(DATA, callbacks=[Changed()], resume=tmp_path / "2")


def test_logs_are_cut_back_to_the_checkpoint(tmp_path):
    def make(folder):
        loggers = [cb.JSONLinesLogger(folder / "log.jsonl"), cb.CSVLogger(folder / "log.csv")]
        return trainer(network(dropout=0.3), callbacks=loggers)

    def lines(folder):
        found = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        rows = [line.split(",") for line in (folder / "log.csv").read_text().splitlines()]
        return [{k: v for k, v in each.items() if k != "seconds"} for each in found], [each[:2] for each in rows]

    for folder in (tmp_path / "whole", tmp_path / "part"):
        saver = cb.ModelCheckpoint(tmp_path / "{step}", save_freq=7)
        make(folder).fit(DATA, epochs=3, batch_size=16, callbacks=[saver])
    make(tmp_path / "part").fit(DATA, epochs=3, batch_size=16, resume=tmp_path / "7")
    assert lines(tmp_path / "part") == lines(tmp_path / "whole")
    assert len(list((tmp_path / "part").iterdir())) == 2  # nothing was set aside


# --- where it goes on from -------------------------------------------------------------------------------------------


def broken_off(folder, at=6, **options):
    """A run folder whose process has died after so many steps."""
    made = trainer(network(dropout=0.3), run_folder=folder, **options)
    made.run_folder.backup.boundary_every = 1

    def die(t):
        if t.state.step == at:
            raise RuntimeError("the power is gone")

    with pytest.raises(cb.CallbackError):
        made.fit(DATA, epochs=3, batch_size=16, callbacks=[cb.LambdaCallback(on_boundary=die, priority=900)])
    return made


def test_a_run_folder_goes_on_and_is_tidy_in_the_end(tmp_path):
    whole = trainer(network(dropout=0.3))
    whole.fit(DATA, epochs=3, batch_size=16)
    broken_off(tmp_path)
    assert len(checkpoints_in(tmp_path)) in (2, 3)
    part = trainer(network(dropout=0.3), run_folder=tmp_path)
    part.fit(DATA, epochs=3, batch_size=16, resume=True)
    assert is_same(whole, part)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["metrics.jsonl", "model.safetensors"]


def test_resume_true_begins_where_there_is_nothing(tmp_path):
    whole, part = trainer(), trainer(run_folder=tmp_path)
    whole.fit(DATA, epochs=2)
    part.fit(DATA, epochs=2, resume=True)
    assert is_same(whole, part)


@pytest.mark.parametrize("damage", ["truncated", "a bit", "empty"])
def test_the_one_before_is_used_if_the_newest_cannot_be_read(damage, tmp_path):
    broken_off(tmp_path)
    last = sorted(checkpoints_in(tmp_path))[-1]
    content = bytearray(last.read_bytes())
    content[len(content) - 3] ^= 4
    last.write_bytes({"truncated": content[:-9], "a bit": content, "empty": b""}[damage])
    whole, part = trainer(network(dropout=0.3)), trainer(network(dropout=0.3))
    whole.fit(DATA, epochs=3, batch_size=16)
    with pytest.warns(RuntimeWarning, match=r"newest checkpoint cannot be read.*(.|\n)*step-00"):
        part.fit(DATA, epochs=3, batch_size=16, resume=tmp_path)
    assert is_same(whole, part)
    for path in checkpoints_in(tmp_path):
        path.write_bytes(b"")
    with pytest.raises(FileFormatError, match="cannot be read"):
        trainer().fit(DATA, resume=tmp_path)


def test_backup_and_restore_goes_on_by_itself(tmp_path):
    def make(stop):
        made = trainer(network(dropout=0.3))
        made.callbacks += [cb.BackupAndRestore(tmp_path / "backup", save_freq=2)]
        made.callbacks += [cb.LambdaCallback(on_epoch_begin=lambda t: 1 / (t.state.epoch - stop))]
        return made

    whole, first, second = trainer(network(dropout=0.3)), make(1), make(-1)
    whole.fit(DATA, epochs=3, batch_size=16)
    with pytest.raises(cb.CallbackError):
        first.fit(DATA, epochs=3, batch_size=16)
    history = second.fit(DATA, epochs=3, batch_size=16)
    assert is_same(whole, second)
    assert history.epoch == [0, 1, 2]
    assert not (tmp_path / "backup").exists()


def test_what_does_not_fit_is_refused(tmp_path):
    trainer().fit(DATA, batch_size=16, callbacks=[cb.ModelCheckpoint(tmp_path / "s{step}.safetensors", save_freq=2)])
    path = tmp_path / "s2.safetensors"
    for options, error, message in [
        ({"resume": tmp_path / "nothing"}, FileFormatError, "no such"),
        ({"resume": 3}, DTypeError, "nothing to resume from"),
        ({"resume": True}, ConfigurationError, "where to resume from"),
        ({"resume": path, "batch_size": 8}, StateError, "batch_size 16"),
    ]:
        with pytest.raises(error, match=message):
            trainer().fit(DATA, **options)
    with pytest.raises(StateError, match="examples 70"):
        trainer().fit(classes(60), resume=path, batch_size=16)
    with pytest.raises(StateError):
        trainer(network(hidden=4)).fit(DATA, resume=path, batch_size=16)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="nothing to go on with"):
        trainer().fit(DATA, resume=tmp_path / "empty")
    checkpoint.save_weights(tmp_path / "empty" / "w.safetensors", network())
    with pytest.raises(ConfigurationError, match="nothing to go on with"):
        trainer().fit(DATA, resume=tmp_path / "empty")
    with pytest.raises(FileFormatError, match="weights only"):
        trainer().fit(DATA, resume=tmp_path / "empty" / "w.safetensors")


# --- when and where it is written ------------------------------------------------------------------------------------


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def test_every_so_many_steps_whatever_the_slices(tmp_path):
    made = trainer()
    saver = cb.ModelCheckpoint(tmp_path / "{step}", save_freq=4, keep_last=2)
    made.fit(DATA, epochs=3, batch_size=16, callbacks=[saver])
    assert names(tmp_path) == ["12", "8"]
    assert checkpoint.read(tmp_path / "8").step == 8


def test_every_so_many_seconds(tmp_path):
    saver = cb.ModelCheckpoint(tmp_path / "{step}", save_freq=None, every_seconds=0.05)
    slow = cb.LambdaCallback(on_batch_end=lambda t: time.sleep(0.03))
    trainer().fit(DATA, epochs=2, batch_size=16, callbacks=[saver, slow])
    assert 2 <= len(saver.saved) <= 6


def test_the_best_are_kept_beside_the_newest(tmp_path):
    values = [3.0, 1.0, 4.0, 1.5, 5.0, 9.0]
    scores = cb.LambdaCallback(on_epoch_end=lambda t: t.state.logs.update(score=values[t.state.epoch]))
    saver = cb.ModelCheckpoint(tmp_path / "{epoch}", "score", mode="min", keep_last=1, keep_best=2)
    trainer().fit(DATA, epochs=6, callbacks=[scores, saver])
    assert names(tmp_path) == ["2", "4", "6"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"save_freq": 0}, "save_freq"), ({"save_freq": None}, "when to save"),
        ({"every_seconds": -1}, "every_seconds"),
        ({"save_freq": 3, "save_best_only": True}, "end of an epoch"), ({"keep_best": -1}, "keep_best"),
        ({"keep_last": 0}, "keep_last"),
    ],
)  # fmt: skip
def test_arguments_that_cannot_work(options, message, tmp_path):
    with pytest.raises(ArgumentError, match=message):
        cb.ModelCheckpoint(tmp_path / "{step}", **options)


def test_a_name_with_numbers_that_a_step_has_not_is_refused_at_once(tmp_path):
    saver = cb.ModelCheckpoint(tmp_path / "{val_loss}", save_freq=1)
    with pytest.raises(ConfigurationError, match="val_loss"):
        trainer().fit(DATA, validation=DATA, callbacks=[saver])


def test_what_is_asked_for_within_a_step_is_saved_when_it_is_over(tmp_path):
    def save(t):
        if t.state.step == 4:
            t.save_checkpoint(tmp_path / "c")

    whole, part = trainer(network(dropout=0.3)), trainer(network(dropout=0.3))
    whole.fit(DATA, epochs=3, batch_size=16, callbacks=[cb.LambdaCallback(on_gradients=save)])
    part.fit(DATA, epochs=3, batch_size=16, resume=tmp_path / "c")
    assert checkpoint.read(tmp_path / "c").step == 5
    assert is_same(whole, part)


def test_training_goes_on_while_a_file_is_written(tmp_path, monkeypatch):
    writing, steps = threading.Event(), []
    real = checkpoint.write

    def slow(path, taken):
        writing.wait(10)
        real(path, taken)

    monkeypatch.setattr(checkpoint, "write", slow)

    def count(t):
        steps.append(t.state.step)
        if len(steps) == 7:
            writing.set()

    steps_end = cb.LambdaCallback(on_batch_end=count)
    saver = cb.ModelCheckpoint(tmp_path / "{epoch}")
    made = trainer()
    made.fit(DATA, epochs=2, batch_size=16, callbacks=[saver, steps_end])
    assert names(tmp_path) == ["1", "2"]
    assert checkpoint.read(tmp_path / "1").step == 5  # the copy is of its moment, the file of two steps later
    assert len(steps) == 10


@pytest.mark.parametrize("patience", [1, 100], ids=["stopped early", "all epochs"])
def test_a_run_that_was_over_ends_its_log_in_the_same_line(patience, tmp_path):
    def lines(**options):
        stopping = cb.EarlyStopping(patience=patience, min_delta=10.0)
        saver, logger = cb.ModelCheckpoint(tmp_path / "{epoch}.safetensors"), cb.JSONLinesLogger(tmp_path / "log")
        trainer().fit(DATA, callbacks=[stopping, saver, logger], epochs=6, validation_split=0.2, **options)
        found = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        return [{name: value for name, value in line.items() if name != "seconds"} for line in found]

    whole = lines()
    assert lines(resume=tmp_path) == whole
    assert (whole[-1]["epoch"] < 5) == (patience == 1)


@pytest.mark.parametrize("logger", [cb.JSONLinesLogger, lambda path: cb.CSVLogger(path, append=True)])
def test_lines_of_an_attempt_without_a_checkpoint_are_no_part_of_the_run_that_begins_anew(logger, tmp_path):
    def run(**options):
        saver = cb.ModelCheckpoint(tmp_path / "kept" / "{epoch}.st")
        trainer().fit(DATA, epochs=1, callbacks=[logger(tmp_path / "log"), saver], **options)
        return (tmp_path / "log").read_text().count("\n")

    (tmp_path / "log").write_text("a line of a process that was killed before it had saved anything\n")
    lines = run(resume=True)
    (tmp_path / "log").unlink()
    shutil.rmtree(tmp_path / "kept")
    assert lines == run()
    assert (tmp_path / "log.1").read_text().startswith("a line")


# --- disks that fail -------------------------------------------------------------------------------------------------


def test_a_full_disk_is_one_line_and_training_goes_on(tmp_path, monkeypatch):
    whole, part = trainer(network(dropout=0.3)), trainer(network(dropout=0.3))
    whole.fit(DATA, epochs=4)
    real = os.fsync

    def full(number):
        if part.state.epoch in (1, 2):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(number)

    monkeypatch.setattr(files.os, "fsync", full)
    waits = cb.LambdaCallback(on_boundary=lambda t: saver.wait(), priority=900)
    saver = cb.ModelCheckpoint(tmp_path / "{epoch}.st", keep_last=1)
    with pytest.warns(RuntimeWarning, match=r"1\.st; training goes on(.|\n)*No space left") as told:
        part.fit(DATA, epochs=4, callbacks=[saver, waits])
    assert len(told) == 1
    assert names(tmp_path) == ["4.st"]
    assert is_same(whole, part)


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="rights of POSIX")
def test_a_folder_that_became_read_only_is_one_line(tmp_path):
    folder = tmp_path / "f"
    saver = cb.ModelCheckpoint(folder / "{epoch}.st")

    def close(t):
        saver.wait()
        if folder.is_dir() and t.state.epoch_is_over:  # a folder that is none, since root may write to any
            folder.rename(tmp_path / "kept")
            folder.write_bytes(b"")

    with pytest.warns(RuntimeWarning, match="training goes on") as told:
        trainer().fit(DATA, epochs=3, callbacks=[saver, cb.LambdaCallback(on_boundary=close, priority=900)])
    assert len(told) == 1
    assert checkpoint.read(tmp_path / "kept" / "1.st").step > 0


def test_a_real_disk_that_fills_up_keeps_what_was_saved_and_is_one_line(disk, tmp_path):
    whole, part = (trainer(network(hidden=2000, dropout=0.3)) for _ in range(2))
    whole.fit(DATA, epochs=4, callbacks=[cb.ModelCheckpoint(tmp_path / "last.st")])
    folder = disk(f"size={3 * (tmp_path / 'last.st').stat().st_size // 2}")
    with pytest.warns(RuntimeWarning, match="training goes on(.|\n)*No space left") as told:
        part.fit(DATA, epochs=4, callbacks=[cb.ModelCheckpoint(folder / "{epoch}.st")])
    assert len(told) == 1
    assert names(folder) == ["1.st"]
    assert checkpoint.read(folder / "1.st").step > 0
    assert is_same(whole, part)


def test_a_real_disk_with_room_for_nothing_is_one_line(disk):
    folder = disk("size=4k")
    with pytest.warns(RuntimeWarning, match="training goes on(.|\n)*No space left") as told:
        trainer(network(hidden=2000)).fit(DATA, epochs=3, callbacks=[cb.ModelCheckpoint(folder / "{epoch}.st")])
    assert len(told) == 1
    assert names(folder) == []


def test_a_real_disk_that_can_only_be_read_is_one_line(disk):
    folder = disk("size=1m,ro")
    with pytest.warns(RuntimeWarning, match="training goes on(.|\n)*Read-only file system") as told:
        trainer().fit(DATA, epochs=3, callbacks=[cb.ModelCheckpoint(folder / "{epoch}.st")])
    assert len(told) == 1


def test_what_the_user_asks_for_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be written"):
        trainer().save_checkpoint(tmp_path / "missing" / "c")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_leftovers_of_a_killed_process_are_cleared_away(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone = tmp_path / f".3.st.{dead.pid}.00ff00ff"
    alive = tmp_path / f".3.st.{os.getpid()}.00ff00ff"
    for path in (gone, alive, tmp_path / ".mine"):
        path.write_bytes(b"half")
    trainer().fit(DATA, callbacks=[cb.ModelCheckpoint(tmp_path / "{epoch}.st")])
    assert names(tmp_path) == sorted([alive.name, ".mine", "1.st"])


# --- from outside ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [2, 4, 7])
def test_ctrl_c_saves_the_very_step_and_the_run_goes_on(at, tmp_path):
    whole = trainer(network(dropout=0.3))
    whole.fit(DATA, validation=DATA, epochs=3, batch_size=16)
    part = trainer(network(dropout=0.3), run_folder=tmp_path)
    press = cb.LambdaCallback(on_update=lambda t: t.state.step == at and os.kill(os.getpid(), signal.SIGINT))
    history = part.fit(DATA, validation=DATA, epochs=3, batch_size=16, callbacks=[press])
    assert history.interrupted
    assert newest(checkpoints_in(tmp_path))[0].step == at + 1
    other = trainer(network(dropout=0.3), run_folder=tmp_path)
    other.fit(DATA, validation=DATA, epochs=3, batch_size=16, resume=True)
    assert is_same(whole, other)


_TERMINATED = """
import os, signal, sys
import numpy as np, thalweg as tw
from thalweg import callbacks as cb
mine = []
if {own}:
    signal.signal(signal.SIGTERM, lambda *_: mine.append("mine"))
tw.manual_seed(0)
x = np.random.default_rng(0).normal(size=(64, 2))
press = cb.LambdaCallback(on_update=lambda t: t.state.step == 5 and os.kill(os.getpid(), signal.SIGTERM))
made = tw.Trainer(tw.nn.Linear(2, 1), loss="mse", progress=False, run_folder=sys.argv[1], callbacks=[press])
try:
    made.fit(x, x[:, 0], epochs=9, batch_size=16)
finally:
    print(made.history.stop_reason, mine)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("own", "status", "said"), [(0, 143, "by SIGTERM []"), (1, 0, "by SIGTERM ['mine']")])
def test_sigterm_saves_the_step_and_ends_the_process_as_it_would(own, status, said, tmp_path):
    command = [sys.executable, "-c", _TERMINATED.format(own=own), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, said in done.stdout) == (status, True), done.stderr
    assert newest(checkpoints_in(tmp_path))[0].step == 6
