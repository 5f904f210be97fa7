"""The images that the gallery learns from: MNIST's training part in three; no test image is ever read.

In: MNIST beside the repository, or for a miniature the digits that come with Thalweg, enlarged. Out: `Parts`: training,
a part to choose settings on, and a part to measure on, drawn once and for all.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

import thalweg as tw
from bench.datasets import data_root
from bench.gallery.experiment import Scale

SIZES, MINIATURE_SIZES = (45_000, 5_000, 10_000), (120, 40, 40)
CLASSES = 10


class Examples(NamedTuple):
    """Images as rows of 784 numbers in 0 .. 1, and their labels."""

    x: np.ndarray
    y: np.ndarray

    def first(self, count: int) -> Examples:
        return Examples(self.x[:count], self.y[:count])


class Parts(NamedTuple):
    training: Examples
    choice: Examples
    """Where settings are chosen, and training is stopped."""
    validation: Examples
    """Where accuracy is measured: nothing is chosen by it."""


@functools.lru_cache(maxsize=2)
def parts(scale: Scale) -> Parts:
    """The three parts, of other images each."""
    images, labels = _enlarged_digits() if scale.is_miniature else tw.data.mnist(data_root() / "mnist").train
    rows = images.reshape(len(labels), -1)
    order = np.random.default_rng(0).permutation(len(labels))
    sizes = MINIATURE_SIZES if scale.is_miniature else SIZES
    cut = np.split(order, np.cumsum(sizes))[:-1]
    return Parts(*(Examples(np.ascontiguousarray(rows[each]), labels[each]) for each in cut))


def _enlarged_digits() -> tuple[np.ndarray, np.ndarray]:
    """8 x 8 becomes 28 x 28: each pixel three times, and a rim of two."""
    found = tw.data.digits().train
    large = found.images.repeat(3, axis=1).repeat(3, axis=2)
    return np.pad(large, ((0, 0), (2, 2), (2, 2))), found.labels
