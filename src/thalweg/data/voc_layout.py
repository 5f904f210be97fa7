"""What lies in a folder of Pascal VOC, and all its annotations, checked.

In: a tree of files. Out: names of pictures and annotations by stem, the lists of the parts; `Annotations`, the boxes
that can be used and a word about each that cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from thalweg.data.checks import reason_of
from thalweg.data.file_tree import FileTree, extension, stem
from thalweg.data.image_dataset import Skipped
from thalweg.data.image_files import is_image_name
from thalweg.data.table import abridged
from thalweg.data.voc_xml import Annotation, Box, read_annotation
from thalweg.errors import DataError, FileFormatError, explain

PICTURES, ANNOTATIONS, PARTS = "JPEGImages", "Annotations", "ImageSets/Main"
MAX_ANNOTATION_BYTES = 16 << 20


@dataclass(frozen=True)
class Layout:
    """Where the three folders of Pascal VOC lie in a tree."""

    tree: FileTree
    base: str

    @classmethod
    def of(cls, tree: FileTree) -> Layout:
        """The shortest path that holds the folder of annotations."""
        ends = (name.partition(f"{ANNOTATIONS}/") for name in tree.names if extension(name) == ".xml")
        bases = {before.rstrip("/") for before, found, _ in ends if found and (not before or before.endswith("/"))}
        if not bases:
            raise DataError(
                explain(
                    "this is no folder of Pascal VOC",
                    received=abridged(tree.folders_in(""), 6) or "no folders",
                    expected=f"{ANNOTATIONS}/*.xml and {PICTURES}/",
                    where=str(tree.path),
                )
            )
        return cls(tree, min(bases, key=lambda base: (base.count("/"), base)))

    def _inside(self, folder: str) -> list[str]:
        return self.tree.below(f"{self.base}/{folder}" if self.base else folder)

    @cached_property
    def annotations(self) -> dict[str, str]:
        return {stem(name): name for name in self._inside(ANNOTATIONS) if extension(name) == ".xml"}

    @cached_property
    def pictures(self) -> dict[str, str]:
        return {stem(name): name for name in self._inside(PICTURES) if is_image_name(name)}

    @cached_property
    def splits(self) -> dict[str, str]:
        return {stem(name): name for name in self._inside(PARTS) if extension(name) == ".txt"}

    def listed(self, split: str | None) -> list[str]:
        """The names in a list, in its order; all annotated ones for None."""
        if split is None:
            return sorted(self.annotations)
        if split not in self.splits:
            raise DataError(
                explain(
                    "no such split",
                    received=repr(split),
                    expected=abridged(map(repr, self.splits)) or f"a list in {PARTS}",
                    where=str(self.tree.path),
                    remedy="split=None takes every picture",
                )
            )
        name = self.splits[split]
        try:
            lines = self.tree.read(name).decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise FileFormatError(
                explain("a list of pictures is no text", received=str(error), where=self.tree.place(name))
            ) from error
        return [line.split()[0] for line in lines if line.strip()]  # VOC's lists of one class have a second column


@dataclass
class Annotations:
    """Annotations by the stem of their picture, the names of the classes, and what was left out of each."""

    found: dict[str, Annotation] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    problems: dict[str, list[Skipped]] = field(default_factory=dict)


def read_annotations(
    layout: Layout, classes: Sequence[str] | None, difficult: bool, on_error: str, bad_boxes: str
) -> Annotations:
    """Every annotation of a folder; problems of files and of boxes are raised, or noted with "skip"."""
    all_of = Annotations()
    for key, name in layout.annotations.items():
        where = layout.tree.place(name)
        problems: list[DataError] = []
        try:
            read = read_annotation(layout.tree.read(name, MAX_ANNOTATION_BYTES), where)
        except FileFormatError as error:
            if on_error == "raise":
                raise
            problems.append(error)
        else:
            boxes = [box for box in read.boxes if difficult or not box.difficult]
            kept = [usable(box, read.size, where, classes, problems) for box in boxes]
            all_of.found[key] = Annotation(read.size, tuple(box for box in kept if box is not None))
            if problems and bad_boxes == "raise":
                raise problems[0]
        if problems:
            all_of.problems[key] = [Skipped(where, reason_of(problem)) for problem in problems]
    names = {box.name for annotation in all_of.found.values() for box in annotation.boxes}
    all_of.class_names = tuple(sorted(names) if classes is None else classes)
    return all_of


def usable(
    box: Box, size: tuple[int, int] | None, where: str, classes: Sequence[str] | None, problems: list[DataError]
) -> Box | None:
    """The box, clipped if it sticks out; None if nothing of it can be used. Problems are added to the list."""
    if classes is not None and box.name not in classes:
        problems.append(_unknown_class(box.name, classes, where))
        return None
    try:
        check_box(box, size, where)
    except FileFormatError as error:
        problems.append(error)
        return clipped(box, size)
    return box


def check_box(box: Box, size: tuple[int, int] | None, where: str) -> None:
    """FileFormatError for a box without area, or one that reaches outside the picture (height, width)."""
    left, top, right, bottom = box.corners
    shown = f"{box.name}: xmin {left:g}, ymin {top:g}, xmax {right:g}, ymax {bottom:g}"
    remedy = 'mend the annotation, or leave such boxes out: on_error="skip"'
    if left >= right or top >= bottom:
        expected = "xmin < xmax and ymin < ymax"
        raise FileFormatError(
            explain("a box of no area", received=shown, expected=expected, where=where, remedy=remedy)
        )
    if size is not None and (left < 0 or top < 0 or right > size[1] or bottom > size[0]):
        expected = f"inside 0 .. {size[1]} across, 0 .. {size[0]} down"
        raise FileFormatError(
            explain("a box outside its picture", received=shown, expected=expected, where=where, remedy=remedy)
        )


def clipped(box: Box, size: tuple[int, int] | None) -> Box | None:
    """What is left of a box inside its picture; None for nothing."""
    if size is None:
        return None
    left, top, right, bottom = box.corners
    left, right = (min(max(x, 0.0), float(size[1])) for x in (left, right))
    top, bottom = (min(max(y, 0.0), float(size[0])) for y in (top, bottom))
    return box._replace(corners=(left, top, right, bottom)) if left < right and top < bottom else None


def _unknown_class(name: str, classes: Sequence[str], where: str) -> DataError:
    return DataError(
        explain(
            "an object of a class that is not known",
            received=repr(name),
            expected=abridged(classes),
            where=where,
            remedy="name it in classes=[...]",
        )
    )
