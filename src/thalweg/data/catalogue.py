"""Data sets by name: `digits()`, which comes with Thalweg, and `mnist()`, `fashion_mnist()` from a folder or the
network; `image_catalogue` has those in colour, with masks or boxes.

In: nothing, or a folder. Out: `LabelledImages`: float32 images in 0 .. 1, int64 labels, a training and a test part.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

from thalweg.compile.cache import user_folder
from thalweg.data.download import download_checked
from thalweg.data.files import reading
from thalweg.data.idx import read_idx
from thalweg.data.splits import split_indices
from thalweg.errors import DataError, FileFormatError, explain

DIGITS_TEST_FRACTION = 0.2
DIGITS_SPLIT_SEED = 0


class Examples(NamedTuple):
    """Images and their labels, int64: what `fit` and `evaluate` take; shapes as in `LabelledImages`."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class LabelledImages:
    """Images with a class each, or with one for each pixel, cut into a training and a test part.

    Attributes:
        name: of the data set.
        images: all of them, (n, height, width) or (n, channels, height, width), float32 in 0 .. 1 (uint8 as stored, up
            to `maximum`, if asked for raw).
        labels: int64 (n,), or masks (n, height, width); in 0 .. len(class_names) - 1.
        train, test: `Examples`, each a pair (images, labels).
        class_names: by label. maximum: the stored value that means full ink. origin: who made it, and its licence.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    train: Examples
    test: Examples
    class_names: tuple[str, ...]
    maximum: int
    origin: str

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.images.shape[1:]))
        parts = f"{len(self.train.labels)} train, {len(self.test.labels)} test"
        return f"LabelledImages({self.name}: {parts}, {shape}, {len(self.class_names)} classes)"


def digits(*, raw: bool = False) -> LabelledImages:
    """The 1,797 handwritten digits of 8 x 8 pixels from UCI that come with Thalweg.

    "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak (1998), UCI Machine Learning Repository, CC
    BY 4.0, by way of scikit-learn (its licence and the origin lie beside the file). `images` keeps the order of the
    file. The set has no test part of its own; the one here is a stratified fifth (359 images) drawn with a fixed seed,
    the same everywhere.

    Args:
        raw: images as stored: uint8 in 0 .. 16. By default float32 in 0 .. 1.

    >>> digits()
    LabelledImages(digits: 1438 train, 359 test, 8 x 8, 10 classes)
    >>> digits().train.images.dtype, digits(raw=True).images.max()
    (dtype('float32'), np.uint8(16))
    """
    packed = resources.files("thalweg.data").joinpath("files", "digits.csv.gz").read_bytes()
    table = np.loadtxt(gzip.decompress(packed).decode("ascii").splitlines(), delimiter=",", dtype=np.uint8)
    images, labels = scaled_to_unit(table[:, :64].reshape(-1, 8, 8), 16, raw), table[:, 64].astype(np.int64)
    training, test = split_indices(len(labels), DIGITS_TEST_FRACTION, labels, DIGITS_SPLIT_SEED)
    return LabelledImages(
        "digits",
        images,
        labels,
        Examples(images[training], labels[training]),
        Examples(images[test], labels[test]),
        tuple("0123456789"),
        16,
        "UCI Optical Recognition of Handwritten Digits; E. Alpaydin, C. Kaynak (1998); CC BY 4.0; through scikit-learn",
    )


@dataclass(frozen=True)
class IDXSource:
    """Where the four IDX files of an MNIST-like data set come from, and the MD5 of each, uncompressed."""

    name: str
    url: str
    checksums: Mapping[str, str]
    class_names: tuple[str, ...]
    origin: str
    largest_download: int = 64 << 20


MNIST = IDXSource(
    "mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    tuple("0123456789"),
    "MNIST; Y. LeCun, C. Cortes, C. Burges; LeCun, Bottou, Bengio, Haffner (1998)",
)
FASHION_MNIST = IDXSource(
    "fashion_mnist",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
    ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    "Fashion-MNIST; H. Xiao, K. Rasul, R. Vollgraf (2017), arXiv:1708.07747; Zalando SE; MIT licence",
)


def mnist(
    folder: str | os.PathLike[str] | None = None,
    *,
    download: bool = False,
    url: str | None = None,
    raw: bool = False,
    verify: bool = True,
) -> LabelledImages:
    """MNIST: 60,000 + 10,000 handwritten digits of 28 x 28 pixels, from four IDX files.

    Args:
        folder: where the files are (`train-images-idx3-ubyte`, ..., plain or .gz); None for the cache of this user
            (`THALWEG_DATA`, else thalweg/data/mnist in `XDG_CACHE_HOME` or, on Linux, ~/.cache).
        download: fetch files that are not there, or damaged, over the network.
        url: where from, if not the usual place; ends in "/".
        raw: images as stored: uint8 in 0 .. 255. By default float32 in 0 .. 1.
        verify: compare each file's content with its published MD5. Say False for other data in the same files.

    Raises:
        FileFormatError: a damaged file. DataError: a file that is missing, or cannot be downloaded.
    """
    return _read_source(MNIST, folder, download, url, raw, verify)


def fashion_mnist(
    folder: str | os.PathLike[str] | None = None,
    *,
    download: bool = False,
    url: str | None = None,
    raw: bool = False,
    verify: bool = True,
) -> LabelledImages:
    """Fashion-MNIST: 60,000 + 10,000 articles of clothing of 28 x 28 pixels, 10 classes; arguments as for `mnist`."""
    return _read_source(FASHION_MNIST, folder, download, url, raw, verify)


def cache_folder(name: str) -> Path:
    """Where a downloaded data set is kept on this machine."""
    if chosen := os.environ.get("THALWEG_DATA"):
        return Path(chosen) / name
    return Path(user_folder()).expanduser() / "thalweg" / "data" / name


def set_folder(name: str, folder: str | os.PathLike[str] | None, usual: tuple[str, ...] = ()) -> Path:
    """Where the files of a named set are looked for: a folder that was named, or the cache of this user.

    Both may hold a folder of the set's name (or a usual one), so that one folder of all data sets serves for each.
    """
    usual_places = (cache_folder(each) for each in (name, *usual))
    cached = next((path for path in usual_places if path.is_dir()), cache_folder(name))
    place = cached if folder is None else Path(folder)
    return next((place / inner for inner in (name, *usual) if (place / inner).is_dir()), place)


def _read_source(
    source: IDXSource, folder: str | os.PathLike[str] | None, download: bool, url: str | None, raw: bool, verify: bool
) -> LabelledImages:
    place = set_folder(source.name, folder)
    paths = [_find_or_download(source, name, place, download, url, verify) for name in source.checksums]
    train, test = _read_pair(*paths[:2]), _read_pair(*paths[2:])
    if train.images.shape[1:] != test.images.shape[1:]:
        raise FileFormatError(
            explain(
                "training and test images differ in size",
                received=f"{train.images.shape[1:]} and {test.images.shape[1:]}",
                where=str(place),
            )
        )
    images = scaled_to_unit(np.concatenate([train.images, test.images]), 255, raw)
    labels = np.concatenate([train.labels, test.labels]).astype(np.int64)
    _check_labels(labels, source, place)
    cut = len(train.labels)
    parts = Examples(images[:cut], labels[:cut]), Examples(images[cut:], labels[cut:])
    return LabelledImages(source.name, images, labels, *parts, source.class_names, 255, source.origin)


def _find_or_download(
    source: IDXSource, name: str, folder: Path, download: bool, url: str | None, verify: bool
) -> Path:
    path, expected = _find(name, folder), source.checksums[name] if verify else None
    if path is not None and (not verify or checksum(path) == expected):
        return path
    if download:
        target = path or folder / f"{name}.gz"
        return download_checked((url or source.url) + f"{name}.gz", target, expected, source.largest_download)
    raise _missing_file(source, name, folder) if path is None else wrong_content(path, expected)


def _missing_file(source: IDXSource, name: str, folder: Path) -> DataError:
    return DataError(
        explain(
            f"a file of {source.name} is missing",
            received=f"no {name} (or {name}.gz)",
            where=str(folder),
            remedy=f"name the folder that holds it, or fetch it: tw.data.{source.name}(folder, download=True)",
        )
    )


def wrong_content(path: Path, expected: str | None) -> FileFormatError:
    """What to raise for a file whose checksum is not the published one."""
    received = checksum(path)
    return FileFormatError(
        explain(
            "the content of this file is not what was published",
            received=f"MD5 {received}" if received else "a file that cannot be read to its end",
            expected=f"MD5 {expected}",
            where=str(path),
            remedy="get it again (download=True replaces it), or pass verify=False for other data under this name",
        )
    )


def _find(name: str, folder: Path) -> Path | None:
    """The file, packed or plain, under its usual spellings and in torchvision's folders."""
    dotted = name.replace("-idx", ".idx")
    for inner in (folder, folder / "raw", folder / "MNIST" / "raw", folder / "FashionMNIST" / "raw"):
        if (found := find_spelled(inner, name) or find_spelled(inner, dotted)) is not None:
            return found
    return None


def find_spelled(folder: Path, name: str) -> Path | None:
    """The file of this name, packed or plain."""
    spellings = (folder / f"{name}{packed}" for packed in (".gz", ".xz", ""))
    return next((path for path in spellings if path.is_file()), None)


def checksum(path: str | os.PathLike[str]) -> str | None:
    """The MD5 of a file's uncompressed content; None if it cannot be read."""
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with reading(path, "the data file") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except FileFormatError:
        return None
    return digest.hexdigest()


def _read_pair(images_path: Path, labels_path: Path) -> Examples:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or images.dtype != np.uint8:
        raise FileFormatError(
            explain(
                "images and labels do not fit together",
                received=f"images {images.dtype}{list(images.shape)}, labels {labels.dtype}{list(labels.shape)}",
                expected="uint8 images (n, height, width) and labels (n,)",
                where=f"{images_path.name}, {labels_path.name}",
            )
        )
    return Examples(images, labels)


def _check_labels(labels: np.ndarray, source: IDXSource, folder: Path) -> None:
    if labels.size and not 0 <= labels.min() <= labels.max() < len(source.class_names):
        raise FileFormatError(
            explain(
                "labels out of range",
                received=f"{labels.min()} .. {labels.max()}",
                expected=f"0 .. {len(source.class_names) - 1}",
                where=str(folder),
            )
        )


def scaled_to_unit(images: np.ndarray, maximum: int, raw: bool) -> np.ndarray:
    """float32 in 0 .. 1, or the images as they are stored."""
    return images if raw else images.astype(np.float32) / np.float32(maximum)
