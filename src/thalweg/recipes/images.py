"""Images for a perceptron, and `ImageReader`, which brings images of every kind of file to a network of a run.

In: settings; or .npy, .npz, IDX and CSV files, and pictures (PNG, JPEG, ...) one by one or in folders. Out: a `Problem`
of images in 0 .. 1 and their classes; network inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.data import Normalize, Resize, read_csv, read_idx, read_npy, read_npz, split_indices
from thalweg.data.catalogue import Examples
from thalweg.data.file_tree import open_tree
from thalweg.data.files import reading
from thalweg.data.image_files import is_image_name, read_image
from thalweg.errors import DataError, explain
from thalweg.recipes.picture_sets import load
from thalweg.recipes.problem import Chunk, Outputs, PictureSamples, Problem, fingerprint_of_arrays
from thalweg.recipes.settings import Settings

CHUNK = 1024
IMAGE_KEYS, LABEL_KEYS = ("images", "x", "image", "data"), ("labels", "y", "label", "target")


def prepare(settings: Settings) -> Problem:
    """The problem: validation is a stratified share of the training part; the test part is the data set's own."""
    data = load(settings.recipe, settings.data)
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
        samples=lambda: samples_of(data.test.images, data.test.labels, data.test.images),
    )


def samples_of(images: np.ndarray, targets: np.ndarray, inputs: np.ndarray) -> PictureSamples:
    """Pictures for a report, with an axis of channels."""
    return PictureSamples(images if images.ndim == 4 else images[:, None], targets, inputs)


def in_chunks(examples: Examples) -> Iterator[Chunk]:
    for first in range(0, len(examples.labels), CHUNK):
        yield examples.images[first : first + CHUNK], examples.labels[first : first + CHUNK]


@dataclass(frozen=True)
class ImageReader:
    """Images of one size from files: as stored in 0 .. maximum, or already scaled to 0 .. 1; then normalised.

    `mean` and `std` are those of the training part, for values in 0 .. 1; 0 and 1 leave them as they are.
    """

    shape: tuple[int, ...]
    maximum: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def inputs(self, path: str) -> Iterator[np.ndarray]:
        images = self.images_of(_arrays_of(path), path)
        for first in range(0, len(images), CHUNK):
            yield self.normalised(images[first : first + CHUNK])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.shape[-2], self.shape[-1]

    @property
    def mode(self) -> str:
        """How picture files are decoded: grey for one channel."""
        return "RGB" if len(self.shape) == 3 and self.shape[0] == 3 else "L"

    @cached_property
    def normalize(self) -> Normalize:
        return Normalize(self.mean, self.std)

    def normalised(self, images: np.ndarray) -> np.ndarray:
        """Images in 0 .. 1 (or bytes) as the network takes them."""
        is_plain = self.mean == (0.0,) and self.std == (1.0,) and images.dtype != np.uint8
        return images if is_plain else self.normalize(images)

    def input_of(self, picture: np.ndarray) -> np.ndarray:
        """A picture of any size, uint8 (channels, height, width), as one network input (1, ...)."""
        whole = picture[None] if picture.shape[1:] == self.size else Resize(self.size)(picture[None])
        return self.normalised(whole.astype(np.float32) / 255 if self.maximum != 255 else whole).reshape(1, *self.shape)

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
        for x, y in in_chunks(Examples(images, self._checked_labels(labels, len(images), path))):
            yield self.normalised(x), y

    def images_of(self, arrays: Mapping[str, np.ndarray], path: str) -> np.ndarray:
        """float32 (n, *shape) in 0 .. 1. Raises DataError for another size, or values out of range."""
        images = _first_of(arrays, (*IMAGE_KEYS, "rows"))
        images = next(iter(arrays.values())) if images is None else images
        if images.shape in self._ways:
            images = images[None]
        if len(self.shape) == 3 and images.shape[1:] == (*self.size, self.shape[0]):
            images = images.transpose(0, 3, 1, 2)
        flat_or_not = images.shape[1:] in self._ways
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

    @property
    def _ways(self) -> tuple[tuple[int, ...], ...]:
        """How one image may be stored."""
        last = (*self.size, *(self.shape[:1] if len(self.shape) == 3 else (1,)))
        grey = (self.size,) if math.prod(self.size) == math.prod(self.shape) else ()
        return self.shape, (math.prod(self.shape),), (1, *self.size) if grey else self.shape, last, *grey

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
            "kind": "images", "shape": list(self.shape), "maximum": self.maximum,
            "class_names": list(self.class_names), "mean": list(self.mean), "std": list(self.std),
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ImageReader:
        shape = tuple(int(size) for size in config["shape"])
        mean, std = (tuple(map(float, config.get(name, default))) for name, default in (("mean", [0]), ("std", [1])))
        reader = cls(shape, int(config["maximum"]), tuple(map(str, config["class_names"])), mean, std)
        if len(shape) not in (2, 3) or len(mean) not in (1, shape[0]) or not reader.normalize.is_fitted:
            raise ValueError(f"shape {shape}, {len(mean)} means")
        return reader


def is_picture(path: str) -> bool:
    """Whether a path is a picture, or a folder that may hold some."""
    return Path(path).is_dir() or is_image_name(path)


def pictures_in(paths: list[str], mode: str) -> Iterator[tuple[str, np.ndarray]]:
    """The pictures of files and folders, one by one: a name to tell it by, uint8 (channels, height, width).

    Raises FileFormatError with the file's name for one that cannot be decoded, DataError for a folder without any.
    """
    for path in paths:
        if not Path(path).is_dir():
            yield path, read_image(path, mode=mode)
            continue
        names = [name for name in open_tree(path, "the folder of pictures").names if is_image_name(name)]
        if not names:
            raise DataError(explain("no pictures in this folder", received=path, expected="PNG, JPEG, ..."))
        for name in names:
            yield str(Path(path) / name), read_image(Path(path) / name, mode=mode)


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
