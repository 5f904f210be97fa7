"""Recipes from end to end: training leaves a folder from which the same predictions come.

In: small data sets. Out: run folders, predictions, scores.
"""

import csv
import io
import json

import numpy as np
import pytest

from tests.recipes.conftest import QUICK, quick
from tests.recipes.samples import rows_of_classes, write_classes, write_images, write_numbers
from tests.support.shared_data import shared_data
from thalweg.data import digits, read_csv, write_idx
from thalweg.diagnose import Finding
from thalweg.errors import ConfigurationError, DataError, FileFormatError, NonFiniteError
from thalweg.recipes import picture_sets, use
from thalweg.recipes.predictor import load_predictor, settings_of
from thalweg.recipes.reporting import report_of
from thalweg.recipes.run_folder import RunFolder
from thalweg.recipes.settings import settings_from
from thalweg.recipes.settings_file import read_settings_file
from thalweg.recipes.train import prepare, train
from thalweg.train.checkpoint import load_weights


def as_rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def predicted(capsys, run, path):
    use.predict(str(run), str(path))
    return as_rows(capsys.readouterr().out)


# --- what a run leaves -----------------------------------------------------------------------------------------------


def test_a_run_leaves_all_that_repeats_it(classifier):
    config = json.loads(classifier.folder.config.read_text())
    assert config["format"] == "thalweg.run"
    assert config["seed"] == 0
    assert config["settings"]["layers"] == [16]
    assert len(config["data"]["files"]["training"]["sha256"]) == 64
    assert config["outputs"]["classes"] == ["fruit", "leaf", "stone"]
    assert config["versions"]["numpy"] == np.__version__
    assert {"git_commit", "command", "machine", "notes", "started"} <= set(config)
    assert settings_of(config, "here").layers == (16,)


def test_the_numbers_of_every_step_and_epoch_are_there(classifier):
    lines = [json.loads(line) for line in classifier.folder.metrics.read_text().splitlines()]
    steps = [line for line in lines if line["event"] == "step"]
    epochs = [line for line in lines if line["event"] == "epoch"]
    assert len(epochs) == len(classifier.history.epoch)
    assert len(steps) == len(classifier.history.steps["loss"])
    assert {"loss", "learning_rate", "gradient_norm/hidden_1", "gradient_norm/output"} <= set(steps[0])
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(epochs[0])
    assert epochs[-1]["loss"] < epochs[0]["loss"]


def test_the_folder_holds_the_weights_of_the_best_epoch(classifier):
    arrays = load_weights(classifier.folder.weights)
    for name, parameter in classifier.predictor.model.named_parameters():
        np.testing.assert_array_equal(arrays[name], parameter.detach().numpy())
    results = json.loads(classifier.folder.results.read_text())
    losses = classifier.history["val_loss"]
    assert results["best_epoch"] == int(np.argmin(losses)) + 1
    assert results["test"]["accuracy"] == classifier.scores.numbers["accuracy"]


def test_the_same_settings_give_the_same_bits(classifier, tmp_path):
    values = read_settings_file(str(classifier.folder.config))
    settings = settings_from(values.pop("recipe"), {"run": str(tmp_path / "again"), "no_pictures": True}, values)
    again = train(settings, say=lambda line: None)
    assert again.scores.numbers == classifier.scores.numbers
    for name, array in load_weights(again.folder.weights).items():
        np.testing.assert_array_equal(array, load_weights(classifier.folder.weights)[name])


def test_another_seed_gives_other_parts(classifier, tmp_path):
    other = quick("table", tmp_path / "run", data=classifier.settings.data, target="kind", seed=1)
    assert other.history["loss"] != classifier.history["loss"]


def test_what_the_doctor_found_is_in_the_folder_and_in_the_report(tmp_path):
    data = write_classes(tmp_path)
    sick = quick("table", tmp_path / "sick", data=data, target="kind", lr=1e-6, epochs=6)
    assert sick.findings
    found = json.loads(sick.folder.findings.read_text())["findings"]
    assert [Finding.from_json(each) for each in found] == sick.findings
    assert sick.findings[0].kind.title in report_of(sick.folder).text()
    unseen = quick("table", tmp_path / "unseen", data=data, target="kind", lr=1e-6, epochs=6, doctor="off")
    assert not unseen.folder.findings.exists()
    for name, array in load_weights(sick.folder.weights).items():
        np.testing.assert_array_equal(array, load_weights(unseen.folder.weights)[name])


def test_a_repaired_run_keeps_its_network_and_says_what_was_done(tmp_path):
    data = write_classes(tmp_path)
    run = quick("table", tmp_path / "run", data=data, target="kind", lr=1e-6, epochs=30, doctor="repair")
    assert run.repaired is not None
    assert run.scores.numbers["accuracy"] > run.scores.baseline + 0.2
    again = load_predictor(run.folder).model.state_dict()
    for name, value in run.predictor.model.state_dict().items():
        np.testing.assert_array_equal(again[name].numpy(), value.numpy())
    assert run.repaired in report_of(run.folder).text()


# --- tables ----------------------------------------------------------------------------------------------------------


def test_a_classifier_learns_and_predicts_the_same_from_its_folder(classifier, tmp_path, capsys):
    assert classifier.scores.numbers["accuracy"] > classifier.scores.baseline + 0.2
    data = classifier.settings.data
    rows = predicted(capsys, classifier.folder, data)
    (x, _), *_ = classifier.predictor.reader.labelled(data)
    raw = classifier.predictor.raw(x)
    probabilities = classifier.predictor.outputs.probabilities(raw)
    assert [row["prediction"] for row in rows] == [classifier.predictor.outputs.classes[i] for i in raw.argmax(axis=1)]
    np.testing.assert_allclose([float(row["probability of leaf"]) for row in rows], probabilities[:, 1], rtol=1e-6)


def test_columns_to_predict_may_stand_in_any_order_and_lack_the_target(classifier, tmp_path, capsys):
    table = read_csv(classifier.settings.data)
    names = ["weight", "size", "colour"]
    cells = zip(*(table[name].tolist() for name in names), strict=True)
    lines = [",".join("" if c != c else str(c) for c in row) for row in cells]
    (tmp_path / "new.csv").write_text("\n".join([",".join(names), *lines]) + "\n")
    shuffled = predicted(capsys, classifier.folder, tmp_path / "new.csv")
    whole = predicted(capsys, classifier.folder, classifier.settings.data)
    assert [row["prediction"] for row in shuffled] == [row["prediction"] for row in whole]


def test_a_regression_is_reported_in_the_units_of_its_target(regressor, capsys):
    numbers = regressor.scores.numbers
    assert numbers["r2"] > 0.9
    assert 1000 < numbers["rmse"] < 0.3 * regressor.scores.baseline
    rmse = regressor.history["val_rmse"]
    assert 1000 < min(rmse) < 100_000
    rows = predicted(capsys, regressor.folder, regressor.settings.data)
    true = read_csv(regressor.settings.data)["price"]
    error = np.sqrt(np.mean((np.array([float(row["prediction"]) for row in rows]) - true) ** 2))
    assert error < 0.3 * true.std()


def test_no_header_a_test_file_and_labels_that_end_in_a_period(tmp_path):
    data = write_classes(tmp_path, "train.data", header=False)
    test = tmp_path / "test.data"
    test.write_text("|a comment\n" + "\n".join(f"{row}." for row in rows_of_classes(80, seed=1)) + "\n")
    outcome = quick("table", tmp_path / "run", data=data, no_header=True, target="3", test=str(test))
    assert outcome.scores.examples == 80
    config = outcome.folder.read_config()
    assert any("taken for known ones" in note for note in config["notes"])
    assert set(config["data"]["files"]) == {"training", "test"}


def test_without_names_the_target_column_may_be_left_out_of_the_middle(tmp_path, capsys):
    rows = [row.split(",") for row in rows_of_classes()]
    (tmp_path / "a.csv").write_text("\n".join(",".join([r[0], r[3], r[1], r[2]]) for r in rows) + "\n")
    (tmp_path / "b.csv").write_text("\n".join(",".join([r[0], r[1], r[2]]) for r in rows) + "\n")
    run = quick("table", tmp_path / "run", data=str(tmp_path / "a.csv"), no_header=True, target="1", epochs=2)
    assert predicted(capsys, run.folder, tmp_path / "a.csv") == predicted(capsys, run.folder, tmp_path / "b.csv")


def test_rows_without_a_target_are_left_out_and_counted(tmp_path):
    rows = [row if i % 10 else row.rpartition(",")[0] + "," for i, row in enumerate(rows_of_classes())]
    (tmp_path / "a.csv").write_text("\n".join(["size,colour,weight,kind", *rows]) + "\n")
    run = quick("table", tmp_path / "run", data=str(tmp_path / "a.csv"), target="kind", epochs=1)
    counts = run.folder.read_config()["data"]["examples"]
    assert sum(counts.values()) == 216
    assert any("24 of 240 rows" in note for note in run.folder.read_config()["notes"])


def test_the_task_can_be_overruled(tmp_path):
    draw = np.random.default_rng(0)
    rows = "\n".join(f"{a:.3f},{b}" for a, b in zip(draw.normal(size=120), np.arange(120) % 5, strict=True))
    (tmp_path / "a.csv").write_text(f"x,y\n{rows}\n")
    data = str(tmp_path / "a.csv")
    assert quick("table", tmp_path / "1", data=data, target="y", epochs=1).scores.confusion is not None
    assert quick("table", tmp_path / "2", data=data, target="y", epochs=1, task="regression").scores.points is not None


def test_the_encoder_sees_the_training_part_alone(classifier):
    config = classifier.folder.read_config()
    count = config["data"]["examples"]["training"]
    assert count == 240 - config["data"]["examples"]["test"] - config["data"]["examples"]["validation"]
    mean = next(c for c in config["inputs"]["encoder"]["columns"] if c["name"] == "size")
    whole = read_csv(classifier.settings.data)["size"]
    assert np.nanmean(whole) not in np.ravel(mean["transform"]["steps"][-1]["mean_"])


def test_batches_of_one_are_left_out_where_the_batch_is_normalised(tmp_path):
    rows = rows_of_classes(count=60)
    (tmp_path / "a.csv").write_text("\n".join(["size,colour,weight,kind", *rows]) + "\n")
    flags = {"batch_norm": True, "epochs": 1, "data": str(tmp_path / "a.csv"), "target": "kind"}
    for size in (7, 14, 42):  # 43 training rows
        assert quick("table", tmp_path / f"run{size}", batch_size=size, **flags).scores.examples == 12


@pytest.mark.parametrize("data_is_text", [True, False])
def test_numbers_and_texts_name_the_same_classes(tmp_path, data_is_text, capsys):
    labels = np.where(np.arange(100) % 2, "1" if not data_is_text else "one", "2" if not data_is_text else "two")
    rows = "\n".join(f"{i % 2 + i / 1000},{label}" for i, label in enumerate(labels))
    (tmp_path / "a.csv").write_text(f"x,y\n{rows}\n")
    run = quick("table", tmp_path / "run", data=str(tmp_path / "a.csv"), target="y")
    assert {row["prediction"] for row in predicted(capsys, run.folder, tmp_path / "a.csv")} == set(labels)
    assert use.evaluate(str(run.folder), str(tmp_path / "a.csv")).numbers["accuracy"] > 0.9


# --- streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_streamed_table_is_learnt_like_one_in_memory(tmp_path, kind):
    data, target = (
        (write_classes(tmp_path, count=600), "kind")
        if kind == "classes"
        else (write_numbers(tmp_path, count=600), "price")
    )
    run = quick("table", tmp_path / "run", data=data, target=target, stream=True, epochs=30)
    assert run.folder.read_config()["data"]["streamed"]
    if kind == "classes":
        assert run.scores.numbers["accuracy"] > run.scores.baseline + 0.2
    else:
        assert run.scores.numbers["r2"] > 0.9
    assert use.evaluate(str(run.folder), None).numbers == run.scores.numbers
    examples = run.folder.read_config()["data"]["examples"]
    assert abs(run.scores.examples - examples["test"]) < 60


def test_the_parts_of_a_stream_share_no_row(tmp_path):
    data = write_numbers(tmp_path, count=400)
    problem = prepare(settings_from("table", {"data": data, "target": "price", "stream": True}, {}))
    scale = problem.outputs.scale
    training = np.concatenate([y for _, y in problem.training.chunks()]).ravel()
    parts = [scale.inverse_transform(part.ravel().astype(float)) for part in (training, problem.validation[1])]
    test = np.concatenate([y for _, y in problem.test()])
    rows = np.concatenate([*parts, test])
    assert len(rows) == 400
    np.testing.assert_allclose(np.sort(rows), np.sort(read_csv(data)["price"]), rtol=1e-5)


def test_numbers_can_be_streamed_as_classes(tmp_path):
    rows = "\n".join(f"{i % 30 + i / 9000},{i % 30}" for i in range(900))
    (tmp_path / "a.csv").write_text(f"x,y\n{rows}\n")
    flags = {"data": str(tmp_path / "a.csv"), "target": "y", "task": "classification", "stream": True, "epochs": 1}
    assert quick("table", tmp_path / "run", **flags).predictor.outputs.width == 30


# --- images ----------------------------------------------------------------------------------------------------------


def test_digits_are_learnt_and_their_best_epoch_is_kept(digits_run):
    assert digits_run.scores.examples == 359
    assert digits_run.scores.numbers["accuracy"] > 0.85
    assert use.evaluate(str(digits_run.folder), None).numbers == digits_run.scores.numbers


@pytest.mark.parametrize("form", ["npy", "npy flat", "npz", "idx", "csv", "csv header", "one image", "scaled"])
def test_images_are_read_from_every_format(digits_run, tmp_path, capsys, form):
    test = digits().test.images[:20]
    stored = np.round(test * 16).astype(np.uint8)
    path = tmp_path / f"images.{form.split()[0][:3]}"
    if form == "npz":
        np.savez(path, images=stored)
    elif form == "idx":
        write_idx(path, stored)
    elif form.startswith("csv"):
        header = ",".join(f"p{i}" for i in range(64)) if form == "csv header" else ""
        np.savetxt(path, stored.reshape(-1, 64), fmt="%d", delimiter=",", header=header, comments="")
    else:
        arrays = {"npy": stored, "npy flat": stored.reshape(-1, 64), "one image": stored[0], "scaled": test}
        path = tmp_path / "images.npy"
        np.save(path, arrays[form])
    rows = predicted(capsys, digits_run.folder, path)
    raw = digits_run.predictor.raw(test[: len(rows)])
    assert [row["prediction"] for row in rows] == [str(label) for label in raw.argmax(axis=1)]
    assert len(rows) == (1 if form == "one image" else 20)


def test_labelled_images_are_evaluated(digits_run, tmp_path):
    test = digits().test
    np.savez(tmp_path / "a.npz", images=test.images, labels=test.labels)
    assert use.evaluate(str(digits_run.folder), str(tmp_path / "a.npz")).numbers == digits_run.scores.numbers
    rows = np.column_stack([np.round(test.images.reshape(-1, 64) * 16), test.labels])
    np.savetxt(tmp_path / "a.csv", rows, fmt="%d", delimiter=",")
    assert use.evaluate(str(digits_run.folder), str(tmp_path / "a.csv")).numbers == digits_run.scores.numbers


CONVOLUTIONS = {"network": "convolutional", "base": 16, "layers": None, "augment": False, "epochs": 25}


@pytest.mark.parametrize("network", [{"layers": [16]}, CONVOLUTIONS])
def test_images_in_a_folder_of_idx_files(tmp_path, monkeypatch, network):
    read = picture_sets.FROM_FOLDER["mnist"]
    monkeypatch.setitem(
        picture_sets.FROM_FOLDER, "mnist", lambda folder, **options: read(folder, verify=False, **options)
    )
    folder = write_images(tmp_path / "mnist")
    flags = {name: value for name, value in {**QUICK, **network}.items() if value is not None}
    settings = settings_from("mnist", {**flags, "data": folder, "run": str(tmp_path / "run")}, {})
    run = train(settings, say=lambda line: None)
    assert run.scores.numbers["accuracy"] > 0.8
    assert use.evaluate(str(run.folder), folder).numbers == run.scores.numbers
    assert use.evaluate(str(run.folder), None).numbers == run.scores.numbers


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_run_that_diverges_at_once_says_so(tmp_path):
    flags = {"data": write_numbers(tmp_path), "target": "price", "lr": 1e6, "clip": 0, "optimizer": "sgd"}
    with pytest.raises(NonFiniteError, match="--lr"):
        quick("table", tmp_path / "run", schedule="constant", **flags)


def test_a_policy_for_values_that_are_not_finite_is_that_of_the_trainer(tmp_path):
    flags = {"data": write_numbers(tmp_path), "target": "price", "lr": 1e6, "clip": 0, "optimizer": "sgd"}
    with pytest.raises(NonFiniteError, match="the step was left out"):
        quick("table", tmp_path / "run", schedule="constant", nonfinite="raise", **flags)


def test_activations_that_are_computed_again_train_the_same(tmp_path):
    data = write_classes(tmp_path)
    kept = quick("table", tmp_path / "kept", data=data, target="kind", epochs=1)
    again = quick("table", tmp_path / "again", data=data, target="kind", epochs=1, recompute=True)
    assert again.history["loss"] == pytest.approx(kept.history["loss"], rel=1e-6)


def test_data_that_changed_is_not_evaluated_on(tmp_path):
    data = write_classes(tmp_path)
    run = quick("table", tmp_path / "run", data=data, target="kind", epochs=1)
    with open(data, "a") as stream:
        stream.write("1,red,2,fruit\n")
    with pytest.raises(DataError, match="not what the run was trained on"):
        use.evaluate(str(run.folder), None)
    assert use.evaluate(str(run.folder), data).examples == 241


def damage_config(folder, **changes):
    config = json.loads(folder.config.read_text())
    for path, value in changes.items():
        *parents, last = path.split("__")
        inner = config
        for name in parents:
            inner = inner[name]
        inner[last] = value
    folder.config.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "not of Thalweg"),
        ({"version": 99}, "another version"),
        ({"network": None}, "description of the network"),
        ({"network__layers": [1 << 40]}, "weights are not those"),
        ({"network__layers": ["a"]}, "description of the network"),
        ({"network__activation": "eval"}, "description of the network"),
        ({"network__outputs": 7}, "do not fit together"),
        ({"outputs": {"task": "classification"}}, "description of the outputs"),
        ({"outputs__classes": "abc"}, "description of the outputs"),
        ({"inputs__kind": "os"}, "description of the inputs"),
        ({"inputs__encoder": {}}, "description of the inputs"),
        ({"inputs__encoder": 3}, "description of the inputs"),
    ],
)
def test_a_damaged_configuration_is_refused(classifier, tmp_path, changes, message):
    folder = RunFolder(tmp_path)
    folder.weights.write_bytes(classifier.folder.weights.read_bytes())
    folder.config.write_bytes(classifier.folder.config.read_bytes())
    damage_config(folder, **changes)
    with pytest.raises(FileFormatError, match=message):
        load_predictor(folder)


def test_run_folders_are_numbered_and_never_shared(here):
    assert [str(RunFolder.create("a", None)) for _ in range(2)] == ["runs/a-001", "runs/a-002"]
    (here / "runs" / "a-007").mkdir()
    assert str(RunFolder.create("a", None)) == "runs/a-008"
    assert str(RunFolder.create("a[1]", None)) == "runs/a[1]-001"
    (here / "full").mkdir()
    (here / "full" / "file").touch()
    with pytest.raises(ConfigurationError, match="not empty"):
        RunFolder.create("a", "full")


def test_settings_that_cannot_work_leave_no_folder(here):
    data = write_classes(here)
    with pytest.raises(ConfigurationError, match="loss"):
        quick("table", here / "run", data=data, target="kind", loss="mse")
    assert not (here / "run").exists()


# --- real data -------------------------------------------------------------------------------------------------------


def test_part_of_california_housing_is_learnt(tmp_path):
    source = shared_data("california_housing") / "housing.csv.gz"
    table = read_csv(source)
    keep = table.take(np.arange(0, table.rows, 8))
    lines = [",".join(keep.names), *(",".join(map(_cell, row)) for row in zip(*(keep[n].tolist() for n in keep.names)))]
    (tmp_path / "housing.csv").write_text("\n".join(lines) + "\n")
    flags = {"data": str(tmp_path / "housing.csv"), "target": "median_house_value", "layers": [64], "epochs": 20}
    run = quick("table", tmp_path / "run", **flags)
    assert run.scores.numbers["rmse"] < 75_000


def _cell(value):
    return "" if value is None or value != value else str(value)


@pytest.mark.application
def test_a_perceptron_on_mnist_reaches_its_figure(tmp_path):
    flags = {"data": str(shared_data("mnist")), "run": str(tmp_path / "run"), "quiet": True, "network": "perceptron"}
    settings = settings_from("mnist", flags, {})
    assert train(settings, say=lambda line: None).scores.numbers["accuracy"] >= 0.975


@pytest.mark.application
def test_digits_reach_their_figure(tmp_path):
    settings = settings_from("digits", {"run": str(tmp_path / "run"), "quiet": True}, {})
    outcome = train(settings, say=lambda line: None)
    assert outcome.scores.numbers["accuracy"] >= 0.97
