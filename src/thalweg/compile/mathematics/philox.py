"""Random bits: the rounds of Philox (`thalweg.ops.random` is their definition) in the emitter's words.

In: places, and a key to be loaded. Out: 32 bits for each. Sixteen neighbouring blocks fill 64 entries, word after word,
so the vectors of one such run share their rounds: they are written for the first that asks, and the others take what
it has left. A word is computed in a 64-bit lane, where one multiplication (vpmuludq) gives both halves of the product.
"""

from __future__ import annotations

from typing import Any

from thalweg.compile.values import Value, Word
from thalweg.dtype import int32
from thalweg.ops.random import MULTIPLIERS, ROUNDS, WEYL

_LOW = 0xFFFFFFFF


def random_words(e: Any, place: Value, key: Any) -> Value:
    """Entry 64 g + 16 w + j is word w of block 16 g + j."""
    start, lanes = e.run_of(place)
    part = e.part_of(start, 64) if start.lanes == 1 else None
    if part is None:
        block, word = _block_and_word(e, start)
        words = _rounds_of_run(e, block, lanes, key)
        return _chosen(e, word, words)
    (group, rest) = part
    word, first = divmod(rest, 16)

    def draw() -> list[Word]:
        return _rounds_of_run(e, e.add(e.multiply(e.quotient(start, 64), e.integer(16)), e.integer(first)), lanes, key)

    return e.shared(("random", key.node, group, first, lanes), draw)[word]


def _block_and_word(e: Any, start: Value) -> tuple[Value, Value]:
    """16 (place div 64) + place mod 16, and place div 16 mod 4."""
    group, rest = e.shift_right(start, 6), e.bitwise("bitwise_and", start, e.integer(15))
    word = e.bitwise("bitwise_and", e.shift_right(start, 4), e.integer(3))
    return e.add(e.shift_left(group, 4), rest), word


def _chosen(e: Any, word: Value, words: list[Word]) -> Word:
    result = words[3].held
    for number in (2, 1, 0):
        result = e.select(e.compare("equal", word, e.integer(number)), words[number].held, result)
    return Word(e, result, 32)


def _rounds_of_run(e: Any, block: Value, lanes: int, key: Any) -> list[Word]:
    """The words of `lanes` neighbouring blocks, of which `block` is the first; or of each lane's own block."""
    high = e.shift_right(block, 32)  # one number for all: a run begins at a multiple of its length
    if lanes == 1:
        return [Word(e, e.cast(each, int32), 32) for each in _rounds(e, block, high, key)]
    even, odd = (e.steps(e.add(block, e.integer(first)), lanes // 2, 2) for first in (0, 1))
    pairs = zip(_rounds(e, even, high, key), _rounds(e, odd, high, key), strict=True)
    return [Word(e, e.low_halves(*map(e.spread, pair, [lanes // 2] * 2)), 32) for pair in pairs]


def _rounds(e: Any, low: Value, high: Value, key: Any) -> list[Value]:
    """Words in 64-bit lanes whose upper halves may hold anything: whoever uses them takes the lower ones."""
    keys, (c2, c3) = e.once(("key", key.node), lambda: _key_schedule(e, key))
    c0, c1 = low, high
    for number in range(ROUNDS):
        first, second = (
            e.multiply(e.bitwise("bitwise_and", c, e.integer(_LOW)), e.integer(int(multiplier)))
            for c, multiplier in zip((c0, c2), MULTIPLIERS, strict=True)
        )
        c0 = _mixed(e, second, c1, keys, 2 * number, key)
        c2 = _mixed(e, first, c3, keys, 2 * number + 1, key)
        c1, c3 = second, first
    return [c0, c1, c2, c3]


def _mixed(e: Any, product: Value, c: Value, keys: list[Value], number: int, key: Any) -> Value:
    """The upper half of the product, the word and the key; what all lanes have in common first, in one register."""
    upper, k = e.shift_right(product, 32), keys[number]
    if upper.lanes == 1 or c.lanes == 1:
        a, b = (upper, c) if c.lanes == 1 else (c, upper)
        return e.bitwise("bitwise_xor", a, e.bitwise("bitwise_xor", b, k))
    vector = e.once(("key", key.node, number, c.lanes), lambda: e.spread(k, c.lanes))
    return e.bitwise("bitwise_xor", e.bitwise("bitwise_xor", upper, c), vector)


def _key_schedule(e: Any, key: Any) -> tuple[list[Value], tuple[Value, Value]]:
    """Two words for each round, and the upper half of the counter: the number of the draw."""
    seed, draw = key.load([e.integer(0)]), key.load([e.integer(1)])
    k0, k1 = _halves(e, seed)
    keys = []
    for _ in range(ROUNDS):
        keys += [k0, k1]
        k0, k1 = (
            e.bitwise("bitwise_and", e.add(k, e.integer(int(step))), e.integer(_LOW))
            for k, step in zip((k0, k1), WEYL, strict=True)
        )
    return keys, _halves(e, draw)


def _halves(e: Any, x: Value) -> tuple[Value, Value]:
    return e.bitwise("bitwise_and", x, e.integer(_LOW)), e.shift_right(x, 32)
