"""Recipes for pictures from end to end: classes, masks and boxes, out of folders, zip archives and arrays.

In: small generated sets. Out: run folders with reports, the same predictions again from disk, drawn pictures.
"""

import csv
import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.recipes.conftest import check_explanation, check_report, quick_pictures
from tests.recipes.picture_samples import save, write_annotation, write_masked, write_photographs, write_voc
from tests.support.shared_data import shared_data
from thalweg.data import Moment, bccd, cifar10
from thalweg.diagnose import Record
from thalweg.errors import ConfigurationError, DataError, ThalwegError
from thalweg.recipes import use
from thalweg.recipes.defaults import with_network
from thalweg.recipes.drawing import REPORT
from thalweg.recipes.picture_network import PictureNetwork
from thalweg.recipes.preparing import prepare
from thalweg.recipes.recognition import recognised
from thalweg.recipes.resuming import ResumePoint
from thalweg.recipes.run_folder import RunFolder
from thalweg.recipes.settings import Settings, settings_from
from thalweg.recipes.train import resume, train
from thalweg.train.checkpoint import load_weights

pytest.importorskip("matplotlib")


def zipped(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for each in sorted(Path(folder).rglob("*.*")):
            archive.write(each, each.relative_to(folder))
    return str(path)


def problem_of(recipe, data, **flags):
    return prepare(with_network(settings_from(recipe, {"data": str(data), **flags}, {})))


def everything(part):
    """The pictures of a part as text, to tell which are in it."""
    return {image.tobytes() for image in part}


# --- what is recognised ----------------------------------------------------------------------------------------------


def parts(folder):
    for name in ("train", "test"):
        write_photographs(folder / name, 4)


def masked_parts(folder):
    for name in ("train", "test"):
        write_masked(folder / name, 4)


RECOGNISED = {
    "classes": (write_photographs, "image_folder"),
    "parts of classes": (parts, "image_folder"),
    "masks": (write_masked, "mask_folder"),
    "parts of masks": (masked_parts, "mask_folder"),
    "boxes": (write_voc, "voc"),
    "boxes in a folder": (lambda folder: write_voc(folder / "VOC2007"), "voc"),
    "cifar10": (lambda folder: (folder / "data_batch_1.bin.xz").touch(), "cifar10"),
    "membrane": (lambda folder: (folder / "membrane_train.npz").touch(), "membrane"),
    "bccd": (lambda folder: (folder / "bccd.zip").touch(), "bccd"),
}


@pytest.mark.parametrize("case", RECOGNISED)
def test_what_lies_in_a_folder_is_recognised(tmp_path, case):
    write, expected = RECOGNISED[case]
    write(tmp_path)
    assert recognised(str(tmp_path)) == expected


@pytest.mark.parametrize(("write", "expected"), [(write_photographs, "image_folder"), (write_voc, "voc")])
def test_a_zip_archive_is_a_folder(tmp_path, write, expected):
    assert recognised(zipped(write(tmp_path / "a"), tmp_path / "a.zip")) == expected


@pytest.mark.parametrize(("shape", "expected"), [((5,), "image_folder"), ((5, 8, 8), "mask_folder")])
def test_arrays_are_recognised_by_their_labels(tmp_path, shape, expected):
    np.savez(tmp_path / "a.npz", images=np.zeros((5, 8, 8), np.uint8), labels=np.zeros(shape, np.uint8))
    assert recognised(str(tmp_path / "a.npz")) == expected


def test_a_file_and_a_name_that_is_nothing_are_tables(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n")
    assert recognised(str(tmp_path / "a.csv")) == recognised("nowhere.csv") == recognised("dgits") == "table"


UNKNOWN = {
    "an empty folder": (lambda folder: None, "an empty folder"),
    "loose pictures": (lambda folder: save(np.zeros((4, 4), np.uint8), folder / "a.png"), "sort the pictures"),
    "texts": (lambda folder: (folder / "a.txt").touch(), "nothing in this folder is recognised"),
    "idx": (lambda folder: (folder / "train-images-idx3-ubyte.gz").touch(), "train mnist --data"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_a_folder_of_something_else_is_refused(tmp_path, case):
    write, message = UNKNOWN[case]
    write(tmp_path)
    with pytest.raises(DataError, match=message):
        recognised(str(tmp_path))


def test_other_arrays_and_a_single_picture_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    with pytest.raises(DataError, match="no labelled images"):
        recognised(str(tmp_path / "a.npz"))
    save(np.zeros((4, 4), np.uint8), tmp_path / "a.png")
    with pytest.raises(DataError, match="one picture"):
        recognised(str(tmp_path / "a.png"))


# --- the parts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "recipe"), [(write_photographs, "image_folder"), (write_masked, "mask_folder"), (write_voc, "voc")]
)
def test_no_picture_is_in_two_parts(tmp_path, write, recipe):
    problem = problem_of(recipe, write(tmp_path))
    test = problem.samples().images
    training = problem.training.with_transform(None).take(np.arange(len(problem.training)))[0]
    assert not everything(test) & everything(training)
    assert sum(problem.counts.values()) == len(list(tmp_path.rglob("*.png"))) // (2 if recipe == "mask_folder" else 1)
    validation = problem.validation.dataset.with_transform(None).take(np.arange(problem.counts["validation"]))[0]
    assert not everything(validation) & (everything(test) | everything(training))


def test_parts_that_the_folder_has_are_kept(tmp_path):
    parts(tmp_path)
    problem = problem_of("image_folder", tmp_path)
    assert problem.counts["test"] == 12
    assert problem.counts["training"] + problem.counts["validation"] == 12


def test_a_test_folder_is_read_with_the_classes_of_the_training_folder(tmp_path):
    data, test = write_photographs(tmp_path / "a"), write_photographs(tmp_path / "b", 3, seed=1)
    shutil.rmtree(Path(test) / "blue")
    problem = problem_of("image_folder", data, test=test)
    assert sorted(set(problem.samples().targets.tolist())) == [1, 2]  # green and red, as in the training folder


def test_the_lists_of_pascal_voc_decide(tmp_path):
    problem = problem_of("voc", write_voc(tmp_path / "a", 16))
    assert problem.counts["test"] == 3
    (tmp_path / "a" / "ImageSets" / "Main" / "trainval.txt").unlink()
    (tmp_path / "a" / "ImageSets" / "Main" / "train.txt").write_text("p0\np1\np2\np3")
    (tmp_path / "a" / "ImageSets" / "Main" / "val.txt").write_text("p4\np5")
    assert problem_of("voc", tmp_path / "a").counts == {"training": 4, "validation": 2, "test": 3}


def test_the_statistics_are_those_of_the_training_part(tmp_path):
    problem = problem_of("image_folder", write_photographs(tmp_path))
    training = problem.training.with_transform(None).take(np.arange(len(problem.training)))[0]
    np.testing.assert_allclose(problem.reader.mean, training.mean((0, 2, 3)) / 255, rtol=1e-6)


def test_grey_pictures_of_another_size_become_one_channel_and_one_size(tmp_path):
    draw = np.random.default_rng(0)
    for name in ("a", "b"):
        for number in range(6):
            pixels = draw.integers(0, 255, (100 + number, 220), dtype=np.uint8)
            save(pixels, tmp_path / name / f"{number}.png")
    assert problem_of("image_folder", tmp_path).input_shape == (1, 28, 64)
    assert problem_of("image_folder", tmp_path, image_size="20x24").input_shape == (1, 20, 24)


# --- what a run leaves -----------------------------------------------------------------------------------------------

RUNS = ["photographs_run", "masks_run", "boxes_run"]


@pytest.fixture(params=RUNS)
def run(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("name", ["masks_run", "boxes_run"])
def test_the_report_of_a_folder_says_what_the_run_came_to(name, request):
    check_report(request.getfixturevalue(name))


@pytest.mark.parametrize("name", ["masks_run", "boxes_run"])
def test_a_step_of_a_run_is_explained(name, request, tmp_path):
    check_explanation(request.getfixturevalue(name), tmp_path)


def test_something_is_learnt(photographs_run, masks_run, boxes_run):
    assert photographs_run.scores.numbers["accuracy"] > 0.8
    assert masks_run.scores.numbers["pixel_accuracy"] > masks_run.scores.baseline + 0.05
    assert masks_run.scores.numbers["mean_iou"] > 0.6
    assert boxes_run.scores.numbers["map_50"] > 0.5
    assert set(boxes_run.scores.by_class) == {"red", "blue"}


def test_the_same_scores_come_from_the_folder(run):
    assert use.evaluate(str(run.folder), None).numbers == run.scores.numbers
    config = run.folder.read_config()
    assert config["network"]["kind"] == run.settings.network
    assert len(config["data"]["sha256"]) == 64


def test_labelled_data_of_the_same_kind_is_evaluated(run):
    numbers = use.evaluate(str(run.folder), run.settings.data).numbers
    assert numbers.keys() == run.scores.numbers.keys()
    assert numbers[run.scores.headline] > 0.5


def test_the_same_settings_give_the_same_weights(photographs_run, tmp_path):
    again = quick_pictures("image_folder", tmp_path / "run", data=photographs_run.settings.data,
                           network="convolutional", base=4)  # fmt: skip
    for name, array in load_weights(again.folder.weights).items():
        np.testing.assert_array_equal(array, load_weights(photographs_run.folder.weights)[name])


def test_changed_data_is_not_evaluated_on(tmp_path):
    data = write_photographs(tmp_path / "a", 4)
    run = quick_pictures("image_folder", tmp_path / "run", data=data, network="convolutional", base=2, epochs=1)
    save(np.zeros((16, 16, 3), np.uint8), Path(data) / "red" / "0.png")
    with pytest.raises(DataError, match="not what the run was trained on"):
        use.evaluate(str(run.folder), None)


@pytest.mark.parametrize("flags", [{"network": "convolutional", "base": 4}, {"network": "resnet20", "base": 2}])
def test_the_digits_that_come_along_are_pictures_too(tmp_path, flags, capsys):
    run = quick_pictures("digits", tmp_path / "run", epochs=1, **flags | {"batch_size": 64, "lr": 0.01})
    assert run.scores.examples == 359
    assert run.scores.numbers["accuracy"] > 0.2
    np.save(tmp_path / "a.npy", np.zeros((2, 8, 8)))
    use.predict(str(run.folder), [str(tmp_path / "a.npy")])
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(("write", "recipe"), [(write_masked, "mask_folder"), (write_voc, "voc")])
def test_without_augmentation_the_pictures_stay_as_they_are(tmp_path, write, recipe):
    problem = problem_of(recipe, write(tmp_path), augment=False)
    plain = problem.training.with_transform(None).take([0])[0]
    drawn = problem.training.draw([0], Moment(0, (0,)))[0]
    np.testing.assert_array_equal(drawn, problem.reader.normalize(plain))


def test_resnet20_takes_large_and_small_pictures():
    for side in (32, 64):
        model = PictureNetwork("resnet20", (3, side, side), 3, 4).build()
        assert (type(model.maxpool).__name__ == "MaxPool2d") == (side == 64)


# --- the report ------------------------------------------------------------------------------------------------------

SHOWN = {
    "photographs_run": ["confusion_matrix", "examples", "filters"],
    "masks_run": ["confusion_matrix", "masks", "mistakes", "filters"],
    "boxes_run": ["boxes", "filters"],
}


@pytest.mark.parametrize("name", RUNS)
def test_the_report_shows_every_picture_and_needs_no_other_file(name, request):
    run = request.getfixturevalue(name)
    text = (run.folder.path / REPORT).read_text(encoding="utf-8")
    drawn = {path.stem for path in run.folder.path.glob("*.png")}
    assert drawn >= {*SHOWN[name], "loss", "epochs", "learning_rate", "gradient_norms"}
    curves = {"loss", "epochs", "learning_rate", "gradient_norms", "confusion_matrix"}  # drawn on the page, as SVG
    assert text.count('src="data:image/png;base64,') == len(drawn - curves) == text.count("<img")
    assert all(f"({each}.png)" in text for each in drawn - curves)
    assert text.count("<figure><svg") >= 4
    assert text.startswith("<!doctype html>")
    assert "http" not in text
    assert "Predictions beside the truth" in text
    for each in drawn:
        with Image.open(run.folder.path / f"{each}.png") as picture:
            assert picture.width > 100


def test_a_name_cannot_break_the_report(tmp_path):
    data = write_photographs(tmp_path / "a<b>&c", 4)
    (Path(data) / "red").rename(Path(data) / "<script>")
    flags = {"network": "convolutional", "base": 2, "epochs": 1, "no_pictures": False}
    run = quick_pictures("image_folder", tmp_path / "run", data=data, **flags)
    text = (run.folder.path / REPORT).read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "a&lt;b&gt;&amp;c" in text


# --- predictions -----------------------------------------------------------------------------------------------------


def test_pictures_get_a_class_each(photographs_run, capsys):
    data = Path(photographs_run.settings.data)
    use.predict(str(photographs_run.folder), [str(data / "red"), str(data / "green" / "0.png")])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [Path(row["picture"]).name for row in rows[-2:]] == ["9.png", "0.png"]
    assert len(rows) == 13
    assert sum(row["prediction"] == "red" for row in rows[:12]) > 9
    sums = [sum(float(row[f"probability of {name}"]) for name in ("red", "green", "blue")) for row in rows]
    np.testing.assert_allclose(sums, 1.0, atol=1e-6)


def test_a_picture_of_another_size_gets_a_class(photographs_run, tmp_path, capsys):
    pixels = np.zeros((50, 80, 3), np.uint8)
    pixels[10:40, 20:60] = (220, 30, 30)
    Image.fromarray(pixels).save(tmp_path / "a.jpg")
    use.predict(str(photographs_run.folder), [str(tmp_path / "a.jpg")])
    assert capsys.readouterr().out.splitlines()[1].startswith(f"{tmp_path / 'a.jpg'},red,")


def test_boxes_are_drawn_and_written_in_pixels_of_the_picture(boxes_run, tmp_path):
    data, out = Path(boxes_run.settings.data), tmp_path / "found"
    with Image.open(data / "JPEGImages" / "p0.png") as picture:
        picture.resize((96, 64)).save(tmp_path / "large.png")
    said = use.predict(str(boxes_run.folder), [str(tmp_path / "large.png"), str(data / "JPEGImages")], str(out))
    assert said.startswith("17 pictures in ")
    assert len(list(out.glob("*.png"))) == len(list(out.glob("*.json"))) == 17
    large, small = (json.loads((out / f"{name}.json").read_text()) for name in ("large", "p0"))
    assert (large["width"], large["height"]) == (96, 64)
    one, two = ({each["class"]: each["box"] for each in found["boxes"][::-1]} for found in (large, small))
    np.testing.assert_allclose(one["red"], 2 * np.array(two["red"]), atol=6)
    with Image.open(out / "large.png") as drawn:
        assert drawn.size == (96, 64)


def test_masks_are_drawn_and_written_at_the_size_of_the_picture(masks_run, tmp_path):
    data, out = Path(masks_run.settings.data), tmp_path / "found"
    use.predict(str(masks_run.folder), [str(data / "images" / "0.png")], str(out))
    mask, true = (np.asarray(Image.open(path)) for path in (out / "0.mask.png", data / "masks" / "0.png"))
    assert mask.shape == (16, 24)
    assert (mask == (true > 0)).mean() > 0.85
    assert (np.asarray(Image.open(out / "0.png")) != np.asarray(Image.open(data / "images" / "0.png"))).any()


def test_pictures_of_one_name_do_not_overwrite_each_other(masks_run, tmp_path):
    one = Path(masks_run.settings.data) / "images" / "0.png"
    (tmp_path / "b").mkdir()
    shutil.copy(one, tmp_path / "b" / "0.png")
    use.predict(str(masks_run.folder), [str(one), str(tmp_path / "b" / "0.png")], str(tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "0.mask.png", "0.png", "0_2.mask.png", "0_2.png",
    ]  # fmt: skip


def test_arrays_are_drawn_on_too(masks_run, tmp_path):
    np.savez(tmp_path / "a.npz", images=np.full((2, 16, 24, 3), 20, np.uint8))
    assert use.predict(str(masks_run.folder), [str(tmp_path / "a.npz")], str(tmp_path / "out")).startswith("2 pictures")


# --- what goes wrong -------------------------------------------------------------------------------------------------


def one_class(folder):
    shutil.rmtree(folder / "red")
    shutil.rmtree(folder / "blue")


def one_value(folder):
    for path in (folder / "masks").iterdir():
        save(np.zeros((16, 24), np.uint8), path)


BAD = {
    "one class": (write_photographs, one_class, "image_folder", "a single class"),
    "an empty class": (write_photographs, lambda folder: (folder / "void").mkdir(), "image_folder", "void"),
    "text": (write_photographs, lambda f: (f / "red" / "7.png").write_text("hello"), "image_folder", "red/7.png"),
    "cut": (
        write_photographs,
        lambda f: (f / "red" / "7.png").write_bytes((f / "red" / "7.png").read_bytes()[:60]),
        "image_folder",
        "red/7.png",
    ),
    "a mask too few": (write_masked, lambda f: (f / "masks" / "3.png").unlink(), "mask_folder", "images/3.png"),
    "a mask of another size": (
        write_masked,
        lambda f: save(np.zeros((4, 4), np.uint8), f / "masks" / "3.png"),
        "mask_folder",
        r"masks/3\.png",
    ),
    "one value": (write_masked, one_value, "mask_folder", "a single class"),
    "a box outside": (
        write_voc,
        lambda f: write_annotation(f, "p3", (32, 48), [("red", 0, 0, 99, 20)]),
        "voc",
        "p3.xml",
    ),
    "a list of nothing": (
        write_voc,
        lambda f: (f / "ImageSets" / "Main" / "test.txt").write_text("nowhere"),
        "voc",
        "nowhere",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_named(tmp_path, case):
    write, spoil, recipe, message = BAD[case]
    write(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ThalwegError, match=message):
        problem_of(recipe, tmp_path)


@pytest.mark.parametrize("case", ["text", "cut", "a mask too few", "a mask of another size", "a box outside"])
@pytest.mark.filterwarnings("ignore:.*leaves out:RuntimeWarning")
def test_the_rest_of_the_folder_can_be_used(tmp_path, case):
    write, spoil, recipe, message = BAD[case]
    write(tmp_path)
    spoil(tmp_path)
    problem = problem_of(recipe, tmp_path, skip_bad=True)
    assert any(Path(message.replace("\\", "")).stem in note for note in problem.notes)


def test_a_picture_to_predict_that_is_none_is_named(photographs_run, tmp_path):
    (tmp_path / "a.png").write_text("hello")
    for inputs in ([str(tmp_path / "a.png")], [str(tmp_path)], [str(tmp_path / "nowhere.png")]):
        with pytest.raises(DataError, match=r"a\.png|nowhere\.png"):
            use.predict(str(photographs_run.folder), inputs)


SETTINGS = [
    ("image_folder", {"network": "unet"}, "does no classification"),
    ("mask_folder", {"network": "resnet20"}, "does no segmentation"),
    ("image_folder", {"layers": "16"}, "no hidden layers"),
    ("image_folder", {"network": "perceptron"}, "takes a named set"),
    ("mask_folder", {"image_size": "20x20"}, "multiples of 8"),
    ("image_folder", {"loss": "dice"}, "not a possible value"),
    ("voc", {"loss": "cross_entropy"}, "not one of a detection"),
    ("image_folder", {"image_size": "0x4"}, "height x width"),
    ("image_folder", {"image_size": "1x2x3"}, "height x width"),
    ("digits", {"skip_bad": True}, "means nothing for digits"),
]


@pytest.mark.parametrize(("recipe", "flags", "message"), SETTINGS)
def test_settings_that_do_not_fit_are_refused(tmp_path, recipe, flags, message):
    writers = {"image_folder": write_photographs, "mask_folder": write_masked, "voc": write_voc}
    data = {} if recipe == "digits" else {"data": writers[recipe](tmp_path / "a")}
    with pytest.raises(ConfigurationError, match=message):
        quick_pictures(recipe, tmp_path / "run", **data, **flags)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "unet"}, "weights are not those|fit together"),
        ({"base": 1 << 40}, "description of the network"),
        ({"base": 64}, "weights are not those"),
        ({"input_shape": [3, 16]}, "description of the network"),
        ({"dropout": 2.0}, "description of the network"),
        ({"outputs": 9}, "fit together"),
    ],
)
def test_a_damaged_description_is_refused(photographs_run, tmp_path, changes, message):
    for path in (photographs_run.folder.config, photographs_run.folder.weights):
        shutil.copy(path, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["network"] |= changes
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ThalwegError, match=message):
        use.evaluate(str(tmp_path), None)


# --- going on --------------------------------------------------------------------------------------------------------


class Stopper(ResumePoint):
    """Save all the time, and break off as a crash would, after the third epoch."""

    def __init__(self, folder):
        super().__init__(folder, seconds=0.0)

    def on_boundary(self, trainer):
        super().on_boundary(trainer)
        if trainer.state.epoch == 2 and trainer.state.epoch_is_over:
            raise RuntimeError("the power is gone")


FLAGS = {"network": "convolutional", "base": 4, "epochs": 6}


def test_a_run_goes_on_where_it_was_broken_off(tmp_path, monkeypatch):
    data = write_photographs(tmp_path / "a")
    whole = quick_pictures("image_folder", tmp_path / "whole", data=data, **FLAGS)
    monkeypatch.setattr("thalweg.recipes.train.ResumePoint", Stopper)
    with pytest.raises(RuntimeError, match="power"):
        quick_pictures("image_folder", tmp_path / "run", data=data, **FLAGS)
    monkeypatch.undo()
    assert 1 <= len(list((tmp_path / "run" / "checkpoints").iterdir())) <= 3
    outcome = resume(str(tmp_path / "run"), Settings(recipe="table", quiet=True), say=lambda line: None)
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert outcome.scores.numbers == whole.scores.numbers
    for name, array in load_weights(outcome.folder.weights).items():
        np.testing.assert_array_equal(array, load_weights(whole.folder.weights)[name])
    assert outcome.history["val_loss"] == whole.history["val_loss"]
    assert outcome.history.steps == whole.history.steps
    assert (outcome.folder.path / REPORT).is_file()
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("run", "whole")]
    assert results[0]["best_epoch"] == results[1]["best_epoch"]
    assert results[0]["epochs"] == 6
    records = [Record.load(tmp_path / name / "record.npz") for name in ("run", "whole")]
    np.testing.assert_array_equal(records[0].steps, records[1].steps)
    np.testing.assert_array_equal(records[0]["gradient_rms"], records[1]["gradient_rms"])
    assert records[0].epochs["val_loss"] == records[1].epochs["val_loss"]


def test_a_run_that_is_over_cannot_go_on(photographs_run, tmp_path):
    with pytest.raises(ConfigurationError, match="come to its end"):
        resume(str(photographs_run.folder), Settings(recipe="table"))
    with pytest.raises(ThalwegError, match="no such run folder"):
        resume(str(tmp_path / "nowhere"), Settings(recipe="table"))


def test_a_run_does_not_go_on_with_other_data(tmp_path, monkeypatch):
    data = write_photographs(tmp_path / "a", 4)
    monkeypatch.setattr("thalweg.recipes.train.ResumePoint", Stopper)
    with pytest.raises(RuntimeError):
        quick_pictures("image_folder", tmp_path / "run", data=data, **FLAGS)
    save(np.zeros((16, 16, 3), np.uint8), Path(data) / "red" / "0.png")
    with pytest.raises(DataError, match="not what the run was trained on"):
        resume(str(tmp_path / "run"), Settings(recipe="table"))


def test_damaged_checkpoints_are_an_error_and_damaged_numbers_a_line(tmp_path, monkeypatch):
    data = write_photographs(tmp_path / "a", 4)
    monkeypatch.setattr("thalweg.recipes.train.ResumePoint", Stopper)
    with pytest.raises(RuntimeError):
        quick_pictures("image_folder", tmp_path / "run", data=data, **FLAGS)
    monkeypatch.undo()
    folder = RunFolder(tmp_path / "run")
    kept = {path: path.read_bytes() for path in folder.checkpoints.iterdir()}
    for path in kept:
        path.write_bytes(b"half")
    with pytest.raises(DataError, match="cannot be read"):
        resume(str(folder), Settings(recipe="table"))
    for path, content in kept.items():
        path.write_bytes(content)
    folder.metrics.write_text("{")
    with pytest.warns(RuntimeWarning, match="lacks lines"):
        outcome = resume(str(folder), Settings(recipe="table", quiet=True), say=lambda line: None)
    assert len(outcome.history.epoch) == 6


# --- real pictures ---------------------------------------------------------------------------------------------------


def test_the_official_split_of_bccd_is_kept():
    data = bccd(shared_data("bccd"), size=(32, 48))
    problem = problem_of("bccd", shared_data("bccd"), image_size="32x48")
    assert problem.counts["test"] == len(data.test) == 72
    assert problem.counts["training"] + problem.counts["validation"] == len(data.train) + len(data.validation)
    np.testing.assert_array_equal(problem.samples().images[5], data.test[5][0])


def test_the_last_six_slices_of_the_membrane_are_the_test_part():
    problem = problem_of("membrane", shared_data("membrane"))
    assert problem.counts == {"training": 22, "validation": 2, "test": 6}
    assert problem.training.take([0])[0].shape[-2:] in ((256, 256), (512, 512))


def test_the_test_batch_of_cifar10_is_the_test_part():
    problem = problem_of("cifar10", shared_data("cifar10"))
    assert problem.counts == {"training": 9000, "validation": 1000, "test": 1000}
    test = cifar10(shared_data("cifar10"), raw=True).test
    np.testing.assert_array_equal(problem.samples().images, test.images)


SHORT = {
    "mnist": ({"epochs": 2}, 0.975),
    "fashion_mnist": ({"epochs": 3}, 0.86),
    "cifar10": ({"epochs": 3}, 0.4),
    "membrane": ({"epochs": 20}, 0.8),
    "bccd": ({"epochs": 15}, 0.5),
}


@pytest.mark.slow
@pytest.mark.application
@pytest.mark.parametrize("recipe", SHORT)
def test_a_short_training_on_real_pictures_learns(tmp_path, recipe):
    flags, least = SHORT[recipe]
    settings = settings_from(recipe, {"data": str(shared_data(recipe)), "run": str(tmp_path / "run"),
                                      "quiet": True, **flags}, {})  # fmt: skip
    outcome = train(settings, say=lambda line: None)
    assert outcome.scores.numbers[outcome.scores.headline] >= least
    assert (outcome.folder.path / REPORT).is_file()
