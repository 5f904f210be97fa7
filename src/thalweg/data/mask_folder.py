"""A folder of pictures beside a folder of masks: segmentation.

In: a folder or a zip archive. Out: `SegmentationFolder`, samples (image, mask), paired by name, in sorted order; a mask
holds class numbers, whatever grey values or colours its file uses for them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from thalweg.data.augment import ImageTransform
from thalweg.data.crops import IGNORED_CLASS
from thalweg.data.file_tree import FileTree, open_tree
from thalweg.data.image_dataset import IMAGE, MASK, ImageFiles, Sample, Skipped
from thalweg.data.image_files import decode_image, decode_mask, is_image_name
from thalweg.data.table import abridged
from thalweg.errors import DataError, FileFormatError, explain

MOST_CLASSES_OF_MASKS = 256
IMAGE_FOLDERS, MASK_FOLDERS = ("images", "imgs", "image"), ("masks", "labels", "mask", "label", "annotations")


class _Pair(NamedTuple):
    image: str
    mask: str


class SegmentationFolder(ImageFiles):
    """Pictures with a mask each: `root/images/cell.jpg` and `root/masks/cell.png`, paired by their stems.

    Args:
        root: the folder, or a .zip.
        transform, size, mode, on_error, cache: as for `ImageFolder`. Masks are resized by the nearest pixel.
        images, masks: the names of the two folders; None looks for images, imgs and for masks, labels, annotations.
        values: what a mask holds for class 0, 1, ...: palette numbers, grey values, or 0xRRGGBB (a colour as one
            number). None finds them, sorted, by reading every mask once.
        ignore: a value whose pixels are in no class (255 in Pascal VOC); they get -100, which the cross entropy
            ignores.
        class_names: by number.

    Attributes:
        values: the value of each class. skipped: what was left out, with the reason.

    Raises:
        FileFormatError: no such folder, damaged files, a mask of another size than its picture, a value of no class.
        DataError: a picture without a mask or a mask without a picture; masks with more than 256 values.
    """

    fields = (IMAGE, MASK)

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: ImageTransform | None = None,
        *,
        size: int | tuple[int, int] | None = None,
        mode: str = "RGB",
        images: str | None = None,
        masks: str | None = None,
        values: Sequence[int] | None = None,
        ignore: int | None = None,
        class_names: Sequence[str] | None = None,
        on_error: str = "raise",
        cache: bool = False,
        **limits: int,
    ) -> None:
        super().__init__(transform, size=size, mode=mode, on_error=on_error, cache=cache, **limits)
        self.tree, self.ignore = open_tree(root, "the folder of pictures and masks"), ignore
        pictures = by_stem(self.tree, find_folder(self.tree, images, IMAGE_FOLDERS))
        targets = by_stem(self.tree, find_folder(self.tree, masks, MASK_FOLDERS))
        self._check_pairs(pictures, targets)
        self.entries = [_Pair(name, targets[key]) for key, name in pictures.items() if key in targets]
        self.values = self._found_values() if values is None else tuple(int(value) for value in values)
        self.class_names = tuple(map(str, self.values)) if class_names is None else tuple(class_names)
        if len(self.class_names) != len(self.values):
            received = f"{len(self.class_names)} names, {len(self.values)} values: {abridged(map(str, self.values), 8)}"
            raise DataError(explain("a name for each class is needed", received=received, where=str(self.tree.path)))
        self.settle()

    def place(self, entry: _Pair) -> str:
        return self.tree.place(entry.image)

    def read_entry(self, entry: _Pair) -> Sample:
        values = self._mask(entry)
        content, where = self.tree.read(entry.image), self.place(entry)
        size = (values.shape[0], values.shape[1])
        image = decode_image(content, where, mode=self.mode, max_pixels=self.max_pixels, stored_size=size)
        if image.shape[1:] != values.shape:
            raise FileFormatError(
                explain(
                    "a mask of another size than its picture",
                    received=f"picture {image.shape[1]} x {image.shape[2]}, mask {values.shape[0]} x {values.shape[1]}",
                    where=self.tree.place(entry.mask),
                    remedy="make the mask at the size of its picture",
                )
            )
        return image, class_numbers(values, self.values, self.ignore, self.tree.place(entry.mask))

    def _mask(self, entry: _Pair) -> np.ndarray:
        return decode_mask(self.tree.read(entry.mask), self.tree.place(entry.mask), max_pixels=self.max_pixels)

    def _found_values(self) -> tuple[int, ...]:
        found: set[int] = set()
        for entry in self.entries:
            try:
                found.update(np.unique(self._mask(entry)).tolist())
            except FileFormatError:
                if self.on_error == "raise":
                    raise
            if len(found) > MOST_CLASSES_OF_MASKS:
                raise DataError(
                    explain(
                        "too many different values in the masks for classes",
                        received=f"{len(found)} values up to {self.tree.place(entry.mask)}",
                        expected=f"at most {MOST_CLASSES_OF_MASKS}",
                        remedy="save masks without loss (PNG, not JPEG) and without smoothed edges",
                    )
                )
        return tuple(sorted(found - {self.ignore}))

    def _check_pairs(self, pictures: dict[str, str], masks: dict[str, str]) -> None:
        alone = [(pictures[key], "no mask of this name") for key in pictures.keys() - masks.keys()]
        alone += [(masks[key], "no picture of this name") for key in masks.keys() - pictures.keys()]
        problems = [Skipped(self.tree.place(name), reason) for name, reason in sorted(alone)]
        if problems and self.on_error == "raise":
            raise DataError(
                explain(
                    "pictures and masks do not pair up",
                    received=f"{len(problems)} without a partner, first: {problems[0].reason}",
                    expected="images/name.* and masks/name.*",
                    where=problems[0].place,
                    remedy='add what is missing, or leave them out: on_error="skip"',
                )
            )
        self.skipped = tuple(problems)


def class_numbers(
    values: ArrayLike, classes: Sequence[int], ignore: int | None = None, where: str | None = None
) -> np.ndarray:
    """Which class each stored value means, int64: its position in `classes`, and -100 for the value to ignore.

    >>> class_numbers(np.array([0, 255, 255]), [0, 255]).tolist()
    [0, 1, 1]
    """
    known, inverse = np.unique(np.asarray(values), return_inverse=True)
    numbers = {value: number for number, value in enumerate(classes)} | (
        {} if ignore is None else {ignore: IGNORED_CLASS}
    )
    if unknown := [value for value in known.tolist() if value not in numbers]:
        raise FileFormatError(
            explain(
                "a mask holds a value of no class",
                received=abridged(map(str, unknown), 8),
                expected=abridged(map(str, classes), 8),
                where=where,
                remedy="name it in values=, or as ignore=",
            )
        )
    return np.array([numbers[value] for value in known.tolist()], dtype=np.int64)[inverse].reshape(np.shape(values))


def find_folder(tree: FileTree, chosen: str | None, usual: Sequence[str]) -> str:
    """The folder of this name, or of a usual one; at any depth, the shortest path first."""
    folders = {name.rpartition("/")[0] for name in tree.names if is_image_name(name)}
    folders |= {"/".join(each.split("/")[:depth]) for each in folders for depth in range(1, each.count("/") + 1)}
    wanted = usual if chosen is None else (chosen.strip("/"),)
    for name in wanted:
        close = [each for each in folders if each == name or each.endswith(f"/{name}")]
        if close:
            return min(close, key=lambda each: (each.count("/"), each))
    raise DataError(
        explain(
            "a folder is missing",
            received=abridged(sorted(folders - {""}), 6) or "no folders with pictures",
            expected=" or ".join(wanted),
            where=str(tree.path),
            remedy="name the two folders: images=..., masks=...",
        )
    )


def by_stem(tree: FileTree, folder: str) -> dict[str, str]:
    """The pictures below a folder by their path without extension; two of one stem are an error."""
    found: dict[str, str] = {}
    for name in tree.below(folder):
        if not is_image_name(name):
            continue
        key = name.removeprefix(f"{folder}/").removesuffix(name[len(name) - len(name.rpartition(".")[2]) - 1 :])
        if key in found:
            received = f"{tree.place(found[key])} and {tree.place(name)}"
            raise DataError(explain("two pictures of one name", received=received, remedy="rename or remove one"))
        found[key] = name
    return found
