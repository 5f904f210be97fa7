"""Pictures in folders, one folder for each class.

In: a folder or a zip archive. Out: `ImageFolder`, samples (image, label) in sorted order, the same on every machine.
Nested folders belong to the class at the top.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from thalweg.data.augment import ImageTransform
from thalweg.data.file_tree import open_tree
from thalweg.data.image_dataset import ImageFiles, Sample, Skipped
from thalweg.data.image_files import decode_image, is_image_name
from thalweg.data.table import abridged
from thalweg.errors import DataError, explain

PART_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


class _Labelled(NamedTuple):
    name: str
    label: int


class ImageFolder(ImageFiles):
    """Pictures with a class each: `root/class/name.png`, nested folders below a class too, or a zip archive of that.

    Args:
        root: the folder, or a .zip.
        transform: an `ImageTransform`; its random parts are drawn by a `DataLoader`.
        size: (height, width) that pictures are brought to when they are read; None keeps their own.
        mode: "RGB", "L" (grey) or "RGBA".
        classes: class names in the order of their numbers; None takes the folders, sorted. Pass `training.classes` for
            the test part, so that both count alike.
        on_error: "raise" when a sample that cannot be read is asked for; "skip" reads every file once, leaves out what
            cannot be used and says so (`skipped`, and a warning).
        cache: keep pictures in memory after they were read.
        max_pixels: the most pixels that a file may declare.

    Attributes:
        classes, class_to_idx, targets: as in torchvision; `targets` is int64 (n,).
        skipped: what was left out, with the reason.

    Raises:
        FileFormatError: no such folder; a file that is no picture, cut short, damaged or too large (when it is read).
        DataError: no folders of classes, a class without a picture, folders that are parts (train, test), no Pillow.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: ImageTransform | None = None,
        *,
        size: int | tuple[int, int] | None = None,
        mode: str = "RGB",
        classes: Sequence[str] | None = None,
        on_error: str = "raise",
        cache: bool = False,
        **limits: int,
    ) -> None:
        super().__init__(transform, size=size, mode=mode, on_error=on_error, cache=cache, **limits)
        self.tree = open_tree(root, "the folder of pictures")
        names = [name for name in self.tree.names if is_image_name(name)]
        base = _common_folder(names) if self.tree.path.is_file() else ""
        found = sorted({class_of(name, base) for name in names} - {""})
        self._check_folders(found, len(names))
        self._check_empty(sorted(set(self.tree.folders_in(base)) - set(found)))
        self.class_names = tuple(found if classes is None else classes)
        self._check_known(found)
        numbers = self.class_to_idx
        self.entries = [_Labelled(name, numbers[class_of(name, base)]) for name in names if class_of(name, base)]
        self.settle()

    @property
    def classes(self) -> list[str]:
        return list(self.class_names)

    @property
    def class_to_idx(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.class_names)}

    @property
    def targets(self) -> np.ndarray:
        """The class number of each sample, int64 (n,)."""
        return np.array([entry.label for entry in self.entries], dtype=np.int64)

    def place(self, entry: _Labelled) -> str:
        return self.tree.place(entry.name)

    def read_entry(self, entry: _Labelled) -> Sample:
        content = self.tree.read(entry.name)
        image = decode_image(content, self.place(entry), mode=self.mode, max_pixels=self.max_pixels)
        return image, np.int64(entry.label)

    def _check_folders(self, found: list[str], pictures: int) -> None:
        where = str(self.tree.path)
        if not found:
            raise DataError(
                explain(
                    "no folders of classes",
                    received=f"{pictures} pictures, none of them in a folder of its class",
                    expected="a folder for each class",
                    where=where,
                    remedy="sort the pictures into folders: root/cat/1.png, root/dog/2.png",
                )
            )
        if {name.lower() for name in found} <= PART_NAMES:
            raise DataError(
                explain(
                    "these folders are parts, not classes",
                    received=abridged(found),
                    where=where,
                    remedy=f"read one of them: ImageFolder({where + '/' + found[0]!r})",
                )
            )

    def _check_empty(self, empty: list[str]) -> None:
        """A class that has no picture is a mistake, unless bad files are to be left out anyway."""
        if empty and self.on_error == "raise":
            raise DataError(
                explain(
                    "classes without a picture",
                    received=abridged(empty),
                    where=str(self.tree.path),
                    remedy='remove these folders, or leave them out: on_error="skip"',
                )
            )
        self.skipped = tuple(Skipped(self.tree.place(name), "a class without a picture") for name in empty)

    def _check_known(self, found: list[str]) -> None:
        if unknown := [name for name in found if name not in self.class_names]:
            raise DataError(
                explain(
                    "folders of classes that are not known",
                    received=abridged(unknown),
                    expected=abridged(self.class_names),
                    where=str(self.tree.path),
                    remedy="name all of them in classes=[...]",
                )
            )


def class_of(name: str, base: str) -> str:
    """The folder of a picture below the base; "" if it lies in no folder.

    >>> class_of("cat/indoors/1.png", ""), class_of("1.png", "")
    ('cat', '')
    """
    inner = name.removeprefix(f"{base}/") if base else name
    return inner.partition("/")[0] if "/" in inner else ""


def _common_folder(names: list[str]) -> str:
    """The folder of an archive that holds everything; "" if there is none."""
    tops = {name.partition("/")[0] for name in names}
    if len(tops) != 1 or any(name.count("/") < 2 for name in names):
        return ""
    return tops.pop()
