"""Labelled pictures, read into memory: the named sets, folders, zip archives and arrays.

In: settings. Out: `PictureSet`: pictures of one size with their classes, masks or boxes, in the parts that the data
has; what it lacks (a validation part, often a test part) is cut off later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from thalweg.data import (
    BoxedImages,
    ImageFolder,
    LabelledImages,
    SegmentationFolder,
    VOCDetection,
    bccd,
    cifar10,
    digits,
    fashion_mnist,
    membrane,
    mnist,
)
from thalweg.data.boxes import EMPTY
from thalweg.data.image_catalogue import read_labelled_npz
from thalweg.data.image_dataset import ImageDataset, ImageFiles
from thalweg.data.mask_folder import class_numbers
from thalweg.data.progress import Progress
from thalweg.errors import ConfigurationError, DataError, FileFormatError, ThalwegError, explain
from thalweg.recipes.problem import CLASSIFICATION, DETECTION, SEGMENTATION
from thalweg.recipes.recognition import part_folders
from thalweg.recipes.settings import IMAGE_FOLDER, MASK_FOLDER, Settings

LOOKED_AT = 24
"""Pictures whose size and colour decide for all of a folder."""
LONGEST_SIDE = {CLASSIFICATION: 64, SEGMENTATION: 256, DETECTION: 160}
MULTIPLE_OF = {CLASSIFICATION: 4, SEGMENTATION: 8, DETECTION: 8}
MOST_BYTES = 8 << 30
MOST_CLASSES = 1000
BLOCK = 64
"""Pictures that are read in one go."""
BCCD_SIZE = (120, 160)
MOST_CHANNELS = 4
"""A last axis of at most so many, behind a longer second one, holds channels."""

TASK_OF = {"membrane": SEGMENTATION, "bccd": DETECTION, MASK_FOLDER: SEGMENTATION, "voc": DETECTION}
FROM_FOLDER: dict[str, Callable[..., LabelledImages]] = {
    "mnist": mnist, "fashion_mnist": fashion_mnist, "cifar10": cifar10, "membrane": membrane,
}  # fmt: skip
FILES_OF = {
    "mnist": "the four IDX files (train-images-idx3-ubyte.gz, ...)",
    "fashion_mnist": "the four IDX files (train-images-idx3-ubyte.gz, ...)",
    "cifar10": "data_batch_1.bin, ... and test_batch.bin",
    "membrane": "membrane_train.npz",
    "bccd": "bccd.zip",
}


class Part(NamedTuple):
    """Pictures uint8 (or float32 in 0 .. 1), (n, channels, height, width), and what belongs to each."""

    images: np.ndarray
    targets: np.ndarray

    def at(self, rows: np.ndarray) -> Part:
        return Part(self.images[rows], self.targets[rows])


@dataclass
class PictureSet:
    """Pictures of one size, in parts."""

    name: str
    task: str
    class_names: tuple[str, ...]
    training: Part
    validation: Part | None = None
    test: Part | None = None
    maximum: int = 255
    origin: str = ""
    is_sequence: bool = False
    """Whether neighbours are alike, so that a part must be cut off in one piece."""
    notes: list[str] = field(default_factory=list)


def task_of(recipe: str) -> str:
    """What is learnt from pictures of a recipe."""
    return TASK_OF.get(recipe, CLASSIFICATION)


def load_set(settings: Settings) -> PictureSet:
    """The pictures of a recipe. Raises DataError, FileFormatError with the file's name, ConfigurationError."""
    if settings.recipe == "bccd":
        return _boxed(found(settings.recipe, settings.data, size=settings.image_size or BCCD_SIZE))
    if settings.recipe in FROM_FOLDER or settings.recipe == "digits":
        return _labelled(load(settings.recipe, settings.data, raw=True), settings.recipe)
    assert settings.data is not None
    if settings.data.lower().endswith(".npz"):
        return _of_arrays(settings)
    return _of_files(settings)


# --- named sets ------------------------------------------------------------------------------------------------------


def load(recipe: str, folder: str | None, **options: Any) -> LabelledImages:
    """A named set of pictures with classes or masks."""
    return digits() if recipe == "digits" else found(recipe, folder, **options)


def found(recipe: str, folder: str | None, **options: Any) -> Any:
    """A named set from a folder; without one, from the cache of this user if it is there."""
    try:
        return (bccd if recipe == "bccd" else FROM_FOLDER[recipe])(folder, **options)
    except FileFormatError:
        raise
    except DataError as error:
        if folder is not None or "is missing" not in str(error):
            raise
        download = f'python -c "import thalweg as tw; tw.data.{recipe}(download=True)"'
        fetch = f", or fetch the files once: {download}" if "mnist" in recipe else ""
        raise ConfigurationError(
            explain(
                f"{recipe} is read from a folder",
                received="no --data",
                expected=f"--data FOLDER with {FILES_OF[recipe]}",
                remedy=f"name the folder{fetch}",
            )
        ) from error


def _labelled(data: LabelledImages, recipe: str) -> PictureSet:
    def part(each: Any) -> Part:
        return Part(each.images if each.images.ndim == 4 else each.images[:, None], each.labels)

    maximum = 255 if data.images.dtype == np.uint8 else data.maximum
    return PictureSet(
        data.name, task_of(recipe), data.class_names, part(data.train), None, part(data.test), maximum, data.origin,
        is_sequence=recipe == "membrane",
    )  # fmt: skip


def _boxed(data: BoxedImages) -> PictureSet:
    """The authors' training and validation lists together are what may be learnt from; the test list stays apart."""
    training, more, test = (read_all(each) for each in (data.train, data.validation, data.test))
    whole = Part(*(np.concatenate(pair) for pair in zip(training, more, strict=True)))
    return PictureSet(data.name, DETECTION, data.class_names, whole, None, test, origin=data.origin)


# --- arrays ----------------------------------------------------------------------------------------------------------


def _of_arrays(settings: Settings) -> PictureSet:
    """An .npz with `images` and `labels`: a class for each picture, or a mask."""
    path, test = settings.data or "", settings.test
    images, labels = read_labelled_npz(path)
    values = label_values(labels, path)
    training = _array_part(images, labels, values, path)
    others = None if test is None else _array_part(*read_labelled_npz(test), values, test)
    task = task_of(settings.recipe)
    return PictureSet(name_of(path), task, tuple(map(str, values)), training, None, others, origin=path)


def _array_part(images: np.ndarray, labels: np.ndarray, values: list[int], where: str) -> Part:
    images = channels_first(images, where)
    if labels.ndim > 1 and labels.shape[1:] != images.shape[-2:]:
        received = f"images {images.shape}, masks {labels.shape}"
        raise DataError(explain("masks of another size than their pictures", received=received, where=where))
    return Part(images, class_numbers(labels, values, where=where))


def label_values(labels: np.ndarray, where: str) -> list[int]:
    """The different values of labels, which are the classes; DataError for what cannot be classes."""
    values = np.unique(labels)
    if labels.dtype.kind not in "biu" or len(values) > MOST_CLASSES:
        received = f"{labels.dtype}, {len(values):,} different values"
        expected = f"whole numbers, at most {MOST_CLASSES} different ones"
        raise DataError(explain("these labels are no classes", received=received, expected=expected, where=where))
    return [int(value) for value in values]


def channels_first(images: np.ndarray, where: str) -> np.ndarray:
    """(n, height, width) or (n, height, width, channels) as (n, channels, height, width), uint8 or float32 0 .. 1."""
    known = images.dtype == np.uint8 or (images.dtype.kind == "f" and 0 <= images.min(initial=0) <= images.max() <= 1)
    if images.ndim not in (3, 4) or not known or 0 in images.shape:
        raise DataError(
            explain(
                "these are no pictures",
                received=f"{images.dtype}, shape {images.shape}",
                expected="uint8, or floating in 0 .. 1: (n, height, width), with channels first or last",
                where=where,
            )
        )
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[3] <= MOST_CHANNELS < images.shape[1]:
        images = images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images, dtype=np.uint8 if images.dtype == np.uint8 else np.float32)


def name_of(path: str) -> str:
    """The last part of a path without its extension, which names the run."""
    return path.rstrip("/").rpartition("/")[2].split(".")[0] or "pictures"


# --- files -----------------------------------------------------------------------------------------------------------


FilesOf: TypeAlias = dict[str, ImageFiles]


def _of_files(settings: Settings) -> PictureSet:
    assert settings.data is not None
    parts = _voc_parts(settings) if settings.recipe == "voc" else _folder_parts(settings)
    training, task = parts["training"], task_of(settings.recipe)
    size, mode = looks(training, settings, task)
    for each in parts.values():
        each.size, each.mode = size, mode
    read = {name: read_all(each) for name, each in parts.items()}
    notes = [f"left out {each.place}: {each.reason}" for files in parts.values() for each in files.skipped]
    return PictureSet(
        name_of(settings.data), task, training.class_names, read["training"], read.get("validation"),
        read.get("test"), origin=settings.data, notes=list(dict.fromkeys(notes)),
    )  # fmt: skip


def load_labelled(
    path: str, settings: Settings, class_names: tuple[str, ...], size: tuple[int, int], mode: str
) -> Part:  # fmt: skip
    """Labelled pictures to measure a run on: of its own kind, with its classes, brought to its size."""
    values = (0, 255) if settings.recipe == "membrane" else tuple(int(each) for each in class_names if each.isdigit())
    if path.lower().endswith(".npz"):
        images, labels = read_labelled_npz(path)
        return _array_part(images, labels, list(values), path)
    on_error = "skip" if settings.skip_bad else "raise"
    options: dict[str, Any] = {"size": size, "mode": mode, "on_error": on_error}
    task = task_of(settings.recipe)
    if task == SEGMENTATION:
        return read_all(SegmentationFolder(path, values=values, **options))
    if task == DETECTION:
        return read_all(VOCDetection(path, None, classes=class_names, **options))
    return read_all(ImageFolder(path, classes=class_names, **options))


def _folder_parts(settings: Settings) -> FilesOf:
    assert settings.data is not None
    kind: type[ImageFolder] | type[SegmentationFolder]
    kind = ImageFolder if settings.recipe == IMAGE_FOLDER else SegmentationFolder
    paths = part_folders(settings.data) or {"training": settings.data}
    if settings.test is not None:
        paths["test"] = settings.test
    on_error = "skip" if settings.skip_bad else "raise"
    training = kind(paths.pop("training"), on_error=on_error)
    known: dict[str, Any] = (
        {"classes": training.class_names} if isinstance(training, ImageFolder) else {"values": training.values}
    )
    others = {name: kind(path, on_error=on_error, **known) for name, path in paths.items()}
    return {"training": training, **others}


def _voc_parts(settings: Settings) -> FilesOf:
    """`trainval` (or `train`, `val`) and `test` where the folder has these lists; else all of it, to be cut."""
    assert settings.data is not None
    on_error = "skip" if settings.skip_bad else "raise"
    whole = VOCDetection(settings.data, None, on_error=on_error)
    lists = whole.layout.splits
    training = next((name for name in ("trainval", "train") if name in lists), None)
    parts: FilesOf = {"training": whole.with_split(training)}
    if training == "train" and "val" in lists:
        parts["validation"] = whole.with_split("val")
    if settings.test is not None:
        other = VOCDetection(settings.test, None, on_error=on_error, classes=whole.class_names)
        parts["test"] = other
    elif training is not None and "test" in lists:
        parts["test"] = whole.with_split("test")
    return parts


def looks(files: ImageFiles, settings: Settings, task: str) -> tuple[tuple[int, int], str]:
    """The size that all pictures are brought to, and "L" where they are grey, from a look at a few of them."""
    places = np.unique(np.linspace(0, len(files) - 1, LOOKED_AT).round().astype(int))
    images = []
    for place in places.tolist():
        try:
            images.append(files.read_entry(files.entries[place])[0])
        except ThalwegError:
            if files.on_error == "raise":
                raise
    is_grey = all((image == image[:1]).all() for image in images)
    height, width = (int(np.median([image.shape[axis] for image in images])) for axis in (1, 2))
    return settings.image_size or fitting_size(height, width, task), "L" if is_grey else "RGB"


def fitting_size(height: int, width: int, task: str) -> tuple[int, int]:
    """The size for a task: the proportions kept, the longest side limited, sides that can be halved a few times.

    >>> fitting_size(480, 640, DETECTION), fitting_size(28, 28, CLASSIFICATION), fitting_size(100, 300, SEGMENTATION)
    ((120, 160), (28, 28), (88, 256))
    """
    factor = min(1.0, LONGEST_SIDE[task] / max(height, width))
    step = MULTIPLE_OF[task]
    first, second = (max(step, round(side * factor / step) * step) for side in (height, width))
    return first, second


def read_all(data: ImageDataset) -> Part:
    """Every sample of a data set as two arrays. Raises DataError for more than fits into 8 GB."""
    first = data.take([0])
    _check_bytes(first[0].nbytes * len(data), len(data))
    images, targets = (np.empty((len(data), *each.shape[1:]), each.dtype) for each in first)
    with Progress("reading pictures", "pictures", len(data)) as progress:
        for start in range(0, len(data), BLOCK):
            rows = np.arange(start, min(start + BLOCK, len(data)))
            images[rows], targets[rows] = data.take(rows)
            progress.update(int(rows[-1]) + 1)
    return Part(images, targets)


def _check_bytes(total: int, count: int) -> None:
    if total > MOST_BYTES:
        raise DataError(
            explain(
                "the pictures do not fit into memory",
                received=f"{count:,} pictures, {total / 1e9:.1f} GB",
                expected=f"at most {MOST_BYTES / 1e9:.1f} GB",
                remedy="make them smaller: --image-size 64",
            )
        )


def with_rows(boxes: np.ndarray, most: int) -> np.ndarray:
    """Boxes (n, k, 5) with as many rows as another part has; empty rows are -1."""
    empty = np.full((len(boxes), max(0, most - boxes.shape[1]), boxes.shape[2]), EMPTY, boxes.dtype)
    return np.concatenate([boxes, empty], axis=1)
