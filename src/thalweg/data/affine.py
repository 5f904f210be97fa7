"""Turned, moved, scaled and sheared pictures.

In: `Samples`. Out: samples of the same size; pixels from outside get `fill`, masks get -100 there, and boxes become the
upright boxes around their turned selves. Arguments are torchvision's; in evaluation nothing is turned.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from thalweg.data.augment import ImageTransform, Samples, checked_interval, checked_range
from thalweg.data.boxes import areas, kept_within, mapped
from thalweg.data.checks import checked_choice
from thalweg.data.crops import IGNORED_CLASS, LEAST_VISIBLE
from thalweg.data.draws import Draws
from thalweg.data.resampling import mapped_bilinear, mapped_nearest
from thalweg.errors import ArgumentError, explain

BLOCK_PIXELS = 1 << 14
INTERPOLATIONS = {"nearest": mapped_nearest, "bilinear": mapped_bilinear}


class RandomAffine(ImageTransform):
    """A random turn, shift, scale and shear around the middle of the picture.

    Args:
        degrees: the least and the largest angle against the clock; one number d means (-d, d).
        translate: the largest shifts as shares of width and height, or None.
        scale: the least and the largest factor, or None.
        shear: the least and the largest angle along x, in degrees (one number d: -d .. d), or None.
        interpolation: "nearest" or "bilinear"; masks always take the nearest pixel.
        fill: the value of pixels from outside.
        min_visibility: the share of a box that must be left for it to stay.
    """

    options: ClassVar[tuple[str, ...]] = (
        "degrees",
        "translate",
        "scale",
        "shear",
        "interpolation",
        "fill",
        "min_visibility",
    )

    def __init__(
        self,
        degrees: float | tuple[float, float],
        translate: tuple[float, float] | None = None,
        scale: tuple[float, float] | None = None,
        shear: float | tuple[float, float] | None = None,
        interpolation: str = "nearest",
        fill: float = 0,
        min_visibility: float = LEAST_VISIBLE,
    ) -> None:
        where = type(self).__name__
        self.degrees, self.fill = _angles("degrees", degrees, where), fill
        self.translate = None if translate is None else _shares(translate, where)
        self.scale = None if scale is None else checked_interval("scale", scale, 1e-3, 1e3, where)
        self.shear = None if shear is None else _angles("shear", shear, where, 89.0)
        self.interpolation = checked_choice("interpolation", interpolation, INTERPOLATIONS)
        self.min_visibility = checked_range("min_visibility", min_visibility, 0, 1, where)

    def apply(self, samples: Samples, draws: Draws | None) -> Samples:
        if draws is None:
            return samples
        height, width = samples.size
        forward = self._matrices(draws.uniform(5), height, width)
        inverse = _inverses(forward)
        sample = INTERPOLATIONS[self.interpolation]
        images = _each(samples.images, inverse, sample, self.fill)
        masks = samples.masks
        if masks is not None:
            masks = _each(masks, inverse, mapped_nearest, IGNORED_CLASS)
        if samples.boxes is None:
            return Samples(images, masks)
        # Judged by how much of the upright box around the turned one is left: corners grow when they are turned.
        around = mapped(samples.boxes, forward.astype(np.float32))
        return Samples(images, masks, kept_within(around, height, width, self.min_visibility, areas(around)))

    def _matrices(self, uniform: np.ndarray, height: int, width: int) -> np.ndarray:
        """(n, 2, 3): x and y of a pixel's new place from its old one. y points down, so the sine changes its sign."""
        turn, shear = (np.radians(_between(pair, uniform[:, i])) for i, pair in ((0, self.degrees), (1, self.shear)))
        grow = _between(self.scale or (1.0, 1.0), uniform[:, 2])
        across, down = self.translate or (0.0, 0.0)
        shift = np.stack([(2 * uniform[:, 3] - 1) * across * width, (2 * uniform[:, 4] - 1) * down * height], axis=1)
        cosine, sine = np.cos(turn) * grow, np.sin(turn) * grow
        linear = np.stack([np.stack([cosine, sine], 1), np.stack([-sine, cosine], 1)], axis=1)
        linear[:, :, 1] += linear[:, :, 0] * np.tan(shear)[:, None]  # sheared along x, then turned
        middle = np.array([width / 2, height / 2])
        return np.concatenate([linear, (middle + shift - linear @ middle)[..., None]], axis=2)


class RandomRotation(RandomAffine):
    """A turn by a random angle around the middle of the picture, which keeps its size.

    Args:
        degrees: the least and the largest angle against the clock; one number d means (-d, d).
        interpolation, fill, min_visibility: as for `RandomAffine`.
    """

    options = ("degrees", "interpolation", "fill", "min_visibility")

    def __init__(
        self,
        degrees: float | tuple[float, float],
        interpolation: str = "nearest",
        fill: float = 0,
        min_visibility: float = LEAST_VISIBLE,
    ) -> None:
        super().__init__(degrees, interpolation=interpolation, fill=fill, min_visibility=min_visibility)


def _between(pair: tuple[float, float] | None, uniform: np.ndarray) -> np.ndarray:
    low, high = pair or (0.0, 0.0)
    return np.asarray(low + (high - low) * uniform)


def _inverses(forward: np.ndarray) -> np.ndarray:
    linear = np.linalg.inv(forward[:, :, :2])
    return np.concatenate([linear, -linear @ forward[:, :, 2:]], axis=2)


def _each(array: np.ndarray, inverse: np.ndarray, sample: Any, fill: float) -> np.ndarray:
    """A block of pictures at a time, so that the places of their pixels stay in the cache."""
    result = np.empty_like(array)
    count = max(1, BLOCK_PIXELS // math.prod(array.shape[-2:]))
    for first in range(0, len(array), count):
        block = slice(first, first + count)
        result[block] = sample(array[block], inverse[block], fill)
    return result


def _angles(name: str, value: Any, where: str, most: float = 360.0) -> tuple[float, float]:
    if isinstance(value, int | float):
        angle = checked_range(name, value, 0, most, where)
        return -angle, angle
    return checked_interval(name, value, -most, most, where)


def _shares(translate: Any, where: str) -> tuple[float, float]:
    if not isinstance(translate, tuple | list) or len(translate) != 2 or not all(map(_is_number, translate)):
        received, expected = repr(translate), "shares of width and height, for example (0.1, 0.1)"
        raise ArgumentError(explain("translate is two numbers", received=received, expected=expected, where=where))
    across, down = (checked_range("translate", share, 0, 1, where) for share in translate)
    return across, down


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
