"""Random numbers of a training run that are its own: a function of its seed and the number of the epoch.

In: a seed. Out: a context in which dropout and its like draw from it, whatever was drawn before; what others draw
meanwhile, in other threads, and afterwards is what they would have drawn without the run.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from thalweg.tensor.random import Generator, default_generator, drawing_from

_EPOCH_STREAM = 1


# A generator for each trainer, and always the same, because the compiled step reads and writes its cell.
_own: weakref.WeakKeyDictionary[Any, Generator] = weakref.WeakKeyDictionary()


@contextmanager
def own_random_numbers(trainer: Any) -> Iterator[None]:
    """In this thread draw from the trainer's own generator; the default one stays as it is."""
    own = _own.get(trainer) or _own.setdefault(trainer, Generator(0))
    own.set_state(default_generator.get_state())
    with drawing_from(own):
        yield


def seed_epoch(seed: int, epoch: int) -> None:
    """Make all random numbers of an epoch a function of (seed, epoch), so that a resumed run draws the same."""
    words = np.random.SeedSequence(seed, spawn_key=(_EPOCH_STREAM, epoch)).generate_state(1, np.uint64)
    default_generator.manual_seed(int(words[0] >> np.uint64(1)))
