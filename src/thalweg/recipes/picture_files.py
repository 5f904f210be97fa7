"""Labelled pictures out of files: folders of classes, pictures with masks, Pascal VOC.

In: settings that name a folder or a zip archive. Out: a `PictureSet` in the parts that the folder has, brought to one
size, grey where all pictures are.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from thalweg.data import ImageFolder, SegmentationFolder, VOCDetection
from thalweg.data.image_dataset import ImageFiles
from thalweg.errors import ThalwegError
from thalweg.recipes.picture_parts import PictureSet, name_of, read_all, task_of
from thalweg.recipes.problem import CLASSIFICATION, DETECTION, SEGMENTATION
from thalweg.recipes.recognition import part_folders
from thalweg.recipes.settings import IMAGE_FOLDER, VOC, Settings

LOOKED_AT = 24
"""Pictures whose size and colour decide for all of a folder."""
LONGEST_SIDE = {CLASSIFICATION: 64, SEGMENTATION: 256, DETECTION: 160}
MULTIPLE_OF = {CLASSIFICATION: 4, SEGMENTATION: 8, DETECTION: 8}

FilesOf: TypeAlias = dict[str, ImageFiles]


def set_of_files(settings: Settings) -> PictureSet:
    """The pictures of a folder, all of them in memory."""
    assert settings.data is not None
    parts = _voc_parts(settings) if settings.recipe == VOC else _folder_parts(settings)
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
