"""Rectangles that are erased, so that a network cannot rely on one part of a picture.

In: `Samples`. Out: the same samples, some with a rectangle overwritten; masks and boxes stay.
The arguments are torchvision's; in evaluation nothing is erased.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.data.augment import ImageTransform, Samples, checked_interval, checked_probability
from thalweg.data.draws import Draws
from thalweg.data.rectangles import NUMBERS, random_rectangles
from thalweg.errors import ArgumentError, explain


class RandomErasing(ImageTransform):
    """A rectangle of random area and shape is overwritten, with probability `p`; nothing in evaluation.

    Args:
        p: how likely.
        scale: the least and the largest share of the picture's area.
        ratio: the least and the largest width / height.
        value: what is written, one number or one for each channel; "random" for noise (normal in floating pictures,
            even bytes otherwise). Put it after `Normalize`, where 0 is the mean.

    Source: Zhong et al., "Random erasing data augmentation" (2017), arXiv:1708.04896.
    """

    options = ("p", "scale", "ratio", "value")

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: Any = 0,
    ) -> None:
        self.p = checked_probability(p, "RandomErasing")
        self.scale = checked_interval("scale", scale, 0.0, 1.0, "RandomErasing")
        self.ratio = checked_interval("ratio", ratio, 1e-3, 1e3, "RandomErasing")
        self.value = value
        if value != "random" and np.asarray(value).dtype.kind not in "iuf":
            expected = '"random", a number, or one for each channel'
            raise ArgumentError(
                explain("unknown value to write", received=repr(value), expected=expected, where="RandomErasing")
            )

    def apply(self, samples: Samples, draws: Draws | None) -> Samples:
        if draws is None or self.p == 0:
            return samples
        images, uniform = samples.images.copy(), draws.uniform(1 + NUMBERS)
        rows, fits = random_rectangles(uniform[:, 1:], *samples.size, self.scale, self.ratio)
        chosen = (uniform[:, 0] < self.p) & fits
        noise = Draws(draws.moment, draws.numbers[chosen], (*draws.path, 0)) if self.value == "random" else None
        self._erase(images, np.flatnonzero(chosen), rows, noise)
        return samples.with_images(images)

    def _erase(self, images: np.ndarray, chosen: np.ndarray, rows: np.ndarray, noise: Draws | None) -> None:
        written = _noise(noise, images) if noise is not None else None
        for place, i in enumerate(chosen):
            top, left, height, width = rows[i].tolist()
            piece = images[i, ..., top : top + height, left : left + width]
            if written is not None:
                piece[...] = written[place, ..., top : top + height, left : left + width]
            else:
                piece[...] = np.asarray(self.value, images.dtype).reshape(-1, *([1, 1] if np.ndim(self.value) else []))


def _noise(draws: Draws, images: np.ndarray) -> np.ndarray:
    """Noise for whole pictures: bytes, or standard normal numbers by Box and Muller's formula."""
    shape = (len(draws.numbers), *images.shape[1:])
    count = int(np.prod(shape[1:]))
    if images.dtype == np.uint8:
        return (draws.uniform(count) * 256).astype(np.uint8).reshape(shape)
    radius, angle = np.split(draws.uniform(2 * count), 2, axis=1)
    normal = np.sqrt(-2 * np.log1p(-radius)) * np.cos(2 * np.pi * angle)
    return np.asarray(normal.reshape(shape), dtype=images.dtype)
