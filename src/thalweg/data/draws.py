"""Random numbers for single samples: the same for a sample whatever batch, thread or order it is read in.

In: a moment (the loader's seed and the epoch) and the numbers of the samples. Out: uniform numbers, each a function of
the moment, the sample's number and the place of the transform that asks, and of nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from thalweg.ops.random import philox_4x32

_WORDS = 4
_AUGMENTING = 0x61756760  # keeps these streams apart from the permutations, whose spawn keys are (epoch, chunk)


class Moment(NamedTuple):
    """When samples are drawn: the loader's seed, and the epoch with whatever tells its parts apart."""

    seed: int
    stream: tuple[int, ...]

    def within(self, part: int) -> Moment:
        """The moment of one part of a data set that is made of several, each with a sample 0 of its own."""
        return Moment(self.seed, (*self.stream, part))


class Draws:
    """Uniform numbers for some samples at a moment.

    >>> first, both = Draws(Moment(0, (3,)), [7]), Draws(Moment(0, (3,)), [2, 7])
    >>> first.uniform(2)[0].tolist() == both.uniform(2)[1].tolist()
    True
    """

    def __init__(self, moment: Moment, numbers: object, path: tuple[int, ...] = ()) -> None:
        self.moment, self.path = moment, path
        self.numbers = np.asarray(numbers, dtype=np.int64).astype(np.uint64)

    def at(self, step: int) -> Draws:
        """The draws of one step of a composition, independent of those of every other step."""
        return Draws(self.moment, self.numbers, (*self.path, step))

    def uniform(self, count: int) -> np.ndarray:
        """Numbers in [0, 1), float64 of shape (samples, count); the same each time it is asked.

        A transform that needs more numbers asks for more at once: the first ones stay what they were.
        """
        stream = self.moment.stream
        spawned = np.random.SeedSequence(self.moment.seed, spawn_key=(_AUGMENTING, len(stream), *stream, *self.path))
        key = spawned.generate_state(2, np.uint32).astype(np.uint64)
        blocks = np.arange(-(-count // _WORDS), dtype=np.uint64)[None, :]
        low, high = self.numbers & np.uint64(0xFFFFFFFF), self.numbers >> np.uint64(32)
        shape = (len(self.numbers), blocks.size)
        first, second, third = (np.broadcast_to(each, shape) for each in (low[:, None], high[:, None], blocks))
        bits = np.stack(philox_4x32((first, second, third, np.zeros_like(first)), (key[0], key[1])), axis=-1)
        return bits.reshape(len(self.numbers), _WORDS * blocks.size)[:, :count] * 2.0**-32

    def chance(self, probability: float) -> np.ndarray:
        """Whether an event of this probability happens to each sample: bool (samples,)."""
        return np.asarray(self.uniform(1)[:, 0] < probability)
