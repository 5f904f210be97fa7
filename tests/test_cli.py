"""The command line, as a user meets it: what it prints, what it leaves, what it says to a misuse.

In: arguments, files, signals. Out: exit statuses and messages; never a bare traceback.
"""

from __future__ import annotations

import builtins
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.recipes.picture_samples import write_masked, write_photographs
from tests.recipes.samples import rows_of_classes, write_classes, write_images, write_numbers
from thalweg.cli import main
from thalweg.recipes import record
from thalweg.recipes.run_folder import RunFolder

QUICK = ["--layers", "8", "--epochs", "2", "--batch-size", "64"]
pytestmark = pytest.mark.filterwarnings("ignore:.*not finite:RuntimeWarning")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(capsys, *arguments):
    status = main([str(each) for each in arguments])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err + captured.out
    return status, captured.out, captured.err


def process(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": "src" if "cwd" not in options else SOURCE}
    return subprocess.Popen(
        [sys.executable, "-m", "thalweg", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options,
    )  # fmt: skip


SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src")


# --- the main job ----------------------------------------------------------------------------------------------------


def test_train_predict_evaluate(here, capsys):
    data = write_classes(here)
    status, out, err = call(capsys, "train", data, "--target", "kind", *QUICK)
    assert status == 0
    for word in ("data ", "network ", "training ", "run       runs/things-001", "accuracy", "pictures "):
        assert word in out
    assert "epoch 2/2" in err
    pytest.importorskip("matplotlib")
    pictures = ["confusion_matrix", "epochs", "gradient_norms", "learning_rate", "loss"]
    names = sorted([*(f"{name}.png" for name in pictures), "config.json", "findings.json", "log.jsonl",
                    "metrics.jsonl", "model.safetensors", "record.npz", "report.html", "results.json"])  # fmt: skip
    assert sorted(path.name for path in (here / "runs" / "things-001").iterdir()) == names

    status, out, _ = call(capsys, "predict", "runs/things-001", data)
    assert status == 0
    assert out.splitlines()[0] == "prediction,probability of fruit,probability of leaf,probability of stone"
    assert len(out.splitlines()) == 241
    status, text, _ = call(capsys, "predict", "runs/things-001", data, "-o", "p.csv")
    assert (status, text) == (0, "240 predictions in p.csv\n")
    assert (here / "p.csv").read_text() == out

    status, out, _ = call(capsys, "evaluate", "runs/things-001")
    results = json.loads((here / "runs" / "things-001" / "results.json").read_text())
    assert status == 0
    assert f"{results['test']['accuracy']:.4f}" in out
    status, out, _ = call(capsys, "evaluate", "runs/things-001", "--data", data)
    assert (status, out.splitlines()[0]) == (0, f"240 examples of {data}")


def test_a_folder_of_pictures_is_trained_on_and_predicted(here, capsys):
    data = write_photographs(here / "photographs", 4)
    flags = ["--network", "convolutional", "--base", "2", "--epochs", "1", "--no-pictures"]
    status, out, _ = call(capsys, "train", data, *flags)
    assert status == 0
    assert "classification into 3 classes" in out
    assert "run       runs/photographs-001" in out
    assert "test      2 examples" in out or "test      3 examples" in out
    status, out, _ = call(capsys, "predict", "runs/photographs-001", f"{data}/red/0.png", f"{data}/red/1.png")
    assert (status, len(out.splitlines())) == (0, 3)
    status, out, _ = call(capsys, "predict", "runs/photographs-001", data, "-o", "p.csv")
    assert (status, out) == (0, "12 predictions in p.csv\n")
    assert call(capsys, "evaluate", "runs/photographs-001", "--data", data)[0] == 0
    again = ["--config", "runs/photographs-001/config.json", "--run", "two", "--no-pictures", "--quiet"]
    assert call(capsys, "train", *again)[0] == 0
    weights = [(here / run / "model.safetensors").read_bytes() for run in ("two", "runs/photographs-001")]
    assert weights[0] == weights[1]


def test_boxes_and_masks_are_written_into_the_run_without_an_output(here, capsys):
    data = write_masked(here / "cells", 6)
    status, out, _ = call(capsys, "train", data, "--base", "2", "--epochs", "1", "--no-pictures", "--run", "run")
    assert (status, "mean Dice" in out) == (0, True)
    status, out, _ = call(capsys, "predict", "run", f"{data}/images/0.png")
    assert (status, out) == (0, "1 picture in run/predictions, each with its masks as PNG\n")
    assert sorted(path.name for path in (here / "run" / "predictions").iterdir()) == ["0.mask.png", "0.png"]


def test_train_digits_with_a_file_of_settings(here, capsys):
    (here / "a.toml").write_text("layers = [16]\nepochs = 1\nrun = 'mine'\nno-pictures = true\n")
    status, out, _ = call(capsys, "train", "digits", "--config", "a.toml", "--batch-size", "64", "--seed", "3")
    assert status == 0
    settings = json.loads((here / "mine" / "config.json").read_text())["settings"]
    assert (settings["layers"], settings["batch_size"], settings["seed"]) == ([16], 64, 3)
    assert "pictures" not in out
    command = json.loads((here / "mine" / "config.json").read_text())["command"]
    assert command == "thalweg train digits --config a.toml --batch-size 64 --seed 3"


def test_the_configuration_of_a_run_repeats_it(here, capsys):
    call(capsys, "train", "digits", "--run", "one", "--no-pictures", *QUICK)
    status, _, _ = call(capsys, "train", "--config", "one/config.json", "--run", "two", "--no-pictures", "--quiet")
    assert status == 0
    assert (here / "one" / "model.safetensors").read_bytes() == (here / "two" / "model.safetensors").read_bytes()


def test_every_flag_of_the_recipe_is_taken(here, capsys):
    flags = {
        "layers": "8,4", "activation": "tanh", "optimizer": "sgd", "lr": "0.05", "momentum": "0.5",
        "schedule": "cosine", "batch-size": "128", "epochs": "1", "dropout": "0.1",
        "l1": "1e-4", "l2": "1e-4", "weight-decay": "0.001", "clip": "2", "label-smoothing": "0.1",
        "seed": "5", "patience": "0", "validation": "0.2", "run": "mine",
    }  # fmt: skip
    written = [part for name, value in flags.items() for part in (f"--{name}", value)]
    status, out, err = call(capsys, "train", "digits", *written, "--batch-norm", "--quiet", "--no-pictures")
    assert status == 0
    assert (out.count("\n"), err) == (1, "")
    assert out.startswith("mine: test accuracy 0.")
    settings = json.loads((here / "mine" / "config.json").read_text())["settings"]
    assert (settings["optimizer"], settings["momentum"], settings["batch_norm"]) == ("sgd", 0.5, True)


def test_a_learning_rate_is_found_and_nothing_is_trained(here, capsys):
    data = write_classes(here)
    status, out, _ = call(capsys, "train", data, "--target", "kind", *QUICK, "--find-learning-rate", "rates.svg")
    assert status == 0
    suggested = re.search(r"suggested learning rate: (\S+)", out)[1]
    assert f"--lr {suggested}" in out
    assert "figure:           rates.svg" in out
    assert (here / "rates.svg").read_text().startswith("<svg")
    assert not (here / "runs").exists()
    status, out, _ = call(capsys, "train", *QUICK, "--target", "kind", "--find-learning-rate", data)
    assert (status, suggested in out) == (0, True)
    status, _, err = call(capsys, "train", data, "--find-learning-rate", "rates.png")
    assert (status, "ends in .svg" in err) == (2, True)
    status, _, err = call(capsys, "train", "--find-learning-rate", "digit")
    assert (status, "digit" in err) == (2, True)
    status, _, err = call(capsys, "train", "--resume", "runs/digits-001", "--find-learning-rate")
    assert (status, "a run goes on with its own settings" in err) == (2, True)


def test_explain_reproduces_the_textbook_case(capsys):
    status, out, _ = call(capsys, "explain", "--layers", "2,2,2", "--activation", "sigmoid")
    assert status == 0
    before, after = re.search(r"loss (\S+) before, (\S+) after one update", out).groups()
    assert (round(float(before), 6), round(float(after), 6)) == (0.298371, 0.291028)


def test_version_and_help(capsys):
    assert call(capsys, "--version")[:2] == (0, f"thalweg {record.thalweg_version()}\n")
    assert "examples:" in call(capsys, "--help")[1]
    for command in ("train", "predict", "evaluate", "explain"):
        assert call(capsys, command, "--help")[0] == 0
    status, out, _ = call(capsys)
    assert (status, "usage:" in out) == (2, True)


def test_without_matplotlib_one_line_says_that_there_are_no_pictures(here, capsys, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    status, out, _ = call(capsys, "train", "digits", "--epochs", "1", "--layers", "8")
    assert status == 0
    assert "thalweg[report]" in out


# --- misuse ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with good and bad files and two runs in it."""
    folder = tmp_path_factory.mktemp("misuse")
    before = os.getcwd()
    os.chdir(folder)
    try:
        write_classes(folder)
        write_numbers(folder, "prices.csv")
        write_images(folder / "images")
        rows = rows_of_classes(40)
        head = "size,colour,weight,kind"
        (folder / "empty.csv").touch()
        (folder / "header.csv").write_text(head + "\n")
        (folder / "ragged.csv").write_text("\n".join([head, *rows, "1,2"]) + "\n")
        (folder / "few.csv").write_text("\n".join([head, *rows[:5]]) + "\n")
        (folder / "one_class.csv").write_text("a,b\n" + "1,x\n2,x\n" * 20)
        (folder / "unknown_class.csv").write_text("\n".join([head, *rows[:20], "1,red,2,ghost"]) + "\n")
        (folder / "ids.csv").write_text("id,a\n" + "".join(f"n{i},{i}\n" for i in range(40)))
        (folder / "text_target.csv").write_text("a,b\n" + "".join(f"{i},{i}.5\n" for i in range(40)) + "3,hello\n")
        (folder / "no_target.csv").write_text("size,colour,weight\n1,red,2\n")
        (folder / "other.csv").write_text("x,y\n1,2\n")
        (folder / "binary.csv").write_bytes(b"\x00\x01\x02\xff" * 100)
        (folder / "cut.csv.gz").write_bytes(b"\x1f\x8b\x08\x00" + b"\x00" * 10)
        (folder / "bad.toml").write_text("layers = [")
        (folder / "unknown.toml").write_text("learning_rate = 1\n")
        (folder / "recipe.toml").write_text("recipe = 'dogs'\n")
        (folder / "full").mkdir()
        (folder / "full" / "precious").write_text("keep me")
        (folder / "nothing").mkdir()
        write_photographs(folder / "photographs", 2)
        np.save(folder / "wrong.npy", np.zeros((3, 5, 5)))
        np.save(folder / "bright.npy", np.full((3, 8, 8), 99.0))
        np.savez(folder / "objects.npz", images=np.array(["a"]))
        (folder / "picture.png").write_bytes(b"\x89PNG")
        arguments = [*QUICK, "--no-pictures", "--quiet"]
        assert main(["train", "digits", "--run", "digits", *arguments]) == 0
        assert main(["train", "things.csv", "--target", "kind", "--run", "things", *arguments]) == 0
        for name in ("cut_weights", "cut_config", "no_weights", "foreign"):
            (folder / name).mkdir()
            for file in ("config.json", "model.safetensors"):
                content = (folder / "digits" / file).read_bytes()
                is_cut = file.startswith(name.replace("cut_weights", "model").replace("cut_", ""))
                (folder / name / file).write_bytes(content[: len(content) // 2] if is_cut else content)
        (folder / "no_weights" / "model.safetensors").unlink()
        (folder / "foreign" / "config.json").write_text('{"model_type": "bert"}')
    finally:
        os.chdir(before)
    return folder


MISUSES = [
    # arguments
    ("fly", "invalid choice: 'fly'"),
    ("train", "what shall be trained on?"),
    ("train digts", "did you mean digits?"),
    ("train nowhere.csv --target a", "no such file"),
    ("train thing.csv --target a", "did you mean things.csv?"),
    ("train things.csv", "add --target kind"),
    ("train things.csv --target knd", "did you mean 'kind'?"),
    ("train things.csv --target 9", "a number from 0 to 3"),
    ("train digits --learning-rate 1", "did you mean --lr?"),
    ("train digits --epoch 1", "did you mean --epochs?"),
    ("train digits extra", "one argument too many"),
    ("train digits --lr", "expected one argument"),
    ("train digits --lr fast", "a number, above 0"),
    ("train digits --lr -1", "--lr"),
    ("train digits --epochs 1.5", "a whole number"),
    ("train digits --batch-size 0", "a whole number from 1"),
    ("train digits --dropout 1", "below 1"),
    ("train digits --layers 12,x", "for example 128,64"),
    ("train digits --activation rely", "did you mean relu?"),
    ("train digits --optimizer adman", "did you mean adam"),
    ("train digits --schedule onecycel", "did you mean one-cycle?"),
    ("train digits --momentum 0.5", "leave --momentum out"),
    ("train digits --loss mse", "not one of a classification"),
    ("train prices.csv --target price --loss cross_entropy", "not one of a regression"),
    ("train prices.csv --target price --label-smoothing 0.1", "only classes can be smoothed"),
    ("train digits --seed -1", "a whole number from 0"),
    ("train digits --validation 1", "below 1"),
    ("train digits --target kind", "means nothing for digits"),
    ("train digits --data images", "means nothing for digits"),
    # files of settings
    ("train digits --config nowhere.toml", "no such file"),
    ("train digits --config bad.toml", "this is no TOML"),
    ("train digits --config unknown.toml", "did you mean 'lr'?"),
    ("train --config recipe.toml", "unknown recipe"),
    # run folders
    ("train digits --run full", "not empty"),
    ("train digits --run empty.csv", "the run folder is a file"),
    ("train digits --run empty.csv/run", "cannot be made"),
    ("train digits --run /proc/nowhere/run", "cannot be made"),
    # data
    ("train empty.csv --target a", "is empty"),
    ("train header.csv --target kind", "no rows"),
    ("train ragged.csv --target kind", "ragged.csv"),
    ("train few.csv --target kind", "too few rows"),
    ("train binary.csv --target a", "binary.csv"),
    ("train cut.csv.gz --target a", "cut.csv.gz"),
    ("train one_class.csv --target b", "a single class"),
    ("train ids.csv --target id", "too many classes"),
    ("train text_target.csv --target b --task regression", "'hello'"),
    ("train things.csv --target kind --task regression", "regression needs finite numbers"),
    ("train things.csv --target kind --test nowhere.csv", "no such file: the test file"),
    ("train things.csv --target kind --test other.csv", "the test file lacks the target"),
    ("train things.csv --target kind --test unknown_class.csv", "line 22"),
    ("train things.csv --target kind --drop sise", "did you mean 'size'?"),
    ("train things.csv --target kind --categorical kind", "the target is no feature"),
    ("train things.csv --target kind --drop size,colour,weight", "no column is left"),
    ("train things.csv --target kind --no-header", "columns have numbers, not names"),
    ("train things.csv --target kind --stream --test-fraction 0.999 --validation 0.999", "too few rows"),
    ("train mnist", "--data FOLDER"),
    ("train cifar10", "--data FOLDER with data_batch_1.bin"),
    ("train membrane", "--data FOLDER with membrane_train.npz"),
    ("train bccd", "--data FOLDER with bccd.zip"),
    ("train bccd --data nothing", "a file of bccd is missing"),
    ("train nothing", "an empty folder"),
    ("train full", "nothing in this folder is recognised"),
    ("train images", "train mnist --data images"),
    ("train picture.png", "one picture is nothing to train on"),
    ("train objects.npz", "no labelled images"),
    ("train photographs --network unet", "does no classification"),
    ("train photographs --image-size 12y", "height x width"),
    ("train things.csv --target kind --image-size 12", "means nothing for table"),
    ("train --resume nowhere", "no such run folder"),
    ("train --resume digits", "come to its end"),
    ("train digits --resume digits", "a run goes on with its own settings"),
    ("train --resume digits --epochs 3", "--epochs"),
    ("train mnist --data nothing", "a file of mnist is missing"),
    ("train mnist --data images", "not what was published"),
    ("train fashion_mnist --data nowhere", "a file of fashion_mnist is missing"),
    # runs
    ("predict", "required: RUN, INPUT"),
    ("predict things things.csv things.csv", "one file at a time"),
    ("predict nowhere things.csv", "no such run folder"),
    ("predict nothing things.csv", "holds no run"),
    ("predict foreign things.csv", "not of Thalweg"),
    ("predict cut_config things.csv", "damaged or truncated"),
    ("predict cut_weights things.csv", "weights file cannot be read"),
    ("predict no_weights things.csv", "no such weights file"),
    ("predict things nowhere.csv", "no such file"),
    ("predict things other.csv", "columns of the training part are missing"),
    ("predict things things.csv -o full", "the output is a folder"),
    ("predict things things.csv -o nowhere/p.csv", "cannot be written"),
    ("predict things things.csv --output", "expected one argument"),
    ("predict digits wrong.npy", "no images of the size"),
    ("predict digits bright.npy", "pixels out of range"),
    ("predict digits objects.npz", "objects.npz"),
    ("predict digits things.csv", "nothing but numbers"),
    ("predict digits picture.png", "picture"),
    ("predict digits full", "no pictures in this folder"),
    ("evaluate things --data no_target.csv", "there is no such column"),
    ("evaluate things --data unknown_class.csv", "a class that the training part does not have"),
    ("evaluate things --data full", "is a folder"),
    ("evaluate digits --data full", "the data is a folder"),
    ("evaluate digits --data wrong.npy", "no labels"),
    ("evaluate digits --dta wrong.npy", "did you mean --data?"),
    ("explain --layers 2", "error"),
    ("explain --layers x", "whole numbers"),
]


@pytest.mark.parametrize(("line", "message"), MISUSES, ids=[line for line, _ in MISUSES])
def test_a_misuse_is_explained(place, capsys, monkeypatch, line, message):
    monkeypatch.chdir(place)
    monkeypatch.setenv("THALWEG_DATA", str(place / "nothing"))
    before = sorted(place.rglob("*"))
    status, _, err = call(capsys, *line.split())
    assert message in err
    assert err.startswith("error: ")
    assert status == 2
    assert sorted(place.rglob("*")) == before


def test_what_lies_in_a_refused_folder_is_unharmed(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    call(capsys, "train", "digits", "--run", "full")
    assert (place / "full" / "precious").read_text() == "keep me"


def test_debug_shows_the_traceback(here, capsys):
    assert main(["train", "nowhere.csv", "--target", "a", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_mistake_of_ours_is_one_message(here, capsys, monkeypatch):
    monkeypatch.setattr("thalweg.cli.settings_of_flags", lambda arguments: 1 / 0)
    status, _, err = call(capsys, "train", "digits")
    assert status == 1
    assert "a mistake in Thalweg" in err
    assert "--debug" in err


def test_a_full_disk_is_explained(here, capsys, monkeypatch):
    def full(folder, path, values):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(RunFolder, "write", full)
    status, _, err = call(capsys, "train", "digits", *QUICK)
    assert status == 1
    assert "No space left on device" in err


def test_memory_that_runs_out_is_explained(here, capsys, monkeypatch):
    def too_much(settings):
        raise MemoryError("Unable to allocate 1 TiB")

    monkeypatch.setattr("thalweg.recipes.train.prepare", too_much)
    status, _, err = call(capsys, "train", "digits")
    assert (status, "out of memory" in err) == (1, True)


# --- processes -------------------------------------------------------------------------------------------------------


def wait_for(path, text, running):
    for _ in range(600):
        if path.exists() and text in path.read_text():
            return
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.05)
    raise AssertionError(f"{text} never came")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_saves_everything_and_exits_130(here):
    running = process(
        "train", "digits", "--run", "run", "--epochs", "100000", "--patience", "0", "--no-pictures", cwd=here
    )
    wait_for(here / "run" / "metrics.jsonl", '"event": "epoch", "epoch": 3', running)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in err
    assert "interrupted" in out
    assert json.loads((here / "run" / "results.json").read_text())["interrupted"]
    done = subprocess.run([sys.executable, "-m", "thalweg", "evaluate", "run"], cwd=here, capture_output=True,
                          env={**os.environ, "PYTHONPATH": SOURCE}, text=True)  # fmt: skip
    assert done.returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupted_run_goes_on(here):
    flags = ["--run", "run", "--epochs", "400", "--patience", "0", "--layers", "16", "--no-pictures"]
    running = process("train", "digits", *flags, cwd=here)
    wait_for(here / "run" / "metrics.jsonl", '"event": "epoch", "epoch": 3', running)
    running.send_signal(signal.SIGINT)
    assert (running.communicate(timeout=60), running.returncode)[1] == 130
    done = process("train", "--resume", "run", "--no-pictures", cwd=here)
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    assert "goes on   after epoch" in out
    results = json.loads((here / "run" / "results.json").read_text())
    assert (results["epochs"], results["interrupted"]) == (400, False)


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_reader_that_leaves_is_no_error(here):
    write_classes(here, count=3000)
    assert main(["train", "things.csv", "--target", "kind", "--run", "run", "--quiet", "--no-pictures", *QUICK]) == 0
    running = process("predict", "run", "things.csv", cwd=here)
    assert running.stdout.readline().startswith("prediction")
    running.stdout.close()
    with running.stderr:
        err = running.stderr.read()
    assert (running.wait(timeout=60), err) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_output_is_explained(here):
    for arguments in (["--version"], ["explain"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run([sys.executable, "-m", "thalweg", *arguments], stdout=full, stderr=subprocess.PIPE,
                                  cwd=here, env={**os.environ, "PYTHONPATH": SOURCE}, text=True)  # fmt: skip
        assert done.returncode == 1
        assert "No space left" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_module_runs_as_a_program(here):
    running = process("--version", cwd=here)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, "")
    assert out.startswith("thalweg ")
