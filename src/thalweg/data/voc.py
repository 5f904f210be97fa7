"""Pascal VOC: pictures with boxes around objects.

In: a folder, or a zip archive, that holds JPEGImages, Annotations and, for parts, ImageSets/Main. Out: `VOCDetection`,
samples (image, boxes), boxes float32 (most, 5): x_min, y_min, x_max, y_max, class; rows of -1 are empty.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import NamedTuple, Self

from thalweg.data.augment import ImageTransform
from thalweg.data.boxes import most_of, padded_boxes
from thalweg.data.checks import checked_choice, checked_count
from thalweg.data.file_tree import open_tree, stem
from thalweg.data.image_dataset import BOXES, IMAGE, ImageFiles, Sample, Skipped
from thalweg.data.image_files import decode_image
from thalweg.data.voc_layout import ANNOTATIONS, PICTURES, Layout, read_annotations, usable
from thalweg.data.voc_xml import Annotation, Box
from thalweg.errors import DataError, FileFormatError, explain


class _Entry(NamedTuple):
    image: str
    annotation: str


class VOCDetection(ImageFiles):
    """Pictures and the boxes of the objects in them.

    Args:
        root: the folder that holds JPEGImages and Annotations (at any depth), or a .zip.
        split: the name of a list in ImageSets/Main ("train", "val", "trainval", "test"); None takes every annotation.
        transform, size, mode, on_error, cache: as for `ImageFolder`. Boxes are scaled, cut and turned with their
            picture.
        classes: class names in the order of their numbers; None takes the names in all annotations, sorted.
        most_boxes: rows for each sample; None takes the largest number of boxes in any annotation.
        bad_boxes: "raise" or "skip": a box of no area or wholly outside is left out, one that sticks out is clipped;
            the picture stays, and `skipped` names the box. None does as `on_error` says.
        difficult: False leaves out the objects that are marked as difficult.

    Corners are the numbers of the file, in pixels, as torchvision gives them.

    Attributes:
        class_names; most_boxes. skipped: what was left out, with the reason.

    Raises:
        FileFormatError: no such folder, damaged pictures or annotations, boxes outside the picture or of no area.
        DataError: no such split, a listed picture that is missing, a class that is not in `classes`.
    """

    fields = (IMAGE, BOXES)

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str | None = "train",
        transform: ImageTransform | None = None,
        *,
        size: int | tuple[int, int] | None = None,
        mode: str = "RGB",
        classes: Sequence[str] | None = None,
        most_boxes: int | None = None,
        difficult: bool = True,
        on_error: str = "raise",
        bad_boxes: str | None = None,
        cache: bool = False,
        **limits: int,
    ) -> None:
        super().__init__(transform, size=size, mode=mode, on_error=on_error, cache=cache, **limits)
        self.layout = Layout.of(open_tree(root, "the folder of Pascal VOC"))
        self.bad_boxes = self.on_error if bad_boxes is None else checked_choice("bad_boxes", bad_boxes, self.ON_ERROR)
        self.annotations = read_annotations(self.layout, classes, bool(difficult), self.on_error, self.bad_boxes)
        self.class_names = self.annotations.class_names
        counts = [len(annotation.boxes) for annotation in self.annotations.found.values()]
        self.most_boxes = (
            most_of(counts) if most_boxes is None else checked_count("most_boxes", most_boxes, 1, "VOCDetection")
        )
        self._list(split)

    def with_split(self, split: str | None) -> Self:
        """Another part of the same folder, with the same classes and as many rows; annotations are not read again."""
        other = copy.copy(self)
        other._kept = {}
        other._list(split)
        return other

    def _list(self, split: str | None) -> None:
        keys = self.layout.listed(split)
        self.skipped = tuple(problem for key in keys for problem in self.annotations.problems.get(key, ()))
        self.entries = [entry for key in keys if (entry := self._entry(key)) is not None]
        self.settle()

    def place(self, entry: _Entry) -> str:
        return self.layout.tree.place(entry.image)

    def read_entry(self, entry: _Entry) -> Sample:
        annotation, where = self.annotations.found[stem(entry.annotation)], self.place(entry)
        content = self.layout.tree.read(entry.image)
        image = decode_image(content, where, mode=self.mode, max_pixels=self.max_pixels, stored_size=annotation.size)
        boxes = self._checked(annotation, (image.shape[1], image.shape[2]), entry)
        labels = [self.class_names.index(box.name) for box in boxes]
        return image, padded_boxes([box.corners for box in boxes], labels, self.most_boxes)

    def _checked(self, annotation: Annotation, size: tuple[int, int], entry: _Entry) -> list[Box]:
        """The boxes, now that the picture's size is known."""
        if annotation.size is None:
            problems: list[DataError] = []
            where = self.layout.tree.place(entry.annotation)
            boxes = [usable(box, size, where, None, problems) for box in annotation.boxes]
            if problems and self.bad_boxes == "raise":
                raise problems[0]
            return [box for box in boxes if box is not None]
        if annotation.size != size:
            raise FileFormatError(
                explain(
                    "a picture of another size than its annotation says",
                    received=f"{size[0]} x {size[1]}",
                    expected=f"{annotation.size[0]} x {annotation.size[1]}",
                    where=self.place(entry),
                    remedy='mend the annotation, or leave the picture out: on_error="skip"',
                )
            )
        return list(annotation.boxes)

    def _entry(self, key: str) -> _Entry | None:
        """The two files of a listed picture; None, and a word in `skipped`, if one of them cannot be used."""
        image, annotation = self.layout.pictures.get(key), self.layout.annotations.get(key)
        if image is not None and key in self.annotations.found:
            return _Entry(image, self.layout.annotations[key])
        if annotation is not None and key not in self.annotations.found:
            return None  # its annotation cannot be read: that has been noted
        missing = f"no {PICTURES}/{key}.*" if image is None else f"no {ANNOTATIONS}/{key}.xml"
        if self.on_error == "raise":
            raise DataError(
                explain(
                    "a listed picture is missing",
                    received=missing,
                    where=str(self.layout.tree.path),
                    remedy='add the file, or leave it out: on_error="skip"',
                )
            )
        self.skipped = (*self.skipped, Skipped(self.layout.tree.place(key), missing))
        return None
