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
        return [Word(e, e.cast(each, int32), 32) for (each,) in _rounds(e, [block], high, key)]
    halves = [e.steps(e.add(block, e.integer(first)), lanes // 2, 2) for first in (0, 1)]
    return [Word(e, e.low_halves(*pair), 32) for pair in _rounds(e, halves, high, key)]


Counters = list[list[Value]]  # four words of 64 bits, each for all chains side by side


def _rounds(e: Any, blocks: list[Value], high: Value, key: Any) -> Counters:
    """Words in 64-bit lanes whose upper halves may hold anything: whoever uses them takes the lower ones.

    In the first rounds much is equal in all lanes. The others are a loop: written out they took LLVM as long as three
    matrix products.
    """
    keys, (c2, c3) = e.once(("key", key.node), lambda: _first_keys(e, key))
    words = [blocks, *[[each] * len(blocks) for each in (high, c2, c3)]]
    for number in range(_WRITTEN_OUT):
        words = _round(e, words, keys[2 * number : 2 * number + 2])
    lanes, count = blocks[0].lanes, len(blocks)
    state = [e.spread(each, lanes) for word in words for each in word]
    later = e.once(("key", key.node, lanes), lambda: [e.spread(each, lanes) for each in keys[-2:]])

    def some_rounds(_: Value, carried: list[Value]) -> list[Value]:
        held = [carried[i : i + count] for i in range(0, 4 * count, count)]
        k = carried[4 * count :]
        for _each in range(_IN_A_STEP):
            held, k = _round(e, held, k), _next_keys(e, k)
        return [*[each for word in held for each in word], *k]

    done = e.repeat((ROUNDS - _WRITTEN_OUT) // _IN_A_STEP, [*state, *later], some_rounds)
    return [done[i : i + count] for i in range(0, 4 * count, count)]


_WRITTEN_OUT, _IN_A_STEP = 2, 2


def _round(e: Any, words: Counters, keys: list[Value]) -> Counters:
    c0, c1, c2, c3 = words
    first, second = (
        [e.multiply(e.bitwise("bitwise_and", c, e.integer(_LOW)), e.integer(int(multiplier))) for c in word]
        for word, multiplier in zip((c0, c2), MULTIPLIERS, strict=True)
    )
    mixed = [
        [_mixed(e, product, c, k) for product, c in zip(products, word, strict=True)]
        for products, word, k in ((second, c1, keys[0]), (first, c3, keys[1]))
    ]
    return [mixed[0], second, mixed[1], first]


def _mixed(e: Any, product: Value, c: Value, key: Value) -> Value:
    """The upper half of the product, the word and the key; what all lanes have in common first, in one register."""
    a, b = sorted((e.shift_right(product, 32), c), key=lambda each: -each.lanes)
    return e.bitwise("bitwise_xor", a, e.bitwise("bitwise_xor", b, key))


def _first_keys(e: Any, key: Any) -> tuple[list[Value], tuple[Value, Value]]:
    """Two words for each round that is written out and the next, and the upper half of the counter: the number of the
    draw.
    """
    seed, draw = key.load([e.integer(0)]), key.load([e.integer(1)])
    keys = list(_halves(e, seed))
    for _ in range(_WRITTEN_OUT):
        keys += _next_keys(e, keys[-2:])
    return keys, _halves(e, draw)


def _next_keys(e: Any, keys: list[Value]) -> list[Value]:
    """Those of the next round; what is above their 32 bits is nothing."""
    return [e.add(k, e.integer(int(step))) for k, step in zip(keys, WEYL, strict=True)]


def _halves(e: Any, x: Value) -> tuple[Value, Value]:
    return e.bitwise("bitwise_and", x, e.integer(_LOW)), e.shift_right(x, 32)
