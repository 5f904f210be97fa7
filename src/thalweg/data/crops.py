"""Pieces of pictures, and pictures at another size.

In: `Samples`. Out: samples of the size asked for; boxes are clipped, and dropped where too little of them is left.
The arguments are torchvision's; in evaluation the piece is the middle one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.data.augment import (
    ImageTransform,
    Samples,
    checked_interval,
    checked_range,
    checked_size,
)
from thalweg.data.boxes import kept_within, scaled, shifted
from thalweg.data.checks import checked_choice
from thalweg.data.draws import Draws
from thalweg.data.rectangles import NUMBERS, random_rectangles
from thalweg.data.resampling import resized, resized_nearest
from thalweg.errors import ArgumentError, DataError, explain

IGNORED_CLASS = -100  # the class that a mask has outside its picture: `ignore_index` of the cross entropy
LEAST_VISIBLE = 0.1
PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


class Resize(ImageTransform):
    """Pictures at another size, antialiased; masks take the nearest pixel, boxes are scaled.

    Args:
        size: (height, width), or one number for a square.

    >>> Resize((2, 3))(np.zeros((1, 3, 8, 9), np.uint8)).shape
    (1, 3, 2, 3)
    """

    options = ("size",)

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = checked_size(size, "Resize")

    def apply(self, samples: Samples, draws: Draws | None) -> Samples:
        (height, width), (before, across) = self.size, samples.size
        masks = None if samples.masks is None else resized_nearest(samples.masks, height, width)
        boxes = None if samples.boxes is None else scaled(samples.boxes, height / before, width / across)
        return Samples(resized(samples.images, height, width), masks, boxes)


class CenterCrop(ImageTransform):
    """The middle of each picture. DataError for pictures that are smaller.

    Args:
        size: (height, width), or one number for a square.
        min_visibility: the share of a box that must be left for it to stay.
    """

    options = ("size", "min_visibility")

    def __init__(self, size: int | tuple[int, int], min_visibility: float = LEAST_VISIBLE) -> None:
        self.size = checked_size(size, "CenterCrop")
        self.min_visibility = checked_range("min_visibility", min_visibility, 0, 1, "CenterCrop")

    def apply(self, samples: Samples, draws: Draws | None) -> Samples:
        return cut(samples, _middle(samples, self.size, "CenterCrop"), self.size, self.min_visibility)


class RandomCrop(ImageTransform):
    """A piece at a random place, after padding; the middle one in evaluation.

    Args:
        size: (height, width) of the piece, or one number for a square.
        padding: pixels to put around the picture first: one number, (left and right, top and bottom), or (left, top,
            right, bottom).
        pad_if_needed: pad pictures that are smaller than the piece.
        fill: the value of padded pixels. Masks get -100 there, which the cross entropy ignores.
        padding_mode: "constant", "edge", "reflect" (without the border pixel) or "symmetric" (with it).
        min_visibility: the share of a box that must be left for it to stay.

    Raises:
        DataError: a picture smaller than the piece.
    """

    options = ("size", "padding", "pad_if_needed", "fill", "padding_mode", "min_visibility")

    def __init__(
        self,
        size: int | tuple[int, int],
        padding: int | tuple[int, ...] | None = None,
        pad_if_needed: bool = False,
        fill: float = 0,
        padding_mode: str = "constant",
        min_visibility: float = LEAST_VISIBLE,
    ) -> None:
        self.size, self.pad_if_needed, self.fill = checked_size(size, "RandomCrop"), bool(pad_if_needed), fill
        self.padding = _checked_padding(padding)
        self.padding_mode = checked_choice("padding_mode", padding_mode, PADDING_MODES)
        self.min_visibility = checked_range("min_visibility", min_visibility, 0, 1, "RandomCrop")

    def apply(self, samples: Samples, draws: Draws | None) -> Samples:
        samples = self._padded(samples)
        room = _room(samples, self.size, "RandomCrop")
        if draws is None:
            corners = _middle(samples, self.size, "RandomCrop")
        else:
            corners = (draws.uniform(2) * (np.array(room) + 1)).astype(np.int64)
        return cut(samples, corners, self.size, self.min_visibility)

    def _padded(self, samples: Samples) -> Samples:
        left, top, right, bottom = self.padding
        if self.pad_if_needed:
            height, width = samples.size
            across, down = (max(0, self.size[1] - width - left - right), max(0, self.size[0] - height - top - bottom))
            left, right, top, bottom = left + across, right + across, top + down, bottom + down
        if not any((left, top, right, bottom)):
            return samples
        images = padded(samples.images, (left, top, right, bottom), self.fill, self.padding_mode)
        masks = samples.masks
        if masks is not None:
            masks = padded(masks, (left, top, right, bottom), IGNORED_CLASS, self.padding_mode)
        if samples.boxes is None:
            return Samples(images, masks)
        ones = np.ones(len(samples), dtype=np.float32)
        return Samples(images, masks, shifted(samples.boxes, top * ones, left * ones))


class RandomResizedCrop(ImageTransform):
    """A piece of random area and shape, resized; in evaluation the largest middle piece of the right shape.

    Args:
        size: (height, width) of the result, or one number for a square.
        scale: the least and the largest share of the picture's area.
        ratio: the least and the largest width / height of the piece; drawn evenly in its logarithm.
        min_visibility: the share of a box that must be left for it to stay.

    Source: Szegedy et al., "Going deeper with convolutions" (2014); ten attempts, then the middle, as in torchvision.
    """

    options = ("size", "scale", "ratio", "min_visibility")

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        min_visibility: float = LEAST_VISIBLE,
    ) -> None:
        self.size = checked_size(size, "RandomResizedCrop")
        self.scale = checked_interval("scale", scale, 1e-6, 1.0, "RandomResizedCrop")
        self.ratio = checked_interval("ratio", ratio, 1e-3, 1e3, "RandomResizedCrop")
        self.min_visibility = checked_range("min_visibility", min_visibility, 0, 1, "RandomResizedCrop")

    def apply(self, samples: Samples, draws: Draws | None) -> Samples:
        height, width = samples.size
        if draws is None:
            rows = [_middle_of_shape(height, width, self.size[1] / self.size[0])] * len(samples)
        else:
            pieces, fits = random_rectangles(draws.uniform(NUMBERS), height, width, self.scale, self.ratio)
            middle = _middle_of_shape(height, width, min(max(width / height, self.ratio[0]), self.ratio[1]))
            rows = np.where(fits[:, None], pieces, middle).tolist()
        resize = Resize(self.size)
        resized_pieces = [
            resize.apply(cut(_one(samples, i), np.array([row[:2]]), (row[2], row[3]), self.min_visibility), None)
            for i, row in enumerate(rows)
        ]
        return joined(resized_pieces) if resized_pieces else resize.apply(samples, None)


def _middle_of_shape(height: int, width: int, ratio: float) -> tuple[int, int, int, int]:
    """The largest piece with this width / height, in the middle: (top, left, height, width)."""
    down, across = min(height, max(1, round(width / ratio))), min(width, max(1, round(height * ratio)))
    return (height - down) // 2, (width - across) // 2, down, across


# --- pieces ----------------------------------------------------------------------------------------------------------


def cut(samples: Samples, corners: np.ndarray, size: tuple[int, int], least_visible: float) -> Samples:
    """The piece of each sample whose top left corner, (row, column), is given."""
    images = _cut(samples.images, corners, size)
    masks = None if samples.masks is None else _cut(samples.masks, corners, size)
    if samples.boxes is None:
        return Samples(images, masks)
    moved = shifted(samples.boxes, *(-corners.T.astype(np.float32)))
    return Samples(images, masks, kept_within(moved, *size, least_visible))


def _cut(array: np.ndarray, corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    if size == array.shape[-2:]:
        return array
    pieces = np.empty((*array.shape[:-2], height, width), dtype=array.dtype)
    for i, (row, column) in enumerate(corners.tolist()):
        pieces[i] = array[i, ..., row : row + height, column : column + width]
    return pieces


def padded(array: np.ndarray, sides: tuple[int, int, int, int], fill: float, mode: str) -> np.ndarray:
    """Pixels around each picture: left, top, right, bottom of them."""
    left, top, right, bottom = sides
    widths = [(0, 0)] * (array.ndim - 2) + [(top, bottom), (left, right)]
    if mode != "constant":
        return np.pad(array, widths, mode=mode)  # type: ignore[call-overload, no-any-return]
    height, width = array.shape[-2:]
    around = np.full((*array.shape[:-2], height + top + bottom, width + left + right), fill, dtype=array.dtype)
    around[..., top : top + height, left : left + width] = array
    return around


def joined(parts: list[Samples]) -> Samples:
    """Samples of one size as one."""
    fields = [[getattr(part, name) for part in parts] for name in ("images", "masks", "boxes")]
    return Samples(*(None if each[0] is None else np.concatenate(each) for each in fields))  # type: ignore[arg-type]


def _one(samples: Samples, i: int) -> Samples:
    fields = (samples.images, samples.masks, samples.boxes)
    return Samples(*(None if each is None else each[i : i + 1] for each in fields))  # type: ignore[arg-type]


def _room(samples: Samples, size: tuple[int, int], where: str) -> tuple[int, int]:
    """How far the corner of a piece can move down and right."""
    down, across = samples.size[0] - size[0], samples.size[1] - size[1]
    if min(down, across) < 0:
        raise DataError(
            explain(
                "the piece is larger than the picture",
                received=f"a picture of {samples.size[0]} x {samples.size[1]}",
                expected=f"at least {size[0]} x {size[1]}",
                where=where,
                remedy="put a Resize before it"
                + (", or pass padding= or pad_if_needed=True" if where == "RandomCrop" else ""),
            )
        )
    return down, across


def _middle(samples: Samples, size: tuple[int, int], where: str) -> np.ndarray:
    return np.repeat(np.array([_room(samples, size, where)]) // 2, len(samples), axis=0)


def _checked_padding(padding: Any) -> tuple[int, int, int, int]:
    sides = (0,) if padding is None else (padding,) if isinstance(padding, int) else tuple(padding)
    if len(sides) not in (1, 2, 4) or not all(isinstance(n, int | np.integer) and n >= 0 for n in sides):
        raise ArgumentError(
            explain(
                "padding is one number, two, or four",
                received=repr(padding),
                expected="for example 4, (left and right, top and bottom) or (left, top, right, bottom)",
                where="RandomCrop",
            )
        )
    left, top, right, bottom = {1: sides * 4, 2: sides * 2, 4: sides}[len(sides)]
    return int(left), int(top), int(right), int(bottom)
