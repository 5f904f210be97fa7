"""Random numbers of a training run that are its own: a function of its seed and the number of the epoch.

In: a seed. Out: a context in which dropout and its like draw from it, whatever was drawn before; what others draw
afterwards is what they would have drawn without the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from thalweg.tensor.random import default_generator

_EPOCH_STREAM = 1


@contextmanager
def own_random_numbers() -> Iterator[None]:
    """Leave the default generator as it was."""
    before = default_generator.get_state()
    try:
        yield
    finally:
        default_generator.set_state(before)


def seed_epoch(seed: int, epoch: int) -> None:
    """Make all random numbers of an epoch a function of (seed, epoch), so that a resumed run draws the same."""
    words = np.random.SeedSequence(seed, spawn_key=(_EPOCH_STREAM, epoch)).generate_state(1, np.uint64)
    default_generator.manual_seed(int(words[0] >> np.uint64(1)))
