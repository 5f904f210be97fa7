"""Reading pictures at other places than their pixels: resizing, and affine maps.

In: (n, ..., height, width), uint8 or floating. Out: the same dtype at another size, or turned. Pictures are resized by
a triangle filter that widens as they shrink (bilinear, antialiased: what Pillow and PyTorch do); masks take the nearest
pixel, so that no class appears between two others.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np


def resized(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pictures at another size, antialiased.

    >>> resized(np.array([[[0.0, 1.0], [2.0, 3.0]]], dtype=np.float32), 1, 1)
    array([[[1.5]]], dtype=float32)
    """
    if images.shape[-2:] == (height, width):
        return images
    tall, wide = triangle_weights(images.shape[-2], height), triangle_weights(images.shape[-1], width).T
    result = np.empty((*images.shape[:-2], height, width), dtype=images.dtype)
    for i, image in enumerate(images):  # one by one: no float copy of a whole batch of large pictures
        result[i] = _restored(tall @ (image.astype(np.float32) @ wide), images.dtype)
    return result


@lru_cache(maxsize=256)
def triangle_weights(before: int, after: int) -> np.ndarray:
    """The matrix (after, before) that resizes one axis; each row sums to 1."""
    scale = before / after
    support = max(scale, 1.0)
    centres = (np.arange(after) + 0.5) * scale
    distances = np.abs(np.arange(before) + 0.5 - centres[:, None]) / support
    weights = np.maximum(0.0, 1.0 - distances)
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    weights.flags.writeable = False  # shared by everyone who resizes this way
    return np.asarray(weights)


def _restored(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Floating values in the dtype of the picture: bytes are rounded and kept in range."""
    if dtype == np.uint8:
        return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)
    return values.astype(dtype, copy=False)


def resized_nearest(masks: np.ndarray, height: int, width: int) -> np.ndarray:
    """Masks at another size: each pixel takes the class of the nearest one."""
    rows = _nearest(masks.shape[-2], height)
    columns = _nearest(masks.shape[-1], width)
    return masks[..., rows[:, None], columns]


def _nearest(before: int, after: int) -> np.ndarray:
    return np.minimum(((np.arange(after) + 0.5) * (before / after)).astype(np.int64), before - 1)


def mapped_nearest(images: np.ndarray, inverses: np.ndarray, fill: float) -> np.ndarray:
    """Pictures (n, ..., height, width) under affine maps; each of `inverses` (n, 2, 3) leads from new places to old."""
    x, y = _old_places(inverses, *images.shape[-2:])
    return _picked(images, np.floor(y).astype(np.int64), np.floor(x).astype(np.int64), fill)


def mapped_bilinear(images: np.ndarray, inverses: np.ndarray, fill: float) -> np.ndarray:
    """As `mapped_nearest`, between the four nearest pixels."""
    x, y = (places - 0.5 for places in _old_places(inverses, *images.shape[-2:]))
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    shape = (len(images), *[1] * (images.ndim - 3), *images.shape[-2:])
    right, down = ((at - low).astype(np.float32).reshape(shape) for at, low in ((x, column), (y, row)))
    upper = _picked(images, row, column, fill) * (1 - right) + _picked(images, row, column + 1, fill) * right
    lower = _picked(images, row + 1, column, fill) * (1 - right) + _picked(images, row + 1, column + 1, fill) * right
    return _restored(upper * (1 - down) + lower * down, images.dtype)


def _old_places(inverses: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """For the centre of each new pixel the x and y it comes from, (n, height, width); pixel (0, 0) covers 0 .. 1."""
    across, down = np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]
    x, y = inverses.transpose(1, 2, 0)[..., None, None]
    return x[0] * across + x[1] * down + x[2], y[0] * across + y[1] * down + y[2]


def _picked(images: np.ndarray, row: np.ndarray, column: np.ndarray, fill: float) -> np.ndarray:
    """The pixels at these places, and `fill` for places outside."""
    height, width = images.shape[-2:]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    places = np.where(inside, row * width + column, 0).reshape(len(images), 1, height * width)
    flat = images.reshape(len(images), -1, height * width)
    pixels = np.take_along_axis(flat, places, axis=2)
    pixels[~np.broadcast_to(inside.reshape(places.shape), pixels.shape)] = fill
    return pixels.reshape(images.shape)
