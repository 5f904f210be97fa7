"""What a path holds: a table, pictures in folders of their classes, pictures with masks, pictures with boxes.

In: the path that was typed behind `thalweg train`. Out: the name of the recipe for it, or an error that says what is
there and what would be recognised. Names decide, and the arrays of an .npz; no picture is decoded.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Container
from pathlib import Path

from thalweg.data import read_npz
from thalweg.data.file_tree import FileTree, extension, open_tree
from thalweg.data.files import existing_file, reading
from thalweg.data.image_files import is_image_name
from thalweg.data.image_folder import PART_NAMES
from thalweg.data.mask_folder import IMAGE_FOLDERS, MASK_FOLDERS
from thalweg.data.sound_files import is_sound_name
from thalweg.data.table import abridged
from thalweg.data.voc_layout import ANNOTATIONS
from thalweg.errors import DataError, ThalwegError, explain
from thalweg.recipes.settings import (
    IMAGE_FOLDER,
    MASK_FOLDER,
    MULTI30K,
    RECORDINGS,
    RT_POLARITY,
    SPOKEN_DIGITS,
    TABLE,
    TEXT,
    TEXT_TABLE,
    TRANSLATIONS,
    VOC,
)

NAMED_BY_FILE = {"data_batch_1.bin": "cifar10", "membrane_train.npz": "membrane", "bccd.zip": "bccd",
                 "recordings.tar": SPOKEN_DIGITS, "rt-polarity.pos": RT_POLARITY, "train.de": MULTI30K}  # fmt: skip
TRAINING_PARTS, TEST_PARTS = ("train", "training"), ("test", "testing")
PACKED, TEXT_ENDS = (".gz", ".xz"), (".txt", ".text", ".md")
VALIDATION_PARTS = ("val", "valid", "validation")
OF_TABLES = ("no_header", "delimiter", "categorical", "drop", "stream", "task", "layers")
"""Settings that only tables have: who types them means a table."""
HEAD, LOOKED_AT, FEWEST_LINES = 1 << 16, 200, 5
WORDS, MOSTLY = 4, 0.8
RECOGNISED = (
    "a CSV file (of columns, or of texts with classes); a text file; a folder of recordings; "
    "a folder (or .zip) with a folder of pictures for each class, with images/ and masks/, or with "
    "JPEGImages/ and Annotations/; an .npz of images and labels"
)


def recognised(path: str, given: Container[str] = ()) -> str:
    """The recipe for a path. Raises DataError for a folder that holds nothing we know, FileFormatError for no file.

    `given` are the names of the settings that were typed: --translation and --text say what a file is.
    """
    if "translation" in given:
        return TRANSLATIONS
    recipe = _of_place(path)
    is_of_texts = recipe == TABLE and ("text" in given or (not any(map(_in(given), OF_TABLES)) and has_texts(path)))
    return TEXT_TABLE if is_of_texts else recipe


def _in(given: Container[str]) -> Callable[[str], bool]:
    return lambda name: name in given


def has_texts(path: str) -> bool:
    """Whether a CSV file is two or three columns of which one holds texts: nearly all different, of several words."""
    try:
        with reading(path, "the file") as stream:
            head = stream.read(HEAD).decode("utf-8", "replace").splitlines()[:LOOKED_AT]
    except ThalwegError:
        return False  # its reader says what is wrong
    rows = [row for row in csv.reader(head[1:-1] if len(head) == LOOKED_AT else head[1:]) if row]
    if len(rows) < FEWEST_LINES or not 2 <= len(rows[0]) <= 3 or any(len(row) != len(rows[0]) for row in rows):
        return False
    words = [[len(cell.split()) for cell in column] for column in zip(*rows, strict=True)]
    distinct = [len(set(column)) / len(column) for column in zip(*rows, strict=True)]
    return any(
        sum(counts) / len(counts) >= WORDS and share > MOSTLY for counts, share in zip(words, distinct, strict=True)
    )


def _of_place(path: str) -> str:
    place = Path(path)
    if place.is_dir():
        return _of_tree(open_tree(path, "the data"))
    suffixes = [each.lower() for each in place.suffixes]
    if not suffixes or not place.is_file():
        return TABLE  # whose reader says what is missing, with the closest names
    if suffixes[-1] == ".npz":
        return _of_arrays(path)
    bare = [each for each in suffixes if each not in PACKED]
    if bare and bare[-1] in TEXT_ENDS:
        return TEXT
    if suffixes[-1] == ".zip" or ".tar" in suffixes:
        return _of_tree(open_tree(path, "the zip archive"))
    if is_image_name(path):
        remedy = "name the folder that holds the pictures"
        raise DataError(
            explain("one picture is nothing to train on", received=path, expected=RECOGNISED, remedy=remedy)
        )
    return TABLE


def _of_arrays(path: str) -> str:
    arrays = read_npz(existing_file(path, "the arrays"))
    labels = arrays.get("labels")
    if "images" in arrays and labels is not None and labels.ndim in (1, 3):
        return IMAGE_FOLDER if labels.ndim == 1 else MASK_FOLDER
    received = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
    expected = "images (n, height, width[, channels]), labels (n,) or masks as labels (n, height, width)"
    raise DataError(explain("this .npz holds no labelled images", received=received, expected=expected, where=path))


def _of_tree(tree: FileTree) -> str:
    names = tree.names
    for name in names:
        if (known := name.removesuffix(".xz").removesuffix(".gz")) in NAMED_BY_FILE:
            return NAMED_BY_FILE[known]
    if any(f"/{ANNOTATIONS}/" in f"/{name}" for name in names if extension(name) == ".xml"):
        return VOC
    pictures = [name for name in names if is_image_name(name)]
    if not pictures and any(map(is_sound_name, names)):
        return RECORDINGS
    folders = {part.lower() for name in pictures for part in name.split("/")[:-1]}
    if folders & set(IMAGE_FOLDERS) and folders & set(MASK_FOLDERS):
        return MASK_FOLDER
    if folders:
        return IMAGE_FOLDER
    raise _nothing_known(tree, pictures)


def _nothing_known(tree: FileTree, pictures: list[str]) -> DataError:
    remedy = None
    if pictures:
        remedy = "sort the pictures into folders: root/cat/1.png, root/dog/2.png"
    elif any("images-idx3" in name or "images.idx3" in name for name in tree.names):
        remedy = f"say which set it is: thalweg train mnist --data {tree.path}"
    return DataError(
        explain(
            "nothing in this folder is recognised",
            received=abridged(tree.names, 4) or "an empty folder",
            expected=RECOGNISED,
            where=str(tree.path),
            remedy=remedy,
        )
    )


def part_folders(path: str) -> dict[str, str] | None:
    """The folders "training", "validation" and "test" inside a folder that is divided into such parts, else None.

    Raises DataError for a zip archive with parts: its parts cannot be read apart.
    """
    tree = open_tree(path, "the data")
    tops = tree.folders_in("")
    if not tops or not {each.lower() for each in tops} <= PART_NAMES:
        return None
    if tree.path.is_file():
        remedy = "unpack it, and name the folder"
        raise DataError(explain("a zip archive of parts", received=abridged(tops), where=path, remedy=remedy))
    usual = {"training": TRAINING_PARTS, "validation": VALIDATION_PARTS, "test": TEST_PARTS}
    found = {part: name for part, names in usual.items() for name in tops if name.lower() in names}
    if "training" not in found:
        raise DataError(explain("no training part", received=abridged(tops), expected="a folder train", where=path))
    return {part: str(Path(path) / name) for part, name in found.items()}
