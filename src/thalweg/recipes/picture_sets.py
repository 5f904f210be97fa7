"""Labelled pictures, read into memory: the named sets, and arrays; folders are read by `picture_files`.

In: settings. Out: `PictureSet`: pictures of one size with their classes, masks or boxes, in the parts that the data
has; what it lacks (a validation part, often a test part) is cut off later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
from thalweg.data.image_catalogue import read_labelled_npz
from thalweg.data.mask_folder import class_numbers
from thalweg.errors import ConfigurationError, DataError, FileFormatError, explain
from thalweg.recipes.picture_files import set_of_files
from thalweg.recipes.picture_parts import Part, PictureSet, name_of, read_all, task_of
from thalweg.recipes.problem import DETECTION, SEGMENTATION
from thalweg.recipes.settings import Settings

MOST_CLASSES = 1000
BCCD_SIZE = (120, 160)
MOST_CHANNELS = 4
"""A last axis of at most so many, behind a longer second one, holds channels."""

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


def load_set(settings: Settings) -> PictureSet:
    """The pictures of a recipe. Raises DataError, FileFormatError with the file's name, ConfigurationError."""
    if settings.recipe == "bccd":
        return _boxed(found(settings.recipe, settings.data, size=settings.image_size or BCCD_SIZE))
    if settings.recipe in FROM_FOLDER or settings.recipe == "digits":
        return _labelled(load(settings.recipe, settings.data, raw=True), settings.recipe)
    assert settings.data is not None
    if settings.data.lower().endswith(".npz"):
        return _of_arrays(settings)
    return set_of_files(settings)


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
