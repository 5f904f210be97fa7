"""The recipes for images: digits (which come with Thalweg), mnist and fashion_mnist (from a folder).

In: settings. Out: a `Problem` of images in 0 .. 1 and their classes; and `ImageReader`, which reads images of the same
kind from .npy, .npz, IDX and CSV files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.data import digits, fashion_mnist, mnist, read_csv, read_idx, read_npy, read_npz, split_indices
from thalweg.data.catalogue import Examples, LabelledImages
from thalweg.data.files import reading
from thalweg.errors import ConfigurationError, DataError, FileFormatError, explain
from thalweg.recipes.problem import Chunk, Outputs, Problem, fingerprint_of_arrays
from thalweg.recipes.settings import Settings

CHUNK = 1024
IMAGE_KEYS, LABEL_KEYS = ("images", "x", "image", "data"), ("labels", "y", "label", "target")
FROM_FOLDER: dict[str, Callable[..., LabelledImages]] = {"mnist": mnist, "fashion_mnist": fashion_mnist}


def load(settings: Settings) -> LabelledImages:
    """The data set of the recipe. Raises DataError for missing files, FileFormatError for damaged ones."""
    return digits() if settings.recipe == "digits" else load_folder(settings.recipe, settings.data)


def load_folder(recipe: str, folder: str | None) -> LabelledImages:
    """MNIST or Fashion-MNIST from a folder; without one, from the cache of this user if it is there."""
    try:
        return FROM_FOLDER[recipe](folder)
    except FileFormatError:
        raise
    except DataError as error:
        if folder is not None:
            raise
        raise ConfigurationError(
            explain(
                f"{recipe} is read from a folder",
                received="no --data",
                expected="--data FOLDER with the four IDX files (train-images-idx3-ubyte.gz, ...)",
                remedy=f"name the folder, or fetch the files once: "
                f'python -c "import thalweg as tw; tw.data.{recipe}(download=True)"',
            )
        ) from error


def prepare(settings: Settings) -> Problem:
    """The problem: validation is a stratified share of the training part; the test part is the data set's own."""
    data = load(settings)
    training, validation = split_indices(len(data.train.labels), settings.validation, data.train.labels, settings.seed)
    reader = ImageReader(data.images.shape[1:], data.maximum, data.class_names)
    return Problem(
        name=settings.recipe,
        outputs=Outputs(classes=list(data.class_names)),
        reader=reader,
        input_shape=data.images.shape[1:],
        training=(data.train.images[training], data.train.labels[training]),
        validation=(data.train.images[validation], data.train.labels[validation]),
        test=lambda: in_chunks(data.test),
        counts={"training": len(training), "validation": len(validation), "test": len(data.test.labels)},
        data={"name": data.name, "origin": data.origin, "sha256": fingerprint_of_arrays(data.images, data.labels)},
    )


def in_chunks(examples: Examples) -> Iterator[Chunk]:
    for first in range(0, len(examples.labels), CHUNK):
        yield examples.images[first : first + CHUNK], examples.labels[first : first + CHUNK]


@dataclass(frozen=True)
class ImageReader:
    """Images of one size from files: as stored in 0 .. maximum, or already scaled to 0 .. 1."""

    shape: tuple[int, ...]
    maximum: int
    class_names: tuple[str, ...]

    def inputs(self, path: str) -> Iterator[np.ndarray]:
        images = self.images_of(_arrays_of(path), path)
        for first in range(0, len(images), CHUNK):
            yield images[first : first + CHUNK]

    def labelled(self, path: str) -> Iterator[Chunk]:
        """From an .npz with `images` and `labels`, or a CSV whose last column is the label."""
        arrays = _arrays_of(path)
        labels = _first_of(arrays, LABEL_KEYS)
        if labels is None and "rows" in arrays and arrays["rows"].shape[1] == math.prod(self.shape) + 1:
            arrays, labels = {"rows": arrays["rows"][:, :-1]}, arrays["rows"][:, -1]
        if labels is None:
            raise DataError(
                explain(
                    "these images have no labels",
                    received=", ".join(arrays),
                    expected="an .npz with 'images' and 'labels', or a CSV with the label in the last column",
                    where=path,
                )
            )
        images = self.images_of(arrays, path)
        yield from in_chunks(Examples(images, self._checked_labels(labels, len(images), path)))

    def images_of(self, arrays: Mapping[str, np.ndarray], path: str) -> np.ndarray:
        """float32 (n, height, width) in 0 .. 1. Raises DataError for another size, or values out of range."""
        images = _first_of(arrays, (*IMAGE_KEYS, "rows"))
        images = next(iter(arrays.values())) if images is None else images
        if images.shape in (self.shape, (math.prod(self.shape),)):
            images = images[None]
        flat_or_not = images.shape[1:] in (self.shape, (math.prod(self.shape),), (1, *self.shape), (*self.shape, 1))
        if images.dtype.kind not in "biuf" or not flat_or_not or len(images) == 0:
            raise DataError(
                explain(
                    "these are no images of the size that the network was trained on",
                    received=f"{images.dtype}, shape {images.shape}",
                    expected=f"(n, {', '.join(map(str, self.shape))}) or (n, {math.prod(self.shape)}), n at least 1",
                    where=path,
                )
            )
        return self._scaled(images.reshape(-1, *self.shape), path)

    def _scaled(self, images: np.ndarray, path: str) -> np.ndarray:
        low, high = float(images.min()), float(images.max())
        if not (low >= 0 and high <= self.maximum):
            raise DataError(
                explain(
                    "pixels out of range",
                    received=f"from {low:g} to {high:g}",
                    expected=f"0 to {self.maximum} as stored, or 0 to 1",
                    where=path,
                    remedy="scale them as the training images are: 0 is background, the largest value full ink",
                )
            )
        is_stored = images.dtype.kind in "iu" or high > 1
        return np.asarray(images / (self.maximum if is_stored else 1), dtype=np.float32)

    def _checked_labels(self, labels: np.ndarray, count: int, path: str) -> np.ndarray:
        whole = labels.dtype.kind in "biuf" and labels.shape == (count,) and bool((labels == np.floor(labels)).all())
        if not whole or labels.min() < 0 or labels.max() >= len(self.class_names):
            received = f"{labels.dtype}, shape {labels.shape}"
            raise DataError(
                explain(
                    "these are no labels for the images",
                    received=f"{received}, from {labels.min()} to {labels.max()}" if whole else received,
                    expected=f"{count} whole numbers from 0 to {len(self.class_names) - 1}",
                    where=path,
                )
            )
        return labels.astype(np.int64)

    def to_config(self) -> dict[str, Any]:
        return {
            "kind": "images", "shape": list(self.shape), "maximum": self.maximum, "class_names": list(self.class_names)
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ImageReader:
        shape = tuple(int(size) for size in config["shape"])
        return cls(shape, int(config["maximum"]), tuple(map(str, config["class_names"])))


def _first_of(arrays: Mapping[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    return next((arrays[name] for name in names if name in arrays), None)


def _arrays_of(path: str) -> dict[str, np.ndarray]:
    """The arrays of a file by name; a format without names gives "images", a CSV "rows"."""
    with reading(path, "the file of images") as stream:
        head = bytes(stream.read(6))
    if head.startswith(b"PK"):
        return read_npz(path)
    if head.startswith(b"\x93NUMPY"):
        return {"images": read_npy(path)}
    if head.startswith(b"\0\0"):
        return {"images": read_idx(path)}
    if Path(path).suffix in (".png", ".jpg", ".jpeg"):
        raise FileFormatError(
            explain(
                "pictures are not read yet",
                received=Path(path).suffix,
                expected=".npy, .npz, IDX or CSV",
                where=path,
                remedy="save the pixels with numpy.save(path, array)",
            )
        )
    return {"rows": _rows_of(path)}


def _rows_of(path: str) -> np.ndarray:
    """The numbers of a CSV file, (n, columns); a header line is recognised by its not being numbers."""
    table = read_csv(path, header=False)
    texts = [name for name, kind in table.kinds.items() if kind == "categorical"]
    if len(texts) == len(table.names):
        table = read_csv(path)
        texts = [name for name, kind in table.kinds.items() if kind == "categorical"]
    if texts or any(table.missing().values()):
        raise DataError(
            explain(
                "a CSV of images holds nothing but numbers",
                received=f"text in {texts[0]!r}" if texts else "empty cells",
                expected="a row of pixels for each image",
                where=path,
            )
        )
    return np.stack([table[name] for name in table.names], axis=1)
