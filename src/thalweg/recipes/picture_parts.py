"""Labelled pictures in memory, in parts, wherever they came from.

In: data sets of pictures. Out: `Part` and `PictureSet`, arrays of pictures of one size with their classes, masks or
boxes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from thalweg.data.boxes import EMPTY
from thalweg.data.image_dataset import ImageDataset
from thalweg.data.progress import Progress
from thalweg.errors import DataError, explain
from thalweg.recipes.problem import CLASSIFICATION, DETECTION, SEGMENTATION
from thalweg.recipes.settings import MASK_FOLDER, VOC

MOST_BYTES = 8 << 30
BLOCK = 64
"""Pictures that are read in one go."""
TASK_OF = {"membrane": SEGMENTATION, "bccd": DETECTION, MASK_FOLDER: SEGMENTATION, VOC: DETECTION}


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


def name_of(path: str) -> str:
    """The last part of a path without its extension, which names the run."""
    return path.rstrip("/").rpartition("/")[2].split(".")[0] or "pictures"


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
