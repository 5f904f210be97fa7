"""Pictures beside masks: paired by name, grey values and colours to class numbers, sizes that must agree.

In: small folders. Out: samples (image, mask); errors that name the file, or a report of what was left out.
"""

import io
import zipfile

import numpy as np
import pytest

from thalweg.data import DataLoader, RandomCrop, RandomHorizontalFlip, SegmentationFolder
from thalweg.data.mask_folder import class_numbers
from thalweg.errors import DataError, FileFormatError

Image = pytest.importorskip("PIL.Image")


def write(path, array, kind="PNG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    Image.fromarray(np.asarray(array, dtype=np.uint8)).save(stream, kind)
    path.write_bytes(stream.getvalue())


@pytest.fixture
def root(tmp_path):
    """Three pictures; each mask is 255 where the picture is bright."""
    for number in range(3):
        grey = np.zeros((8, 8), dtype=np.uint8)
        grey[: number + 2, 1:5] = 200
        write(tmp_path / "cells" / "images" / f"{number}.png", grey)
        write(tmp_path / "cells" / "masks" / f"{number}.png", np.where(grey > 0, 255, 0))
    return tmp_path / "cells"


def test_pairs_and_classes(root):
    data = SegmentationFolder(root, mode="L")
    assert (len(data), data.values, data.class_names) == (3, (0, 255), ("0", "255"))
    image, mask = data[1]
    assert (image.shape, mask.shape, mask.dtype) == ((1, 8, 8), (8, 8), np.int64)
    np.testing.assert_array_equal(mask, image[0] // 200)


def test_an_archive_is_read_like_its_folder(root, tmp_path):
    with zipfile.ZipFile(tmp_path / "cells.zip", "w") as archive:
        for path in root.rglob("*.png"):
            archive.write(path, f"some/where/{path.relative_to(root)}")
    np.testing.assert_array_equal(SegmentationFolder(tmp_path / "cells.zip")[2][1], SegmentationFolder(root)[2][1])


def test_masks_move_with_their_pictures_in_a_loader(root):
    data = SegmentationFolder(root, RandomCrop(6, padding=2), mode="L").with_transform(RandomHorizontalFlip())
    for images, masks in DataLoader(data, 3, seed=0):
        np.testing.assert_array_equal(images[:, 0] // 200, masks)
    assert SegmentationFolder(root, size=(4, 4)).take([0, 1, 2])[1].shape == (3, 4, 4)


def test_values_can_be_named_and_ignored(root):
    mask = np.full((8, 8), 7)
    mask[0] = 255
    write(root / "masks" / "0.png", mask)
    data = SegmentationFolder(root, values=[7, 0], ignore=255, class_names=["cell", "rest"])
    assert set(np.unique(data[0][1])) == {-100, 0}
    assert data.class_names == ("cell", "rest")
    with pytest.raises(FileFormatError, match="a value of no class") as caught:
        SegmentationFolder(root, values=[0, 255])[0]
    assert str(root / "masks" / "0.png") in str(caught.value)


def test_colours_are_classes(root):
    for number in range(3):
        colours = np.zeros((8, 8, 3), dtype=np.uint8)
        colours[:4] = (255, 0, 0)
        write(root / "masks" / f"{number}.png", colours)
    data = SegmentationFolder(root)
    assert data.values == (0, 0xFF0000)
    assert data[0][1][0, 0] == 1
    assert class_numbers([[0xFF0000, 0]], (0, 0xFF0000)).tolist() == [[1, 0]]


def test_a_mask_of_another_size_is_named_or_left_out(root):
    write(root / "masks" / "1.png", np.zeros((8, 9)))
    with pytest.raises(FileFormatError, match="another size") as caught:
        SegmentationFolder(root)[1]
    assert str(root / "masks" / "1.png") in str(caught.value)
    assert "picture 8 x 8, mask 8 x 9" in str(caught.value)
    with pytest.warns(RuntimeWarning, match="another size"):
        data = SegmentationFolder(root, on_error="skip")
    assert (len(data), len(data.skipped)) == (2, 1)


def test_pictures_and_masks_without_a_partner(root):
    (root / "masks" / "2.png").unlink()
    write(root / "masks" / "9.png", np.zeros((8, 8)))
    with pytest.raises(DataError, match="do not pair up"):
        SegmentationFolder(root)
    with pytest.warns(RuntimeWarning, match="leaves out 2"):
        data = SegmentationFolder(root, on_error="skip")
    assert len(data) == 2
    assert sorted(each.reason for each in data.skipped) == ["no mask of this name", "no picture of this name"]


def test_damaged_masks_are_left_out(root):
    (root / "masks" / "0.png").write_bytes(b"no picture at all")
    with pytest.raises(FileFormatError, match="this is no picture"):
        SegmentationFolder(root)
    with pytest.warns(RuntimeWarning):
        assert len(SegmentationFolder(root, on_error="skip")) == 2


def test_smooth_masks_are_no_classes(root):
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
    for number in range(3):
        write(root / "masks" / f"{number}.png", np.tile(noise + number, (2, 4, 1)))
        write(root / "images" / f"{number}.png", np.zeros((16, 32)))
    big = np.random.default_rng(0).integers(0, 256, (16, 32, 3))
    write(root / "masks" / "2.png", big)
    with pytest.raises(DataError, match="without loss"):
        SegmentationFolder(root)


def test_folders_are_named_when_they_are_missing(root, tmp_path):
    (root / "masks").rename(root / "truth")
    with pytest.raises(DataError, match="a folder is missing") as caught:
        SegmentationFolder(root)
    assert "images, truth" in str(caught.value)
    assert len(SegmentationFolder(root, masks="truth")) == 3


def test_two_pictures_of_one_name(root):
    write(root / "images" / "0.jpg", np.zeros((8, 8)), "JPEG")
    with pytest.raises(DataError, match="two pictures of one name"):
        SegmentationFolder(root)
