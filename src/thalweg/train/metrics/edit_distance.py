"""How many changes turn one sequence into another.

In: pairs of sequences of token numbers, words or characters. Out: for each pair the least number of insertions,
deletions and substitutions; all pairs of a batch at once, row by row of their tables.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from thalweg.errors import ShapeError, explain
from thalweg.train.metrics.arrays import Array

_BLOCK = 1 << 22  # entries of the tables' rows that are in memory at a time
_NOTHING, _NEITHER = -1, -2  # behind the ends of the two sequences: equal to no token, nor to each other


def edit_distances(
    first: Sequence[Iterable[Hashable]], second: Sequence[Iterable[Hashable]], where: str = "edit_distances"
) -> Array:
    """The edit distance of each pair, int64 (pairs,).

    D[i, j] = min(D[i-1, j] + 1, D[i, j-1] + 1, D[i-1, j-1] + [a_i != b_j]), D[i, 0] = i, D[0, j] = j; the distance is
    the last entry. A row is computed at once, for all pairs: with t_j = min(D[i-1, j] + 1, D[i-1, j-1] + [a_i != b_j])
    the chain along the row is D[i, j] = j + min_{k <= j} (t_k - k), a running minimum.

    Args:
        first, second: equally many sequences: strings (of characters), lists of words, arrays of numbers.

    Raises:
        ShapeError: different numbers of sequences.

    Source: Wagner and Fischer, JACM 1974; Levenshtein, 1966.

    >>> edit_distances(["kitten", "", "abc"], ["sitting", "ab", "abc"]).tolist()
    [3, 2, 0]
    """
    if len(first) != len(second):
        received = f"{len(first)} and {len(second)} sequences"
        raise ShapeError(explain("every prediction needs one reference", received=received, where=where))
    numbers: dict[Hashable, int] = {}
    pairs = [(_numbered(a, numbers), _numbered(b, numbers)) for a, b in zip(first, second, strict=True)]
    result = np.zeros(len(pairs), dtype=np.int64)
    order = np.argsort([len(b) for _, b in pairs], kind="stable")  # pairs of nearly one length, so little padding
    start = 0
    while start < len(order):
        end = _block_end(order, pairs, start)
        block = order[start:end]
        result[block] = _distances([pairs[i] for i in block.tolist()])
        start = end
    return result


def _numbered(sequence: Iterable[Hashable], numbers: dict[Hashable, int]) -> Array:
    items = sequence.tolist() if isinstance(sequence, np.ndarray) else sequence
    return np.array([numbers.setdefault(item, len(numbers)) for item in items], dtype=np.int32)


def _block_end(order: Array, pairs: list[tuple[Array, Array]], start: int) -> int:
    """So many pairs that their tables' rows stay small."""
    widest, end = 0, start
    while end < len(order):
        widest = max(widest, len(pairs[order[end]][1]) + 1)
        if end > start and (end + 1 - start) * widest > _BLOCK:
            break
        end += 1
    return end


def _distances(pairs: list[tuple[Array, Array]]) -> Array:
    first, rows = _padded([a for a, _ in pairs], _NOTHING)
    second, columns = _padded([b for _, b in pairs], _NEITHER)
    places = np.arange(second.shape[1] + 1, dtype=np.int32)
    row = np.broadcast_to(places, (len(pairs), len(places))).copy()
    result, every = columns.copy(), np.arange(len(pairs))  # row 0: the length of the second
    for i in range(first.shape[1]):
        differs = second != first[:, i : i + 1]
        through = np.concatenate([row[:, :1] + 1, np.minimum(row[:, 1:] + 1, row[:, :-1] + differs)], axis=1)
        row = np.minimum.accumulate(through - places, axis=1) + places
        result = np.where(rows == i + 1, row[every, columns], result)
    return result


def _padded(sequences: list[Array], value: int) -> tuple[Array, Array]:
    lengths = np.array([len(each) for each in sequences], dtype=np.int64)
    table = np.full((len(sequences), int(lengths.max(initial=0))), value, dtype=np.int32)  # half the memory traffic
    for row, each in zip(table, sequences, strict=True):
        row[: len(each)] = each
    return table, lengths


def edit_operations(first: Sequence[Hashable], second: Sequence[Hashable]) -> list[tuple[str, Hashable, Hashable]]:
    """What turns one sequence into another, step by step: which words were taken for which.

    Each step is ("equal", a, a), ("replace", a, b), ("delete", a, None) or ("insert", None, b); so many of them are not
    "equal" as the edit distance says. Where several ways are as short, replacing comes before deleting and inserting.

    >>> edit_operations("the cat".split(), "a cat sat".split())
    [('replace', 'the', 'a'), ('equal', 'cat', 'cat'), ('insert', None, 'sat')]
    """
    table = _table(first, second)
    i, j, steps = len(first), len(second), []
    while i or j:
        if i and j and table[i, j] == table[i - 1, j - 1] + (first[i - 1] != second[j - 1]):
            i, j = i - 1, j - 1
            steps.append(("equal" if first[i] == second[j] else "replace", first[i], second[j]))
        elif i and table[i, j] == table[i - 1, j] + 1:
            i -= 1
            steps.append(("delete", first[i], None))
        else:
            j -= 1
            steps.append(("insert", None, second[j]))
    return steps[::-1]


def _table(first: Sequence[Hashable], second: Sequence[Hashable]) -> Array:
    """All of D for one pair, row by row as in `edit_distances`."""
    places = np.arange(len(second) + 1)
    table = np.empty((len(first) + 1, len(places)), dtype=np.int64)
    table[0] = places
    for i, item in enumerate(first, start=1):
        differs = np.array([item != other for other in second], dtype=np.int64)
        table[i, 0] = i
        table[i, 1:] = np.minimum(table[i - 1, 1:] + 1, table[i - 1, :-1] + differs)
        table[i] = np.minimum.accumulate(table[i] - places) + places
    return table
