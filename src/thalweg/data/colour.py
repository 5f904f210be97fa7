"""Values of pixels: bytes to numbers, normalisation, random colour.

In: `Samples`. Out: the same pictures in other colours; masks and boxes stay.
The arguments are torchvision's; in evaluation colours stay what they are.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from thalweg.data.augment import (
    ImageTransform,
    Samples,
    checked_images,
    checked_interval,
    checked_range,
)
from thalweg.data.draws import Draws
from thalweg.errors import ArgumentError, DataError, explain

FULL = 255.0
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow and PyTorch
BLOCK = 1024


class ToFloat(ImageTransform):
    """Bytes in 0 .. 255 to float32 in 0 .. 1; floating pictures become float32 and keep their values.

    >>> ToFloat()(np.array([[[0, 255]]], dtype=np.uint8)).tolist()
    [[[0.0, 1.0]]]
    """

    def apply(self, samples: Samples, draws: Draws | None) -> Samples:
        return samples.with_images(as_unit(samples.images))


def as_unit(images: np.ndarray) -> np.ndarray:
    """float32; bytes are divided by 255."""
    if images.dtype == np.uint8:
        return np.asarray(np.divide(images, np.float32(FULL), dtype=np.float32))
    return images.astype(np.float32, copy=False)


class Normalize(ImageTransform):
    """(x - mean) / std, channel by channel, x in 0 .. 1; bytes are divided by 255 first.

    Args:
        mean, std: one number, or one for each channel, for pictures in 0 .. 1. Without them `fit` takes those of the
            training part.

    >>> Normalize(0.5, 0.5)(np.array([[[0, 255]]], dtype=np.uint8)).tolist()
    [[[-1.0, 1.0]]]
    """

    learned: ClassVar[tuple[str, ...]] = ("mean_", "std_")
    mean_: np.ndarray
    std_: np.ndarray

    def __init__(self, mean: Any = None, std: Any = None) -> None:
        if (mean is None) != (std is None):
            raise ArgumentError(
                explain("mean and std belong together", received="one of them", expected="both", where="Normalize")
            )
        if mean is not None:
            self.mean_, self.std_ = np.asarray(mean, np.float64), np.asarray(std, np.float64)
            self.check_consistent()

    def check_consistent(self) -> None:
        shapes_fit = self.mean_.shape == self.std_.shape and self.mean_.ndim <= 1
        if not shapes_fit or not np.isfinite(self.mean_).all() or not (self.std_ > 0).all():
            raise ArgumentError(
                explain(
                    "these are no mean and standard deviation",
                    received=f"mean {self.mean_.tolist()}, std {self.std_.tolist()}",
                    expected="as many numbers of each, every std above 0",
                    where="Normalize",
                )
            )

    def fit(self, x: Any) -> Self:
        """Mean and standard deviation of each channel over all pixels; what was given is kept."""
        if not self.is_fitted:
            self.mean_, self.std_ = _moments(checked_images(x, "Normalize.fit"))
            self.std_ = np.where(self.std_ > 0, self.std_, 1.0)
        return self

    def apply(self, samples: Samples, draws: Draws | None) -> Samples:
        self.check_fitted()
        full = FULL if samples.images.dtype == np.uint8 else 1.0
        factor, offset = self._shaped(1 / (self.std_ * full), samples), self._shaped(-self.mean_ / self.std_, samples)
        images = np.multiply(samples.images, factor, dtype=np.float32)
        images += offset
        return samples.with_images(images)

    def _shaped(self, values: np.ndarray, samples: Samples) -> np.ndarray:
        """One number for each channel, as an array that broadcasts over pictures."""
        channels = samples.images.shape[1] if samples.images.ndim == 4 else 1
        if values.ndim and len(values) not in (1, channels):
            raise DataError(
                explain(
                    "the pictures have another number of channels",
                    received=f"{channels} channels",
                    expected=f"{len(values)}",
                    where="Normalize",
                )
            )
        return values.astype(np.float32).reshape(-1, 1, 1)

    def __repr__(self) -> str:
        if not self.is_fitted:
            return "Normalize()"
        return f"Normalize(mean={self.mean_.round(4).tolist()}, std={self.std_.round(4).tolist()})"


def _moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel in 0 .. 1, float64; summed block by block, no float copy of all."""
    if len(images) == 0:
        raise DataError(explain("no pictures to take a mean of", expected="at least one", where="Normalize.fit"))
    channels = images.shape[1] if images.ndim == 4 else 1
    total, squares = np.zeros(channels), np.zeros(channels)
    for first in range(0, len(images), BLOCK):
        block = as_unit(images[first : first + BLOCK]).astype(np.float64).reshape(-1, channels, *images.shape[-2:])
        total += block.sum(axis=(0, 2, 3))
        squares += np.square(block).sum(axis=(0, 2, 3))
    count = images.size / channels
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - mean**2, 0.0))


class ColorJitter(ImageTransform):
    """Random brightness, contrast and saturation, in this order.

    Args:
        brightness, contrast, saturation: a number v means a factor from max(0, 1 - v) to 1 + v; or the two factors.
            Saturation changes nothing on pictures that do not have three channels.
    """

    options = ("brightness", "contrast", "saturation")

    def __init__(self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0) -> None:
        self.brightness = _factors("brightness", brightness)
        self.contrast = _factors("contrast", contrast)
        self.saturation = _factors("saturation", saturation)

    def apply(self, samples: Samples, draws: Draws | None) -> Samples:
        if draws is None:
            return samples
        images, uniform = as_unit(samples.images), draws.uniform(3).astype(np.float32)
        low, high = np.array([self.brightness, self.contrast, self.saturation], dtype=np.float32).T
        factors = low + (high - low) * uniform
        bright, contrast, saturation = (f.reshape(-1, *[1] * (images.ndim - 1)) for f in factors.T)
        images = np.clip(images * bright, 0, 1)
        middle = _grey(images).mean(axis=tuple(range(1, images.ndim)), keepdims=True, dtype=np.float64)
        images = _blended(images, middle.astype(np.float32), contrast)
        if images.ndim == 4 and images.shape[1] == 3:
            images = _blended(images, _grey(images), saturation)
        if samples.images.dtype == np.uint8:
            return samples.with_images(np.rint(images * np.float32(FULL)).astype(np.uint8))
        return samples.with_images(images)


def _blended(images: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(other + (images - other) * share, 0, 1))


def _grey(images: np.ndarray) -> np.ndarray:
    """The lightness of each pixel, with a channel axis of 1 for colour pictures."""
    if images.ndim == 4 and images.shape[1] == 3:
        return np.asarray(sum(images[:, c : c + 1] * LUMA[c] for c in range(3)))
    return images


def _factors(name: str, value: Any) -> tuple[float, float]:
    if isinstance(value, int | float):
        number = checked_range(name, value, 0, 1e6, "ColorJitter")
        return max(0.0, 1 - number), 1 + number
    return checked_interval(name, value, 0, 1e6, "ColorJitter")
