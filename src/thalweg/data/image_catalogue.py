"""Named sets of pictures in colour, with masks or with boxes: `cifar10()`, `membrane()`, `bccd()`.

In: nothing, or a folder. Out: `LabelledImages` for the first two (the labels of `membrane` are masks), `BoxedImages`
for the third; each with the parts that its authors made, or a fixed one where they made none.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from thalweg.data.boxes import most_of, padded_boxes
from thalweg.data.catalogue import (
    Examples,
    LabelledImages,
    find_spelled,
    scaled_to_unit,
    set_folder,
    wrong_content,
)
from thalweg.data.cifar import records_of, unpacked
from thalweg.data.image_dataset import BOXES, ImageArrays, ImageDataset
from thalweg.data.mask_folder import class_numbers
from thalweg.data.npz import read_npz
from thalweg.data.voc import VOCDetection
from thalweg.data.voc_layout import ANNOTATIONS
from thalweg.errors import DataError, FileFormatError, explain

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_CHECKSUMS = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "test_batch_first1000.bin": "371f65da31ad652f5e24b3699a3e6515",
}
MEMBRANE_HELD_OUT = 6
MEMBRANE_CLASSES = ("membrane", "inside")
BCCD_CLASSES = ("RBC", "WBC", "Platelets")


def cifar10(folder: str | os.PathLike[str] | None = None, *, raw: bool = False, verify: bool = True) -> LabelledImages:
    """CIFAR-10: pictures of 32 x 32 pixels in colour, 10 classes, from the binary version's files.

    Whatever training batches are there are read (all five hold 50,000 pictures), and the test batch, whole
    (`test_batch.bin`) or its first thousand (`test_batch_first1000.bin`); plain, .gz or .xz.

    Args:
        folder: where the files are, or a folder that holds `cifar10` or `cifar-10-batches-bin`; None for the cache of
            this user (`THALWEG_DATA`).
        raw: images as stored, uint8 in 0 .. 255. By default float32 in 0 .. 1.
        verify: compare the content of files whose MD5 is known with it.

    Raises:
        DataError: no training batch or no test batch. FileFormatError: a damaged file.

    Images are (n, 3, 32, 32): red, green, blue.
    """
    place = set_folder("cifar10", folder, ("cifar-10-batches-bin",))
    training = [path for i in range(1, 6) if (path := find_spelled(place, f"data_batch_{i}.bin")) is not None]
    test = find_spelled(place, "test_batch.bin") or find_spelled(place, "test_batch_first1000.bin")
    if not training or test is None:
        missing = "data_batch_1.bin" if not training else "test_batch.bin"
        raise _missing("cifar10", missing, place, "the binary version, https://www.cs.toronto.edu/~kriz/cifar.html")
    parts = [records_of(_content(path, verify), path) for path in (*training, test)]
    images, labels = (np.concatenate(each) for each in zip(*parts, strict=True))
    return _cut(
        "cifar10", scaled_to_unit(images, 255, raw), labels, len(labels) - len(parts[-1][1]), _cifar_names(place), 255,
        "CIFAR-10; A. Krizhevsky, V. Nair, G. Hinton; Krizhevsky, Learning Multiple Layers of Features (2009)",
    )  # fmt: skip


def _content(path: Path, verify: bool) -> bytes:
    content = unpacked(path)
    expected = CIFAR10_CHECKSUMS.get(path.name.removesuffix(".xz").removesuffix(".gz")) if verify else None
    if expected is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() != expected:
        raise wrong_content(path, expected)
    return content


def _cifar_names(place: Path) -> tuple[str, ...]:
    path = place / "batches.meta.txt"
    if not path.is_file():
        return CIFAR10_CLASSES
    names = tuple(path.read_text(encoding="utf-8", errors="replace").split())
    if len(names) != len(CIFAR10_CLASSES):
        raise FileFormatError(
            explain("a name for each class is needed", received=f"{len(names)} names", expected="10", where=str(path))
        )
    return names


def membrane(folder: str | os.PathLike[str] | None = None, *, raw: bool = False) -> LabelledImages:
    """Neuronal membranes (ISBI 2012): 30 electron-microscope pictures of 512 x 512, and a mask for each.

    Args:
        folder: where `membrane_train.npz` is, or a folder that holds `membrane`; None for the cache of this user.
        raw: images as stored, uint8 in 0 .. 255. By default float32 in 0 .. 1.

    Images are (n, 1, 512, 512); `labels` are masks, int64 (n, 512, 512): 0 membrane, 1 inside of a cell. The pictures
    are consecutive slices, so the test part is the last six: any other choice would have its neighbours in training.
    """
    place = set_folder("membrane", folder)
    path = find_spelled(place, "membrane_train.npz")
    if path is None:
        raise _missing("membrane", "membrane_train.npz", place, "images and labels, uint8 (n, height, width)")
    images, masks = read_labelled_npz(path)
    images = scaled_to_unit(images[:, None], 255, raw)
    return _cut(
        "membrane", images, class_numbers(masks, (0, 255)), len(images) - MEMBRANE_HELD_OUT, MEMBRANE_CLASSES, 255,
        "ISBI 2012 EM segmentation challenge; A. Cardona et al., PLoS Biology 2010; by way of zhixuhao/unet",
    )  # fmt: skip


def read_labelled_npz(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """`images` (n, ...) and `labels` (n, ...) of an .npz; FileFormatError if one is missing or lengths differ."""
    arrays = read_npz(path)
    images, labels = arrays.get("images"), arrays.get("labels")
    if images is None or labels is None or len(images) != len(labels):
        received = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        expected = "images and labels of one length"
        raise FileFormatError(
            explain("this .npz holds no labelled images", received=received, expected=expected, where=str(path))
        )
    return images, labels


@dataclass(frozen=True)
class BoxedImages:
    """Pictures with boxes, in the parts that their authors made.

    Attributes:
        name: of the data set. class_names: by number. origin: who made it, and its licence.
        train, validation, test: sets of samples (image, boxes); image uint8 (3, height, width), boxes float32
            (most, 5): x_min, y_min, x_max, y_max, class; rows of -1 are empty.
    """

    name: str
    train: ImageDataset
    validation: ImageDataset
    test: ImageDataset
    class_names: tuple[str, ...]
    origin: str


def bccd(
    folder: str | os.PathLike[str] | None = None, *, size: int | tuple[int, int] | None = None, small: bool = False
) -> BoxedImages:
    """Blood cells (BCCD): 364 microscope pictures of 480 x 640, boxes around red cells, white cells and platelets.

    Args:
        folder: where `bccd.zip` is (or the unpacked BCCD, or `bccd_60x80.npz`), or a folder that holds `bccd`; None for
            the cache of this user.
        size: (height, width) that pictures are brought to when they are read; they are kept in memory then.
        small: read `bccd_60x80.npz`, pictures averaged to 60 x 80; Pillow is not needed then.

    205 pictures are for training, 87 for validation, 72 for the test. Two boxes of no area are left out.
    """
    place = set_folder("bccd", folder)
    if small:
        train, validation, test = _small_bccd(place)
        if size is not None:
            raise DataError(
                explain("small pictures have their size", received=f"size={size!r}", expected="small=False")
            )
    else:
        train, validation, test = _whole_bccd(place, size)
    origin = "BCCD; cosmicad, akshaylamba; Shenggan/BCCD_Dataset; MIT licence"
    return BoxedImages("bccd", train, validation, test, BCCD_CLASSES, origin)


def _whole_bccd(place: Path, size: int | tuple[int, int] | None) -> list[ImageDataset]:
    source = next((path for path in (place / "bccd.zip", place) if path.is_file() or _holds_voc(path)), None)
    if source is None:
        raise _missing("bccd", "bccd.zip", place, f"a zip or a folder with {ANNOTATIONS}; or small=True")
    whole = VOCDetection(source, "train", size=size, classes=BCCD_CLASSES, bad_boxes="skip", cache=size is not None)
    return [whole, whole.with_split("val"), whole.with_split("test")]


def _holds_voc(path: Path) -> bool:
    return any((inner / ANNOTATIONS).is_dir() for inner in (path, path / "BCCD"))


def _small_bccd(place: Path) -> list[ImageDataset]:
    path = find_spelled(place, "bccd_60x80.npz")
    if path is None:
        raise _missing("bccd", "bccd_60x80.npz", place, "the pictures averaged to 60 x 80")
    arrays = read_npz(path)
    corners, labels, owner = arrays["boxes"].astype(np.float32) / 8, arrays["box_label"], arrays["box_image"]
    usable = (corners[:, 0] < corners[:, 2]) & (corners[:, 1] < corners[:, 3])
    each = [np.flatnonzero(usable & (owner == i)) for i in range(len(arrays["images"]))]
    most = most_of([len(rows) for rows in each])
    boxes = np.stack([padded_boxes(corners[rows], labels[rows], most) for rows in each])
    images = arrays["images"].transpose(0, 3, 1, 2)
    split = [np.flatnonzero(arrays["split"] == part) for part in range(3)]
    return [ImageArrays(images[part], boxes[part], target=BOXES, class_names=BCCD_CLASSES) for part in split]


# --- what they share -------------------------------------------------------------------------------------------------


def _cut(
    name: str, images: np.ndarray, labels: np.ndarray, end: int, classes: tuple[str, ...], maximum: int, origin: str
) -> LabelledImages:
    training, test = Examples(images[:end], labels[:end]), Examples(images[end:], labels[end:])
    return LabelledImages(name, images, labels, training, test, classes, maximum, origin)


def _missing(name: str, file: str, place: Path, what: str) -> DataError:
    return DataError(
        explain(
            f"a file of {name} is missing",
            received=f"no {file}",
            expected=what,
            where=str(place),
            remedy=f"name the folder that holds it: tw.data.{name}(folder)",
        )
    )
