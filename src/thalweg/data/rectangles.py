"""Random rectangles inside a picture: what is cut out, and what is erased.

In: uniform numbers for each sample, the picture's size, shares of its area, ratios of width to height.
Out: (top, left, height, width) for each sample, and whether one of ten attempts fitted, as torchvision does it.
"""

from __future__ import annotations

import math

import numpy as np

ATTEMPTS = 10
NUMBERS = 4 * ATTEMPTS  # uniform numbers for each sample

Interval = tuple[float, float]


def random_rectangles(
    uniform: np.ndarray, height: int, width: int, scale: Interval, ratio: Interval
) -> tuple[np.ndarray, np.ndarray]:
    """int64 (n, 4), the first attempt that fits, and bool (n,), whether any did.

    The area is drawn evenly, width / height evenly in its logarithm, then the place.
    """
    draws = uniform.reshape(len(uniform), ATTEMPTS, 4)
    area = height * width * (scale[0] + (scale[1] - scale[0]) * draws[..., 0])
    shape = np.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * draws[..., 1])
    across, down = (np.rint(np.sqrt(product)).astype(np.int64) for product in (area * shape, area / shape))
    fits = (across > 0) & (across <= width) & (down > 0) & (down <= height)
    first = np.arange(len(uniform)), fits.argmax(axis=1)
    across, down, place = across[first], down[first], draws[first]
    top = (place[:, 2] * (height - down + 1)).astype(np.int64)
    left = (place[:, 3] * (width - across + 1)).astype(np.int64)
    return np.stack([top, left, down, across], axis=1), np.asarray(fits.any(axis=1))
