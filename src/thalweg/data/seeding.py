"""Where the order of samples comes from: seeds, and the permutation that belongs to a seed and an epoch.

In: a seed and the numbers of a stream (epoch, chunk). Out: permutations that are a pure function of them.
NumPy promises that the raw bits of its bit generators never change, and promises nothing about `Generator.permutation`.
"""

from __future__ import annotations

import operator

import numpy as np

from thalweg.errors import ArgumentError, explain

_source = np.random.PCG64()


def manual_seed(seed: int) -> None:
    """Make the seeds drawn from now on (by loaders and splits without a seed of their own) a function of `seed`.

    >>> manual_seed(0); first = fresh_seed(); manual_seed(0); first == fresh_seed()
    True
    """
    global _source
    _source = np.random.PCG64(checked_seed(seed))


def fresh_seed() -> int:
    """A new seed: from the operating system's entropy, or from `manual_seed` if that was called."""
    return int(_source.random_raw() >> 1)


def checked_seed(seed: object, where: str = "seed") -> int:
    """The seed as an int; None draws a fresh one. Raises ArgumentError for what is no integer >= 0."""
    if seed is None:
        return fresh_seed()
    try:
        value = -1 if isinstance(seed, bool) else operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        value = -1
    if value < 0:
        raise ArgumentError(
            explain("a seed must be an integer of at least 0", received=repr(seed), where=where, remedy="pass seed=0")
        )
    return value


def bit_generator(seed: int, *stream: int) -> np.random.Philox:
    """The counter-based generator of one stream of a seed, independent of every other stream."""
    return np.random.Philox(np.random.SeedSequence(seed, spawn_key=stream))


def permutation(count: int, seed: int, *stream: int) -> np.ndarray:
    """The numbers 0 .. count-1 in an order that is a function of `seed` and `stream` alone.

    Returns an int64 array of shape (count,): the stable argsort of `count` raw 64-bit draws.

    >>> permutation(6, 0, 1).tolist() == permutation(6, 0, 1).tolist()
    True
    >>> sorted(permutation(6, 0, 2).tolist())
    [0, 1, 2, 3, 4, 5]
    """
    keys = bit_generator(seed, *stream).random_raw(count)
    # Numbers are sorted many times faster than positions, so each key carries its position in place of its low bits.
    # Where two keys agree in all others, which is one case in a billion, the low bits are looked at after all.
    bits = np.uint64(max(count - 1, 1).bit_length())
    low = (np.uint64(1) << bits) - np.uint64(1)
    packed = np.sort(keys & ~low | np.arange(count, dtype=np.uint64))
    if (packed[1:] >> bits == packed[:-1] >> bits).any():
        return np.argsort(keys, kind="stable").astype(np.int64, copy=False)
    return (packed & low).astype(np.int64)
