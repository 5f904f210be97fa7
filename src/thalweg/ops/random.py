"""Counter-based random bits: Philox 4x32-10, the one source of randomness in a program.

In: a key, int64 (2,), that holds the seed and the number of the draw. Out: 32 random bits an entry, as int64. Uniform
and normal numbers are compositions of it, so a program's randomness depends on nothing but its key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from thalweg.dtype import DType, int64
from thalweg.errors import DTypeError, ShapeError, explain
from thalweg.graph import Primitive, Probe, Shape, register, size_of

# Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011: multipliers and Weyl constants.
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
ROUNDS = 10

Words = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def philox_4x32(counter: Words, key: tuple[np.uint64, np.uint64]) -> Words:
    """Ten rounds of Philox on four 32-bit counter words (kept in uint64) under a key of two words."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    with np.errstate(over="ignore"):
        for _ in range(ROUNDS):
            first, second = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
            c0, c1, c2, c3 = (second >> _HALF) ^ c1 ^ k0, second & _LOW, (first >> _HALF) ^ c3 ^ k1, first & _LOW
            k0, k1 = (k0 + WEYL[0]) & _LOW, (k1 + WEYL[1]) & _LOW
    return c0, c1, c2, c3


def _words_of(block: np.ndarray, seed: int, draw: int) -> np.ndarray:
    """The four words of blocks, whose counters are (block, draw)."""
    low, high, k0, k1 = (half for each in (draw, seed) for half in _halves(np.uint64(int(each) & 0xFFFFFFFFFFFFFFFF)))
    counter = (*_halves(block), np.full_like(block, low), np.full_like(block, high))
    return np.stack(philox_4x32(counter, (k0, k1)))


def _halves(x: Any) -> tuple[Any, Any]:
    return x & _LOW, x >> _HALF


def _random_bits(key: np.ndarray, *, shape: Shape) -> np.ndarray:
    """Entry 64 g + 16 w + j is word w of block 16 g + j."""
    total = size_of(shape)
    words = _words_of(np.arange(-(-total // 64) * 16, dtype=np.uint64), *key)
    entries = words.reshape(4, -1, 16).swapaxes(0, 1)
    return entries.reshape(-1)[:total].reshape(shape).astype(np.int64)


def words_at(place: Any, seed: int, draw: int) -> Any:
    """The same bits for single entries, by their row-major places."""
    group, rest = np.divmod(np.asarray(place, np.uint64), 64)
    words = _words_of(16 * group + rest % 16, seed, draw)
    return np.take_along_axis(words, (rest // 16).astype(np.int64)[None], 0)[0].astype(np.int64)[()]


def _bits_shape(key: Shape, *, shape: Shape) -> Shape:
    if key != (2,):
        raise ShapeError(explain("random_bits needs a key of two integers", received=f"shape {key}", expected="(2,)"))
    return shape


def _bits_dtype(key: DType, *, shape: Shape) -> DType:
    if key is not int64:
        raise DTypeError(explain("random_bits needs an int64 key", received=key.name, expected="int64"))
    return int64


def _emit_bits(e: Any, index: Sequence[Any], key: Any, *, shape: Shape) -> Any:
    """The same rounds (`compile/mathematics/philox.py`), shared by the entries that are words of the same blocks."""
    return e.random_words(e.linear(index, shape), key)


random_bits = register(
    Primitive(
        "random_bits",
        "random",
        _bits_shape,
        _bits_dtype,
        _random_bits,
        emit=_emit_bits,
        probes=(
            Probe(((2,),), integers={0: 1000}, attributes={"shape": (3, 5)}),
            Probe(((2,),), integers={0: 1000}, attributes={"shape": ()}),
            Probe(((2,),), integers={0: 1000}, attributes={"shape": (0, 7)}),
            Probe(((2,),), fixed={0: [-1, 2**40]}, integers={0: 2}, attributes={"shape": (13,)}),
        ),
    )
)
