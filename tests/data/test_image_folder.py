"""Folders of classes: sorted, nested, in a zip; what cannot be read is named, or left out and reported.

In: small folders of pictures, some of them bad. Out: samples (image, label).
"""

import io
import zipfile

import numpy as np
import pytest

from thalweg.data import DataLoader, ImageFolder, RandomResizedCrop, Resize, stratified_split
from thalweg.data.checks import part_of
from thalweg.errors import ArgumentError, DataError, FileFormatError

Image = pytest.importorskip("PIL.Image")
NAMES = ["cat/1.png", "cat/indoors/2.PNG", "cat/3.jpg", "dog/b.bmp", "dog/a.gif", "zebra/1.png"]


def picture(value, size=(6, 5), kind="PNG"):
    stream = io.BytesIO()
    Image.new("RGB", size, (value, value, value)).save(stream, kind)
    return stream.getvalue()


KINDS = {"png": "PNG", "jpg": "JPEG", "bmp": "BMP", "gif": "GIF"}


@pytest.fixture
def root(tmp_path):
    for number, name in enumerate(NAMES):
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(10 * number, kind=KINDS[name[-3:].lower()]))
    (tmp_path / "pets" / "notes.txt").write_text("no picture")
    (tmp_path / "pets" / "cat" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "pets" / "cat" / "._1.png").write_bytes(b"x")
    return tmp_path / "pets"


def test_classes_are_sorted_and_nested_pictures_belong_to_them(root):
    data = ImageFolder(root)
    assert data.classes == ["cat", "dog", "zebra"]
    assert data.class_to_idx == {"cat": 0, "dog": 1, "zebra": 2}
    assert data.targets.tolist() == [0, 0, 0, 1, 1, 2]
    assert [entry.name for entry in data.entries] == sorted(NAMES)
    image, label = data[5]
    assert (image.shape, image.dtype, label) == ((3, 5, 6), np.uint8, 2)
    assert (image == 50).all()
    assert repr(data) == "ImageFolder(6 samples, 3 classes)"


@pytest.mark.parametrize("inner", ["", "pets/"])
def test_an_archive_is_read_like_its_folder(root, tmp_path, inner):
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for name in NAMES:
            archive.write(root / name, inner + name)
    folder, packed = ImageFolder(root), ImageFolder(tmp_path / "pets.zip")
    assert packed.classes == folder.classes
    for i in range(6):
        np.testing.assert_array_equal(packed[i][0], folder[i][0])


def test_pictures_of_different_sizes_need_one_size(root):
    (root / "cat" / "1.png").write_bytes(picture(0, size=(8, 9)))
    with pytest.raises(DataError, match="different sizes") as caught:
        ImageFolder(root).take(range(6))
    assert "size=(height, width)" in str(caught.value)
    for data in (ImageFolder(root, size=4), ImageFolder(root, Resize(4)), ImageFolder(root, RandomResizedCrop(4))):
        assert data.take(range(6))[0].shape == (6, 3, 4, 4)
    (batch, labels), *_ = DataLoader(ImageFolder(root, RandomResizedCrop(4)), 6, seed=0)
    assert batch.shape == (6, 3, 4, 4)
    assert labels.tolist() == [0, 0, 0, 1, 1, 2]


def test_grey_pictures_have_one_channel(root):
    assert ImageFolder(root, mode="L").take([0])[0].shape == (1, 1, 5, 6)


def test_the_test_part_counts_classes_like_the_training_part(root, tmp_path):
    (tmp_path / "test" / "zebra").mkdir(parents=True)
    (tmp_path / "test" / "zebra" / "1.png").write_bytes(picture(1))
    test = ImageFolder(tmp_path / "test", classes=ImageFolder(root).classes)
    assert test.targets.tolist() == [2]
    with pytest.raises(DataError, match="not known") as caught:
        ImageFolder(root, classes=["cat", "dog"])
    assert "zebra" in str(caught.value)


def test_a_stratified_split_knows_the_labels(root):
    training, validation = stratified_split(ImageFolder(root), 0.3, seed=0)
    assert len(training) + len(validation) == 6
    assert training.take(range(len(training)))[0].shape[1:] == (3, 5, 6)


BAD = {
    "cat/text.png": b"this is text and no picture",
    "cat/cut.png": picture(5)[:48],
    "dog/cut.jpg": picture(5, (64, 64), "JPEG")[:500],
    "dog/empty.png": b"",
}


@pytest.fixture
def spoiled(root):
    for name, content in BAD.items():
        (root / name).write_bytes(content)
    return root


def test_a_bad_picture_is_named_when_it_is_read(spoiled):
    data = ImageFolder(spoiled)
    for number, entry in enumerate(data.entries):
        if entry.name in BAD:
            with pytest.raises(FileFormatError) as caught:
                data[number]
            assert str(spoiled / entry.name) in str(caught.value)
    with pytest.raises(DataError) as caught:
        list(DataLoader(data, 4, num_workers=2))
    assert part_of(caught.value, "where") == str(spoiled / "cat/cut.png")


@pytest.mark.parametrize("cache", [False, True])
def test_bad_pictures_are_left_out_on_request_and_reported(spoiled, cache):
    with pytest.warns(RuntimeWarning, match="leaves out 4 .6 samples are kept") as caught:
        data = ImageFolder(spoiled, on_error="skip", cache=cache)
    assert "cat/cut.png" in str(caught[0].message)
    assert {each.place for each in data.skipped} == {str(spoiled / name) for name in BAD}
    assert all(each.reason for each in data.skipped)
    assert len(data) == 6
    assert [label for _, label in (data[i] for i in range(6))] == [0, 0, 0, 1, 1, 2]
    assert data.take(range(6))[0][:, 0, 0, 0].tolist() == [data[i][0][0, 0, 0] for i in range(6)]


def test_kept_pictures_are_not_read_again(root):
    data = ImageFolder(root, cache=True)
    first = data.take(range(6))[0]
    for name in NAMES:
        (root / name).unlink()
    np.testing.assert_array_equal(data.take(range(6))[0], first)


def test_limits_hold(root):
    with pytest.raises(FileFormatError, match="at most 10 pixels"):
        ImageFolder(root, max_pixels=10)[0]


def test_folders_that_are_no_classes(root, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "1.png").write_bytes(picture(1))
    for folder, words in ((flat, "in a folder of its class"), (tmp_path / "nowhere", "no such file")):
        with pytest.raises(DataError, match=words):
            ImageFolder(folder)
    (root / "aardvark").mkdir()
    with pytest.raises(DataError, match="classes without a picture") as caught:
        ImageFolder(root)
    assert "aardvark" in str(caught.value)
    with pytest.warns(RuntimeWarning, match="a class without a picture"):
        assert ImageFolder(root, on_error="skip").classes == ["cat", "dog", "zebra"]


def test_parts_are_no_classes(root, tmp_path):
    (tmp_path / "data").mkdir()
    root.rename(tmp_path / "data" / "train")
    with pytest.raises(DataError, match="parts, not classes") as caught:
        ImageFolder(tmp_path / "data")
    assert "data/train" in str(caught.value)


def test_nothing_left_is_an_error(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(b"text")
    with pytest.warns(RuntimeWarning), pytest.raises(DataError, match="no sample is left"):
        ImageFolder(tmp_path, on_error="skip")
    with pytest.raises(ArgumentError, match="unknown on_error"):
        ImageFolder(tmp_path, on_error="ignore")
