"""Using a run that has learnt from pictures: predictions for picture files, and scores on labelled ones.

In: a predictor; paths of pictures, of folders, of arrays. Out: rows with a class each; pictures with boxes or masks
drawn, beside them the boxes as JSON or the mask as a PNG; network inputs with their targets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from thalweg.data import Table, read_npz
from thalweg.data.files import atomic_write
from thalweg.data.resampling import resized_nearest
from thalweg.errors import ConfigurationError, DataError, explain
from thalweg.recipes.images import ImageReader, in_chunks, pictures_in
from thalweg.recipes.picture_parts import task_of
from thalweg.recipes.picture_sets import (
    FILES_OF,
    FROM_FOLDER,
    channels_first,
    load,
    load_labelled,
    load_set,
)
from thalweg.recipes.pictures import in_batches
from thalweg.recipes.predictor import Predictor
from thalweg.recipes.problem import CLASSIFICATION, DETECTION, Chunk
from thalweg.recipes.run_folder import unwritable
from thalweg.recipes.settings import PERCEPTRON, Settings
from thalweg.report import annotated

SURE = 0.3
"""Score from which a box is drawn; the JSON holds all of them."""
Prediction = tuple[str, np.ndarray, np.ndarray]
"""A name, the picture as it is stored, and what was found in it at its size: a mask, or boxes (k, 6)."""


def tables_of_pictures(predictor: Predictor, paths: list[str]) -> Iterator[Table]:
    """The class of each picture, and the probability of each class, picture by picture."""
    assert isinstance(predictor.reader, ImageReader)
    for name, picture in pictures_in(paths, predictor.reader.mode):
        table = predictor.table_of(predictor.raw(predictor.reader.input_of(picture)))
        yield Table({"picture": [name]} | {column: table[column] for column in table.names})


# --- boxes and masks -------------------------------------------------------------------------------------------------


def draw_predictions(predictor: Predictor, paths: list[str], folder: str) -> str:
    """Write what was found in each picture into a folder; returns in words what was written."""
    place, classes = Path(folder), [str(name) for name in predictor.outputs.classes or []]
    taken: set[str] = set()
    count = 0
    for name, picture, found in predictions(predictor, paths):
        stem = _free_stem(name, taken)
        try:
            place.mkdir(parents=True, exist_ok=True)
            if predictor.outputs.task == DETECTION:
                _write_boxes(place, stem, name, picture, found, classes)
            else:
                _write_mask(place, stem, picture, found, classes)
        except OSError as error:
            raise unwritable(place / stem, error) from None
        count += 1
    what = "boxes as JSON" if predictor.outputs.task == DETECTION else "masks as PNG"
    return f"{count:,} picture{'' if count == 1 else 's'} in {folder}, each with its {what}"


def predictions(predictor: Predictor, paths: list[str]) -> Iterator[Prediction]:
    """What is found in each picture, at the picture's own size."""
    reader = predictor.reader
    assert isinstance(reader, ImageReader)
    for name, picture in _pictures(reader, paths):
        raw = predictor.raw(reader.input_of(picture))
        height, width = picture.shape[1:]
        if predictor.outputs.task == DETECTION:
            yield name, picture, _at_size(predictor.boxes(raw)[0], reader.size, (height, width))
        else:
            yield name, picture, resized_nearest(raw.argmax(axis=1), height, width)[0]


def _at_size(boxes: np.ndarray, size: tuple[int, int], whole: tuple[int, int]) -> np.ndarray:
    found = boxes[boxes[:, 5] >= 0].astype(np.float64)
    found[:, [0, 2]] *= whole[1] / size[1]
    found[:, [1, 3]] *= whole[0] / size[0]
    return found


def _pictures(reader: ImageReader, paths: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Pictures of files, of folders, and of arrays."""
    for path in paths:
        if not path.lower().endswith(".npz"):
            yield from pictures_in([path], reader.mode)
            continue
        arrays = read_npz(path)
        if "images" not in arrays:
            received = ", ".join(arrays) or "nothing"
            raise DataError(explain("no images in this .npz", received=received, expected="images", where=path))
        for number, image in enumerate(channels_first(arrays["images"], path)):
            picture = image if image.dtype == np.uint8 else np.round(image * 255).astype(np.uint8)
            yield f"{Path(path).stem}_{number:03d}", picture


def _free_stem(name: str, taken: set[str]) -> str:
    """A file name that no earlier picture of this call has."""
    stem, number = Path(name).stem, 2
    while (free := stem if number == 2 else f"{stem}_{number - 1}") in taken:
        number += 1
    taken.add(free)
    return free


def _write_boxes(place: Path, stem: str, name: str, picture: np.ndarray, found: np.ndarray, classes: list[str]) -> None:
    drawn = found[found[:, 4] >= SURE]
    annotated.save(annotated.with_boxes(picture, drawn, classes), place / f"{stem}.png")
    boxes = [
        {
            "class": classes[int(row[5])],
            "score": round(float(row[4]), 4),
            "box": [round(float(corner), 2) for corner in row[:4]],
        }
        for row in found
    ]
    values = {"picture": name, "height": picture.shape[1], "width": picture.shape[2], "boxes": boxes}
    with atomic_write(place / f"{stem}.json") as stream:
        stream.write((json.dumps(values, indent=1) + "\n").encode("utf-8"))


def _write_mask(place: Path, stem: str, picture: np.ndarray, mask: np.ndarray, classes: list[str]) -> None:
    annotated.save(annotated.with_mask(picture, mask, classes), place / f"{stem}.png")
    annotated.save_mask(mask, place / f"{stem}.mask.png")


# --- labelled pictures -----------------------------------------------------------------------------------------------


def labelled_pictures(reader: ImageReader, settings: Settings, data: str) -> Iterator[Chunk]:
    """Labelled pictures of the kind that a run was trained on, as network inputs and targets."""
    is_folder, task = Path(data).is_dir(), task_of(settings.recipe)
    if settings.network in (None, PERCEPTRON):
        if settings.recipe not in FROM_FOLDER:
            raise ConfigurationError(explain("the data is a folder", received=data, expected="a file", where="--data"))
        yield from in_chunks(load(settings.recipe, data).test)
    elif is_folder and settings.recipe in FILES_OF:
        test = load_set(settings.replaced(data=data)).test
        assert test is not None
        yield from in_batches(test, reader.normalize)
    elif not is_folder and task == CLASSIFICATION and not data.lower().endswith(".zip"):
        yield from reader.labelled(data)
    else:
        part = load_labelled(data, settings, reader.class_names, reader.size, reader.mode)
        yield from in_batches(part, reader.normalize)
