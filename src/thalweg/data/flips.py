"""Turns that move whole pixels: mirror images and quarter turns.

In: `Samples`. Out: the same pixels at other places, masks and boxes with them. Each sample is turned or not by its own
draw; in evaluation none is.
"""

from __future__ import annotations

import numpy as np

from thalweg.data.augment import ImageTransform, Samples, checked_probability
from thalweg.data.boxes import with_corners
from thalweg.data.draws import Draws


class _Flip(ImageTransform):
    """What the two mirror images share."""

    options = ("p",)
    axis = -1

    def __init__(self, p: float = 0.5) -> None:
        self.p = checked_probability(p, type(self).__name__)

    def apply(self, samples: Samples, draws: Draws | None) -> Samples:
        if draws is None or self.p == 0:
            return samples
        chosen = draws.chance(self.p)
        boxes = None if samples.boxes is None else self._flipped_boxes(samples, chosen)
        masks = None if samples.masks is None else _flipped(samples.masks, chosen, self.axis)
        return Samples(_flipped(samples.images, chosen, self.axis), masks, boxes)

    def _flipped_boxes(self, samples: Samples, chosen: np.ndarray) -> np.ndarray:
        assert samples.boxes is not None
        corners, first = samples.boxes[..., :4].copy(), 0 if self.axis == -1 else 1
        extent = samples.size[1 - first]
        corners[chosen, :, first] = extent - samples.boxes[chosen, :, first + 2]
        corners[chosen, :, first + 2] = extent - samples.boxes[chosen, :, first]
        return with_corners(samples.boxes, corners)


def _flipped(array: np.ndarray, chosen: np.ndarray, axis: int) -> np.ndarray:
    flipped = array.copy()
    flipped[chosen] = np.flip(array[chosen], axis)
    return flipped


class RandomHorizontalFlip(_Flip):
    """Left and right change places with probability `p`.

    >>> from thalweg.data import Moment; draws = Draws(Moment(0, (0,)), [0])
    >>> RandomHorizontalFlip(1.0).apply(Samples(np.array([[[1, 2]]], np.uint8)), draws).images.tolist()
    [[[2, 1]]]
    """

    axis = -1


class RandomVerticalFlip(_Flip):
    """Top and bottom change places with probability `p`."""

    axis = -2


class RandomQuarterTurn(ImageTransform):
    """A turn by 0, 90, 180 or 270 degrees, each as likely; by 0 or 180 where pictures are not square."""

    def apply(self, samples: Samples, draws: Draws | None) -> Samples:
        if draws is None:
            return samples
        height, width = samples.size
        step = 1 if height == width else 2
        turns = (draws.uniform(1)[:, 0] * (4 // step)).astype(np.int64) * step
        boxes = None if samples.boxes is None else _turned_boxes(samples.boxes, turns, height, width)
        masks = None if samples.masks is None else _turned(samples.masks, turns)
        return Samples(_turned(samples.images, turns), masks, boxes)


def _turned(array: np.ndarray, turns: np.ndarray) -> np.ndarray:
    turned = array.copy()
    for count in (1, 2, 3):
        chosen = turns == count
        if chosen.any():
            turned[chosen] = np.rot90(array[chosen], count, axes=(-2, -1))
    return turned


def _turned_boxes(boxes: np.ndarray, turns: np.ndarray, height: int, width: int) -> np.ndarray:
    """A quarter turn against the clock takes (x, y) to (y, width - x)."""
    corners = boxes[..., :4].copy()
    for count in range(1, 4):
        chosen = turns >= count  # one more quarter for those; a single quarter only happens to squares
        left, top, right, bottom = (corners[chosen, :, column] for column in range(4))
        corners[chosen] = np.stack([top, width - right, bottom, width - left], axis=-1)
        width, height = height, width
    return with_corners(boxes, corners)
