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
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
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
            first, second = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
            c0, c1, c2, c3 = (second >> _HALF) ^ c1 ^ k0, second & _LOW, (first >> _HALF) ^ c3 ^ k1, first & _LOW
            k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
    return c0, c1, c2, c3


def _random_bits(key: np.ndarray, *, shape: Shape) -> np.ndarray:
    """Entry 64 g + 16 w + j is word w of the block whose counter is (16 g + j, draw)."""
    seed, draw = (np.uint64(int(each) & 0xFFFFFFFFFFFFFFFF) for each in key)
    total = size_of(shape)
    block = np.arange(-(-total // 64) * 16, dtype=np.uint64)
    low, high = np.full_like(block, draw & _LOW), np.full_like(block, draw >> _HALF)
    words = philox_4x32((block & _LOW, block >> _HALF, low, high), (seed & _LOW, seed >> _HALF))
    entries = np.stack(words).reshape(4, -1, 16).swapaxes(0, 1)
    return entries.reshape(-1)[:total].reshape(shape).astype(np.int64)


def _bits_shape(key: Shape, *, shape: Shape) -> Shape:
    if key != (2,):
        raise ShapeError(explain("random_bits needs a key of two integers", received=f"shape {key}", expected="(2,)"))
    return shape


def _bits_dtype(key: DType, *, shape: Shape) -> DType:
    if key is not int64:
        raise DTypeError(explain("random_bits needs an int64 key", received=key.name, expected="int64"))
    return int64


def _emit_bits(e: Any, index: Sequence[Any], key: Any, *, shape: Shape) -> Any:
    """The same rounds on one entry: words are 64-bit registers that hold 32 bits.

    Neighbouring entries share their word number, so four vectors side by side are the four words of the same blocks:
    the optimiser sees the same rounds four times and keeps one.
    """
    place = e.linear(index, shape)
    block, word = _block_and_word(e, place)
    words = _emit_rounds(e, block, key.load([e.integer(0)]), key.load([e.integer(1)]))
    result = words[3]
    for number in (2, 1, 0):
        result = e.select(e.compare("equal", word, e.integer(number)), words[number], result)
    return result


def _block_and_word(e: Any, place: Any) -> tuple[Any, Any]:
    """16 (place div 64) + place mod 16, and place div 16 mod 4; one word number for all lanes where they start even."""
    start, lanes = e.run_of(place)
    group, rest = e.shift_right(start, 6), e.bitwise("bitwise_and", start, e.integer(15))
    word = e.bitwise("bitwise_and", e.shift_right(start, 4), e.integer(3))
    return e.steps(e.add(e.shift_left(group, 4), rest), lanes), word


def _emit_rounds(e: Any, block: Any, seed: Any, draw: Any) -> list[Any]:
    mask = e.integer(int(_LOW))

    def halves(x: Any) -> tuple[Any, Any]:
        return e.bitwise("bitwise_and", x, mask), e.shift_right(x, 32)

    c0, c1 = halves(block)
    c2, c3 = halves(draw)
    k0, k1 = halves(seed)
    for _ in range(ROUNDS):
        low0, high0 = halves(e.multiply(c0, e.integer(int(_MULTIPLIERS[0]))))
        low1, high1 = halves(e.multiply(c2, e.integer(int(_MULTIPLIERS[1]))))
        c0, c2 = (
            e.bitwise("bitwise_xor", e.bitwise("bitwise_xor", h, c), k)
            for h, c, k in ((high1, c1, k0), (high0, c3, k1))
        )
        c1, c3 = low1, low0
        k0 = e.bitwise("bitwise_and", e.add(k0, e.integer(int(_WEYL[0]))), mask)
        k1 = e.bitwise("bitwise_and", e.add(k1, e.integer(int(_WEYL[1]))), mask)
    return [c0, c1, c2, c3]


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
