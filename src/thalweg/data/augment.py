"""Transforms of pictures: their contract, and their composition.

In: `Samples`, pictures with the masks and boxes that belong to them, and `Draws`, random numbers for each sample. Out:
`Samples`. Without draws a random transform does the middle of what it may do, which is what evaluation wants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from thalweg.data.draws import Draws
from thalweg.data.transform import Pipeline, Transform
from thalweg.errors import ArgumentError, DataError, explain


@dataclass(frozen=True)
class Samples:
    """Pictures of one size, and what belongs to them.

    Attributes:
        images: (n, height, width) or (n, channels, height, width), uint8 in 0 .. 255 or floating in 0 .. 1.
        masks: (n, height, width), a class number for each pixel, or None.
        boxes: (n, most, 5), rows (x_min, y_min, x_max, y_max, class) in pixels, -1 where empty, or None.
    """

    images: np.ndarray
    masks: np.ndarray | None = None
    boxes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.images.shape[-2], self.images.shape[-1]

    def with_images(self, images: np.ndarray) -> Samples:
        return replace(self, images=images)


class ImageTransform(Transform):
    """Something done to pictures, with their masks and boxes; subclasses define `apply(samples, draws)`.

    `transform(x)` is that of an array of pictures, (n, height, width) or (n, channels, height, width), without chance.
    A sample's result depends on its own draws alone: that is what makes batches the same bits on any number of workers.
    """

    learned: ClassVar[tuple[str, ...]] = ()

    def apply(self, samples: Samples, draws: Draws | None) -> Samples:
        """The samples, transformed; `draws` is None where nothing is left to chance."""
        raise NotImplementedError(f"{type(self).__name__}.apply is not defined")

    def fit(self, x: Any) -> Self:
        return self

    def transform(self, x: Any) -> np.ndarray:
        return self.apply(Samples(checked_images(x, type(self).__name__)), None).images

    def __call__(self, x: Any) -> np.ndarray:
        """`transform(x)`, as PyTorch writes it."""
        return self.transform(x)


class Compose(Pipeline, ImageTransform):
    """Several transforms of pictures, one after the other; each draws its own numbers.

    >>> from thalweg.data import CenterCrop, Normalize
    >>> steps = Compose([CenterCrop(2), Normalize(0.5, 0.25)])
    >>> steps(np.full((1, 4, 4), 255, dtype=np.uint8))
    array([[[2., 2.],
            [2., 2.]]], dtype=float32)
    """

    def __init__(self, steps: Sequence[ImageTransform]) -> None:
        super().__init__(steps)
        for step in self.steps:
            checked_transform(step, "Compose")

    def transform(self, x: Any) -> np.ndarray:
        return ImageTransform.transform(self, x)

    def apply(self, samples: Samples, draws: Draws | None) -> Samples:
        for place, step in enumerate(self.steps):
            assert isinstance(step, ImageTransform)
            samples = step.apply(samples, None if draws is None else draws.at(place))
        return samples


class RandomApply(ImageTransform):
    """A transform that is applied to each sample with probability `p`; it must keep the size. Never, in evaluation."""

    options = ("p",)

    def __init__(self, transform: ImageTransform, p: float = 0.5) -> None:
        self.step, self.p = checked_transform(transform, "RandomApply"), checked_probability(p, "RandomApply")

    def apply(self, samples: Samples, draws: Draws | None) -> Samples:
        if draws is None:
            return samples
        chosen = draws.chance(self.p)
        return merged(samples, self.step.apply(samples, draws.at(0)), chosen, "RandomApply")

    def to_config(self) -> dict[str, Any]:
        return {"kind": "RandomApply", "p": self.p, "step": self.step.to_config()}

    @classmethod
    def _rebuilt(cls, config: Any) -> Self:
        return cls(ImageTransform.from_config(config["step"]), config["p"])


def merged(samples: Samples, changed: Samples, chosen: np.ndarray, where: str) -> Samples:
    """The changed samples where they were chosen, the others elsewhere; both must be of one shape."""
    if samples.images.shape != changed.images.shape:
        raise ArgumentError(
            explain(
                "a transform that is left out for some samples must keep their size",
                received=f"{samples.images.shape[1:]} became {changed.images.shape[1:]}",
                where=where,
            )
        )
    pairs = ((samples.images, changed.images), (samples.masks, changed.masks), (samples.boxes, changed.boxes))
    return Samples(*(None if a is None or b is None else _either(a, b, chosen) for a, b in pairs))  # type: ignore[arg-type]


def _either(plain: np.ndarray, changed: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return np.where(chosen.reshape(-1, *[1] * (plain.ndim - 1)), changed, plain)


# --- checks that the transforms share --------------------------------------------------------------------------------


def checked_images(x: Any, where: str) -> np.ndarray:
    """An array of pictures: (n, height, width) or (n, channels, height, width), uint8 or floating, none empty."""
    images = np.asarray(x.numpy() if hasattr(x, "numpy") else x)
    if images.ndim not in (3, 4) or (images.dtype != np.uint8 and images.dtype.kind != "f") or 0 in images.shape[1:]:
        raise DataError(
            explain(
                "these are no pictures",
                received=f"dtype {images.dtype}, shape {images.shape}",
                expected="uint8 or floating, (n, height, width) or (n, channels, height, width)",
                where=where,
                remedy="put a first axis on a single picture: image[None]",
            )
        )
    return images


def checked_transform(transform: Any, where: str) -> ImageTransform:
    """The transform, if it is one of pictures."""
    if isinstance(transform, ImageTransform):
        return transform
    raise ArgumentError(
        explain(
            "this is no transform of pictures",
            received=transform if isinstance(transform, Transform) else type(transform).__name__,
            expected="a tw.data.ImageTransform, or tw.data.Compose([...]) of them",
            where=where,
            remedy="a function of your own becomes one as a subclass that defines apply(samples, draws)",
        )
    )


def checked_probability(p: object, where: str) -> float:
    """A number in 0 .. 1."""
    return checked_range("p", p, 0.0, 1.0, where)


def checked_range(name: str, value: object, least: float, most: float, where: str) -> float:
    """The value as a float, if it is a number between two others (both allowed)."""
    number = float(value) if isinstance(value, int | float | np.number) and not isinstance(value, bool) else np.nan
    if not least <= number <= most:
        raise ArgumentError(
            explain(f"{name} is out of range", received=repr(value), expected=f"{least:g} .. {most:g}", where=where)
        )
    return number


def checked_interval(name: str, pair: Any, least: float, most: float, where: str) -> tuple[float, float]:
    """Two numbers, the smaller first, between two others."""
    try:
        low, high = pair
    except (TypeError, ValueError):
        low, high = np.nan, np.nan
    first = checked_range(name, low, least, most, where)
    return first, checked_range(name, high, first, most, where)


def checked_size(size: Any, where: str) -> tuple[int, int]:
    """Height and width from one number (a square) or two."""
    pair = (size, size) if isinstance(size, int | np.integer) else size
    if (
        not isinstance(pair, tuple | list)
        or len(pair) != 2
        or not all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n > 0 for n in pair)
    ):
        raise ArgumentError(
            explain(
                "a size is one positive integer or two",
                received=repr(size),
                expected="for example 32, or (height, width)",
                where=where,
            )
        )
    return int(pair[0]), int(pair[1])
